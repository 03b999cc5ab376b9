//! Whether a guest writes as much at a window's end as at its start.
//!
//! **Test.** KPSS for a constant level (Kwiatkowski et al. 1992), on the
//! memory dirtied per half second, at 5 %; its long-run variance with Bartlett
//! weights over 4 (n/100)^(1/4) lags. Since long series make any difference
//! significant, *drifting* also needs one that matters: the means of the
//! window's thirds differ by more than a tenth of the whole mean.

use thiserror::Error;
use vmferry_core::Stationarity;

use super::least_squares::Line;

/// Critical value of KPSS for a constant level at 5 %.
const CRITICAL: f64 = 0.463;

/// Fewest half seconds: below, the test rarely finds a drift that is there.
const FEWEST: usize = 16;

/// Least difference between thirds of the window that matters.
const MATTERS: f64 = 0.1;

/// Why there is no verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum StationarityUnknown {
    /// The series is too short.
    #[error("{half_seconds} half seconds are too few of at least {FEWEST}; observe for longer")]
    Short {
        /// Its length.
        half_seconds: usize,
    },
}

/// The verdict on a series of half seconds.
///
/// # Errors
/// When the series is too short.
pub fn stationarity(dirtied: &[f64]) -> Result<Stationarity, StationarityUnknown> {
    let n = dirtied.len();
    if n < FEWEST {
        return Err(StationarityUnknown::Short { half_seconds: n });
    }
    let thirds = [0, 1, 2].map(|i| mean(&dirtied[i * n / 3..(i + 1) * n / 3]));
    let least = thirds.iter().copied().fold(f64::INFINITY, f64::min);
    let most = thirds.iter().copied().fold(0.0, f64::max);
    let matters = most - least > MATTERS * mean(dirtied);
    Ok(if matters && kpss(dirtied) > CRITICAL {
        Stationarity::Drifting
    } else {
        Stationarity::Stationary
    })
}

/// Change per second of the memory dirtied per second, both in bytes, by a
/// straight line through the half seconds; `None` for fewer than three.
pub fn trend(dirtied: &[f64]) -> Option<f64> {
    if dirtied.len() < 3 {
        return None;
    }
    let points = dirtied
        .iter()
        .enumerate()
        .map(|(i, bytes)| (i as f64 * 0.5, bytes / 0.5));
    Line::through(points).map(|line| line.slope)
}

/// The KPSS statistic for a constant level; 0 for a constant series.
fn kpss(series: &[f64]) -> f64 {
    let n = series.len() as f64;
    let level = mean(series);
    let off: Vec<f64> = series.iter().map(|x| x - level).collect();
    let covariance = |lag: usize| -> f64 {
        let products = off.iter().zip(&off[lag..]).map(|(a, b)| a * b);
        products.sum::<f64>() / n
    };
    let lags = (4.0 * (n / 100.0).powf(0.25)) as usize;
    let variance = (1..=lags).fold(covariance(0), |sum, lag| {
        sum + 2.0 * (1.0 - lag as f64 / (lags + 1) as f64) * covariance(lag)
    });
    let mut partial = 0.0;
    let squares: f64 = off
        .iter()
        .map(|x| {
            partial += x;
            partial * partial
        })
        .sum();
    if squares > 0.0 {
        squares / (n * n * variance)
    } else {
        0.0
    }
}

fn mean(series: &[f64]) -> f64 {
    series.iter().sum::<f64>() / series.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draws::Draws;

    fn noise(length: usize, seed: u64, level: impl Fn(f64) -> f64) -> Vec<f64> {
        let mut draws = Draws::of_sample(seed, 0);
        (0..length)
            .map(|i| level(i as f64 / length as f64) * (1.0 + 0.15 * draws.normal()))
            .collect()
    }

    fn drifting(length: usize, level: impl Fn(f64) -> f64 + Copy) -> usize {
        (0..200)
            .filter(|seed| stationarity(&noise(length, *seed, level)) == Ok(Stationarity::Drifting))
            .count()
    }

    #[test]
    fn rarely_sees_a_drift_where_there_is_none() {
        for length in [20, 120] {
            let wrong = drifting(length, |_| 1e6);
            assert!(wrong <= 10, "{wrong} of 200 at length {length}");
        }
    }

    #[test]
    fn sees_growth_steps_and_ends() {
        for length in [20, 120] {
            assert!(drifting(length, |t| 1e6 * (1.0 + t)) > 180, "{length}");
            let step = |t: f64| if t < 0.5 { 1e6 } else { 2e6 };
            assert!(drifting(length, step) > 180, "{length}");
        }
        // 2 % of growth is significant in an hour, and does not matter.
        assert_eq!(drifting(7200, |t| 1e6 * (1.0 + 0.02 * t)), 0);
    }

    #[test]
    fn cycles_and_silence_are_no_drift_and_short_series_no_verdict() {
        let cycle = |i: usize| if i % 24 < 16 { 3e7 } else { 0.0 };
        let cycles: Vec<f64> = (0..96).map(cycle).collect();
        assert_eq!(stationarity(&cycles), Ok(Stationarity::Stationary));
        assert_eq!(stationarity(&[0.0; 40]), Ok(Stationarity::Stationary));
        assert_eq!(
            stationarity(&[1.0; 15]),
            Err(StationarityUnknown::Short { half_seconds: 15 })
        );
    }

    #[test]
    fn the_trend_is_in_bytes_per_second_per_second() {
        // 1 MB/s more every second.
        let growing: Vec<f64> = (0..40)
            .map(|i| 0.5 * (5e6 + 1e6 * 0.5 * f64::from(i)))
            .collect();
        let slope = trend(&growing).unwrap();
        assert!((slope - 1e6).abs() < 1.0, "{slope}");
        assert_eq!(trend(&[1.0, 2.0]), None);
    }
}
