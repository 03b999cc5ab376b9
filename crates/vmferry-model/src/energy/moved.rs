//! What one move cost a host.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vmferry_core::{Joules, Millis, PowerSample};

use super::{Background, EnergyError, Stability};

/// Longest silence of a meter that is bridged by its next reading. Meters in
/// baseboard controllers answer every 1 to 5 s.
const LONGEST_GAP: Duration = Duration::from_secs(6);

/// What a move cost one host beyond what it draws anyway.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MoveEnergy {
    /// Energy above the background; noise may make that of a short move
    /// negative.
    pub energy_j: Joules,
    /// Its standard error, as far as the background's scatter tells it.
    pub error_j: Joules,
    /// The power before the move.
    pub background: Background,
    /// Samples that cover the move.
    pub samples: usize,
    /// What they span: the move, to whole samples.
    pub span_ms: Millis,
}

/// Energy of a move on one host: `E = sum (P_t - P_0) dt` (`liu2011` eq. 16).
///
/// The sum goes over every sample that overlaps the move, in full. Beyond the
/// move the host draws its background, so that whole samples add noise and no
/// bias, where cut ones would lose what a meter of one reading a second saw
/// late. P_0 is the mean over the window before the first of them.
///
/// # Errors
/// When a sample makes no sense, the meter was silent for long or said the same
/// all the time, the samples do not cover the move, or the background is too
/// short or not stable.
pub fn energy_of_move(
    samples: &[PowerSample],
    began: Duration,
    ended: Duration,
    wanted: &Stability,
) -> Result<MoveEnergy, EnergyError> {
    let end = samples.last().map_or(Duration::ZERO, |last| last.until);
    if end < ended {
        return Err(EnergyError::EndsEarly {
            missing: ended - end,
        });
    }
    let first = samples.partition_point(|s| s.until <= began);
    let behind = samples.partition_point(|s| s.from < ended);
    let since = samples
        .get(first)
        .map_or(began, |s| s.from)
        .saturating_sub(wanted.window);
    // Whole samples here too, so that they span the window.
    let before = samples.partition_point(|s| s.until <= since);
    // What is looked at has to be sound; what is older does not matter.
    check(&samples[before.min(first)..behind])?;
    let background = Background::of(&samples[before.min(first)..first], wanted)?;
    let during = &samples[first..behind.max(first)];
    let all = &samples[before.min(first)..behind];
    if all.iter().all(|sample| sample.power == all[0].power) {
        return Err(EnergyError::Frozen {
            power: background.power_w,
            samples: all.len(),
        });
    }
    Ok(above(&background, during))
}

/// As [`energy_of_move`], above a background that was told apart: that of a host which did the same
/// with nothing migrating, where moves follow each other too closely for one before each.
///
/// # Errors
/// When a sample makes no sense, the meter was silent for long or said the same all the time, or
/// the samples do not cover the move.
pub fn energy_above(
    background: &Background,
    samples: &[PowerSample],
    began: Duration,
    ended: Duration,
) -> Result<MoveEnergy, EnergyError> {
    let end = samples.last().map_or(Duration::ZERO, |last| last.until);
    let first = samples.partition_point(|s| s.until <= began);
    let missing = match samples.get(first) {
        Some(sample) => sample.from.saturating_sub(began),
        None => ended.saturating_sub(began),
    };
    if end < ended || !missing.is_zero() {
        return Err(EnergyError::EndsEarly {
            missing: missing.max(ended.saturating_sub(end)),
        });
    }
    let behind = samples.partition_point(|s| s.from < ended);
    let during = &samples[first..behind.max(first)];
    check(during)?;
    let frozen = during.iter().all(|one| one.power == background.power_w);
    if frozen && background.deviation_w.0 == 0.0 {
        return Err(EnergyError::Frozen {
            power: background.power_w,
            samples: background.samples + during.len(),
        });
    }
    Ok(above(background, during))
}

fn above(background: &Background, during: &[PowerSample]) -> MoveEnergy {
    let (mut energy, mut seconds, mut squares) = (Joules(0.0), 0.0, 0.0);
    for sample in during {
        let span = sample.span();
        energy = energy + (sample.power - background.power_w) * span;
        seconds += span.as_secs_f64();
        squares += span.as_secs_f64().powi(2);
    }
    // Each sample scatters by itself, and all of them miss P_0 together.
    let own = background.deviation_w.0 * squares.sqrt();
    let shared = background.error().0 * seconds;
    MoveEnergy {
        energy_j: energy,
        error_j: Joules(own.hypot(shared)),
        background: *background,
        samples: during.len(),
        span_ms: Duration::from_secs_f64(seconds).into(),
    }
}

