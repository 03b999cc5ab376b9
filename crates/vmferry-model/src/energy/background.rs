//! What a host draws anyway.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vmferry_core::{Millis, PowerSample, Ratio, Watts};

use super::EnergyError;
use crate::analysis::least_squares::Line;

/// What counts as a stable background: enough of it, scattered little, and not
/// on its way elsewhere.
///
/// `liu2011` calls a power stable that stays within 1 W of some 200 W. The
/// defaults are wider, since a host with other guests is never that quiet; how
/// much scatter costs shows in [`MoveEnergy::error_j`](super::MoveEnergy::error_j).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stability {
    /// Time before a move that is looked at, at most.
    pub window: Duration,
    /// Time that has to be known of it.
    pub least_time: Duration,
    /// Samples that have to be in it.
    pub least_samples: usize,
    /// Most standard deviation of the samples, as a share of their mean.
    pub most_deviation: Ratio,
    /// Most change along their trend from end to end, as a share of their mean.
    /// A trend that is no larger than its own error is none.
    pub most_drift: Ratio,
}

impl Default for Stability {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(20),
            least_time: Duration::from_secs(10),
            least_samples: 8,
            most_deviation: Ratio(0.05),
            most_drift: Ratio(0.02),
        }
    }
}

/// The power of a host before a move: P_0 of `liu2011` eq. 16.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Background {
    /// Mean.
    pub power_w: Watts,
    /// Standard deviation of the samples.
    pub deviation_w: Watts,
    /// Samples.
    pub samples: usize,
    /// What they span.
    pub span_ms: Millis,
}

impl Background {
    /// The background in samples that all lie before the move.
    ///
    /// # Errors
    /// When they are too few or not stable.
    pub fn of(samples: &[PowerSample], wanted: &Stability) -> Result<Self, EnergyError> {
        let seconds: f64 = samples.iter().map(|s| s.span().as_secs_f64()).sum();
        let span = Duration::from_secs_f64(seconds);
        // A line takes three, whatever is asked for.
        if samples.len() < wanted.least_samples.max(3) || span < wanted.least_time {
            return Err(EnergyError::ShortBackground {
                found: samples.len(),
                span,
                samples: wanted.least_samples.max(3),
                needed: wanted.least_time,
            });
        }
        // Every second counts once, however many samples it has.
        let mean = samples
            .iter()
            .map(|s| s.power.0 * s.span().as_secs_f64() / seconds)
            .sum::<f64>();
        let n = samples.len() as f64;
        let squares: f64 = samples.iter().map(|s| (s.power.0 - mean).powi(2)).sum();
        let deviation = (squares / (n - 1.0)).sqrt();
        let most = mean * wanted.most_deviation.0;
        if deviation > most {
            return Err(EnergyError::Scattered {
                deviation: Watts(deviation),
                power: Watts(mean),
                most: Watts(most),
            });
        }
        drift(samples, mean, wanted)?;
        Ok(Self {
            power_w: Watts(mean),
            deviation_w: Watts(deviation),
            samples: samples.len(),
            span_ms: span.into(),
        })
    }

    /// Standard error of the mean.
    pub fn error(&self) -> Watts {
        Watts(self.deviation_w.0 / (self.samples as f64).sqrt())
    }
}

/// Refuses a trend that is larger than is allowed, and than chance makes it:
/// three times its standard error, which the noise of twenty samples exceeds
/// once in 130 moves.
fn drift(samples: &[PowerSample], mean: f64, wanted: &Stability) -> Result<(), EnergyError> {
    let points = samples.iter().map(|s| (s.until.as_secs_f64(), s.power.0));
    let Some(line) = Line::through(points.clone()) else {
        return Ok(());
    };
    let n = samples.len() as f64;
    let centre = points.clone().map(|p| p.0).sum::<f64>() / n;
    let (rest, spread) = points.clone().fold((0.0, 0.0), |(rest, spread), (x, y)| {
        (
            rest + (y - line.at(x)).powi(2),
            spread + (x - centre).powi(2),
        )
    });
    let (first, last) = (
        samples[0].until.as_secs_f64(),
        samples[samples.len() - 1].until.as_secs_f64(),
    );
    let change = line.at(last) - line.at(first);
    let error = (rest / (n - 2.0) / spread).sqrt() * (last - first);
    let most = mean * wanted.most_drift.0;
    if change.abs() > most && change.abs() > 3.0 * error {
        return Err(EnergyError::Drifting {
            first: Watts(line.at(first)),
            last: Watts(line.at(last)),
            most: Watts(most),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every_second(powers: impl IntoIterator<Item = f64>) -> Vec<PowerSample> {
        let span = Duration::from_secs(1);
        powers
            .into_iter()
            .zip(0u32..)
            .map(|(power, n)| PowerSample {
                from: span * n,
                until: span * (n + 1),
                power: Watts(power),
            })
            .collect()
    }

    #[test]
    fn a_quiet_host_has_a_background() {
        let samples = every_second((0..20).map(|n| 200.0 + f64::from(n % 2)));
        let found = Background::of(&samples, &Stability::default()).unwrap();
        assert!((found.power_w.0 - 200.5).abs() < 1e-9);
        assert!((found.deviation_w.0 - 0.513).abs() < 1e-3);
        assert_eq!((found.samples, found.span_ms), (20, Millis(20e3)));
        assert!((found.error().0 - 0.513 / 20f64.sqrt()).abs() < 1e-3);
    }

    #[test]
    fn longer_spans_count_longer() {
        let mut samples = every_second([100.0; 10]);
        samples.push(PowerSample {
            from: Duration::from_secs(10),
            until: Duration::from_secs(20),
            power: Watts(101.0),
        });
        let found = Background::of(&samples, &Stability::default()).unwrap();
        assert!((found.power_w.0 - 100.5).abs() < 1e-9, "{found:?}");
    }

    #[test]
    fn an_unstable_background_is_refused() {
        let refused = |powers: &[f64]| {
            let samples = every_second(powers.iter().copied());
            Background::of(&samples, &Stability::default())
                .unwrap_err()
                .to_string()
        };
        let scattered: Vec<f64> = (0..20).map(|n| 200.0 + f64::from(n % 2) * 50.0).collect();
        assert!(refused(&scattered).contains("scatters by 25.6 W around 225.0 W"));
        // 1 W a second: the deviation alone would pass.
        let rising: Vec<f64> = (0..20).map(|n| 200.0 + f64::from(n)).collect();
        assert!(refused(&rising).contains("from 200.0 to 219.0 W"));
        assert!(refused(&[200.0; 9]).contains("only 9 power samples over 9.0 s"));
        let few = every_second([200.0; 20])
            .chunks(4)
            .map(|c| PowerSample {
                from: c[0].from,
                until: c[3].until,
                power: c[0].power,
            })
            .collect::<Vec<_>>();
        assert!(matches!(
            Background::of(&few, &Stability::default()),
            Err(EnergyError::ShortBackground { found: 5, .. })
        ));
    }

    #[test]
    fn a_trend_within_the_noise_is_none() {
        // 6 W up over the window, against a scatter of 9 W.
        let noisy =
            (0..20).map(|n| 200.0 + f64::from(n * 6) / 19.0 + 9.0 * f64::from(n * 7 % 3 - 1));
        assert!(Background::of(&every_second(noisy), &Stability::default()).is_ok());
    }
}