fn check(samples: &[PowerSample]) -> Result<(), EnergyError> {
    let mut end = samples.first().map_or(Duration::ZERO, |s| s.from);
    for sample in samples {
        let power = sample.power;
        if !power.is_of_a_host() {
            return Err(EnergyError::Nonsense {
                power,
                at: sample.until,
            });
        }
        if sample.from < end || sample.until <= sample.from {
            return Err(EnergyError::Disorder { at: sample.until });
        }
        // Between samples and within one: both bridge what nobody read.
        let silent = sample.until - end;
        if silent > LONGEST_GAP {
            return Err(EnergyError::Gap {
                at: end,
                silent,
                most: LONGEST_GAP,
            });
        }
        end = sample.until;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use vmferry_core::Watts;

    /// 1 Hz: 20 s at 100 W, then what is given.
    fn samples(during: &[f64]) -> Vec<PowerSample> {
        [100.0; 20]
            .iter()
            .chain(during)
            .zip(0u64..)
            .map(|(power, n)| PowerSample {
                from: Duration::from_secs(n),
                until: Duration::from_secs(n + 1),
                power: Watts(*power),
            })
            .collect()
    }

    fn energy(samples: &[PowerSample], began: f64, ended: f64) -> Result<MoveEnergy, EnergyError> {
        let [began, ended] = [began, ended].map(Duration::from_secs_f64);
        energy_of_move(samples, began, ended, &Stability::default())
    }

    #[test]
    fn by_hand() {
        let found = energy(&samples(&[130.0, 150.0, 140.0, 100.0]), 20.0, 23.0).unwrap();
        assert_eq!(found.energy_j, Joules(120.0));
        assert_eq!((found.samples, found.span_ms), (3, Millis(3e3)));
        assert_eq!(found.background.power_w, Watts(100.0));
        assert_eq!(found.error_j, Joules(0.0));
        // A reading that spans the begin or the end counts in full.
        let found = energy(&samples(&[130.0, 150.0, 140.0, 100.0]), 20.6, 22.2).unwrap();
        assert_eq!(found.energy_j, Joules(120.0));
        assert_eq!(found.background.samples, 20);
        // So does one that spans the begin of the window.
        let shorter = Stability {
            window: Duration::from_millis(10_500),
            ..Stability::default()
        };
        let [began, ended] = [20, 22].map(Duration::from_secs);
        let found = energy_of_move(&samples(&[130.0; 3]), began, ended, &shorter).unwrap();
        assert_eq!(found.background.span_ms, Millis(11e3));
    }

    #[test]
    fn above_a_background_of_another_time_it_is_the_same() {
        let seconds = Duration::from_secs;
        let all = samples(&[130.0, 150.0, 140.0, 100.0]);
        let whole = energy(&all, 20.0, 23.0).unwrap();
        let apart = energy_above(&whole.background, &all[18..], seconds(20), seconds(23));
        assert_eq!(apart, Ok(whole));
        let early = energy_above(&whole.background, &all[21..], seconds(20), seconds(23));
        let missing = seconds(1);
        assert_eq!(early, Err(EnergyError::EndsEarly { missing }));
        let late = energy_above(&whole.background, &all[..22], seconds(20), seconds(23));
        assert_eq!(late, Err(EnergyError::EndsEarly { missing }));
        let frozen = energy_above(&whole.background, &all[..20], seconds(2), seconds(4));
        assert!(
            matches!(frozen, Err(EnergyError::Frozen { .. })),
            "{frozen:?}"
        );
    }

    #[test]
    fn errors_by_hand() {
        let mut noisy = samples(&[150.0; 4]);
        for (n, sample) in noisy.iter_mut().take(20).enumerate() {
            sample.power = Watts(if n % 2 == 0 { 99.0 } else { 101.0 });
        }
        let found = energy(&noisy, 20.0, 24.0).unwrap();
        let deviation = (20.0f64 / 19.0).sqrt();
        let expected = (deviation * 2.0).hypot(deviation / 20f64.sqrt() * 4.0);
        assert!((found.error_j.0 - expected).abs() < 1e-9);
        assert!((found.energy_j.0 - 200.0).abs() < 1e-9);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for wrong in [f64::NAN, f64::INFINITY, 0.0, -1.0, 1e9] {
            let found = energy(&samples(&[130.0, wrong, 130.0]), 20.0, 23.0);
            assert!(
                matches!(found, Err(EnergyError::Nonsense { .. })),
                "{found:?}"
            );
        }
        // Long before the move it does not matter.
        let mut old = samples(&[100.0; 25]);
        // No real meter says the same all the time.
        old[30].power = Watts(101.0);
        old[2].power = Watts(1e9);
        assert!(energy(&old, 40.0, 41.0).is_ok());
    }

    #[test]
    fn a_meter_that_says_the_same_all_the_time_is_refused() {
        let error = energy(&samples(&[100.0; 5]), 20.0, 25.0).unwrap_err();
        assert!(
            error.to_string().contains("said 100.0 W 25 times in a row"),
            "{error}"
        );
    }

    #[test]
    fn silence_disorder_and_an_early_end_are_refused() {
        let mut stalled = samples(&[130.0; 10]);
        stalled.drain(22..29);
        let error = energy(&stalled, 20.0, 30.0).unwrap_err();
        assert!(matches!(error, EnergyError::Gap { .. }), "{error}");
        assert!(
            error.to_string().contains("said nothing for 8.0 s"),
            "{error}"
        );
        let mut disordered = samples(&[130.0; 10]);
        disordered.swap(24, 25);
        assert!(matches!(
            energy(&disordered, 20.0, 30.0),
            Err(EnergyError::Disorder { .. })
        ));
        let error = energy(&samples(&[130.0; 3]), 20.0, 30.0).unwrap_err();
        assert!(
            error.to_string().contains("end 7.0 s before the move"),
            "{error}"
        );
        let error = energy(&samples(&[130.0; 3]), 5.0, 22.0).unwrap_err();
        assert!(
            error.to_string().contains("only 5 power samples"),
            "{error}"
        );
        assert!(energy(&[], 0.0, 1.0).is_err());
    }
}
