//! A concave form of the dirty curve U(t), to go on beyond the window.
//!
//! A set of pages of size A, each written at random once in tau on average,
//! adds A (1 - exp(-t/tau)); a guest has many such sets. Sizes of sets at time
//! constants on a logarithmic grid, and the slope of a line for pages written
//! for the first time, are fitted to the curve's points by least squares, none
//! negative: so the form starts at the origin, never falls and is concave
//! whatever the points say. What it cannot know is a set that was hardly begun
//! within the window: its longest time constant is that of the window times
//! `LONGEST`, and all slower ones are the line.

use std::time::Duration;

use vmferry_core::{ByteRate, Bytes, DirtyCurve, FittedCurve, FittedSet};

use super::least_squares::non_negative;

/// Time constants per decade.
const PER_DECADE: f64 = 6.0;

/// Longest time constant, in windows. Beyond it a set cannot be told from a
/// line: within the window they differ by less than a twentieth of the set's
/// part.
const LONGEST: f64 = 8.0;

/// Points are not believed to be nearer to the truth than this share of
/// themselves, so that neighbours of no measured error do not outweigh all
/// others.
const LEAST_ERROR: f64 = 0.005;

/// How far the curve may grow from the window's end to three times the window,
/// as a share of its end, before the fit holds that against it. Without it,
/// noise of 1 % in the points makes one fit in ten take a set that is nearly
/// complete for a line, 20 to 30 % too high at three windows; with it, 8 %, and
/// a true line is 0.5 % too low (the tests below).
const GROWTH: f64 = 0.35;

/// The fitted form of a dirty curve, never above `total`, the memory there is.
/// `None` for a curve without points, or where the memory's size is not known.
pub fn extended(curve: &DirtyCurve, total: Bytes) -> Option<FittedCurve> {
    let points: Vec<(f64, f64, f64)> = curve
        .points
        .iter()
        .filter(|p| p.window_ms.0 > 0.0)
        .map(|p| {
            let dirtied = p.dirtied_bytes.0 as f64;
            let error = (p.standard_error_bytes.0 as f64).hypot(LEAST_ERROR * dirtied);
            (p.window_ms.0 / 1e3, dirtied, error.max(1.0))
        })
        .collect();
    let (first, last) = (points.first()?.0, points.last()?.0);
    if total == Bytes(0) {
        return None;
    }
    let grid = time_constants(first / 2.0, last * LONGEST);
    let (_, end, _) = *points.last()?;
    // One row a point; the last row is the growth beyond the window, expected to be nothing.
    let column = |shape: &dyn Fn(f64) -> f64| -> Vec<f64> {
        let growth = (shape(3.0 * last) - shape(last)) / (GROWTH * end).max(1.0);
        let at_points = points.iter().map(|(t, _, error)| shape(*t) / error);
        at_points.chain([growth]).collect()
    };
    let mut columns: Vec<Vec<f64>> = grid
        .iter()
        .map(|tau| column(&|t| -(-t / tau).exp_m1()))
        .collect();
    columns.push(column(&|t| t));
    let relative = points.iter().map(|(_, dirtied, error)| dirtied / error);
    let wanted: Vec<f64> = relative.chain([0.0]).collect();
    let fitted = non_negative(&columns, &wanted);
    let sets = grid
        .iter()
        .zip(&fitted)
        .map(|(tau, size)| FittedSet {
            size_bytes: Bytes(size.round() as u64),
            time_constant_ms: Duration::from_secs_f64(*tau).into(),
        })
        .filter(|set| set.size_bytes > Bytes(0))
        .collect();
    Some(FittedCurve {
        sets,
        line_bytes_per_s: ByteRate(fitted[grid.len()]),
        bound_bytes: total,
    })
}

/// A logarithmic grid, both ends included.
fn time_constants(least: f64, most: f64) -> Vec<f64> {
    let steps = ((most / least).log10() * PER_DECADE).ceil().max(1.0);
    (0..=steps as u32)
        .map(|i| least * (most / least).powf(f64::from(i) / steps))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draws::Draws;
    use proptest::prelude::*;
    use vmferry_core::{CurvePoint, Millis};

    /// A curve at log-spaced windows up to `window` seconds, with an error of
    /// that share.
    fn curve(window: f64, share: f64, seed: u64, truth: impl Fn(f64) -> f64) -> DirtyCurve {
        let mut draws = Draws::of_sample(seed, 0);
        let points = (0..)
            .map(|i| 0.025 * 10f64.powf(f64::from(i) / 9.0))
            .take_while(|t| *t < window)
            .chain([window])
            .map(|t| CurvePoint {
                window_ms: Millis(t * 1e3),
                dirtied_bytes: Bytes((truth(t) * (1.0 + share * draws.normal())) as u64),
                standard_error_bytes: Bytes((truth(t) * share) as u64),
            })
            .collect();
        DirtyCurve { points }
    }

    const TOTAL: Bytes = Bytes::from_mib(512);

    fn set(mib: f64, tau: f64, t: f64) -> f64 {
        mib * 1_048_576.0 * -(-t / tau).exp_m1()
    }

    #[test]
    fn extrapolates_mixtures_from_a_third_of_the_time() {
        let one = |t| set(64.0, 2.0, t);
        let two = |t| set(32.0, 0.4, t) + set(96.0, 6.0, t);
        let line = |t| set(32.0, 0.4, t) + 2e6 * t;
        let truths: [(&str, &dyn Fn(f64) -> f64); 3] =
            [("one", &one), ("two", &two), ("line", &line)];
        for (name, truth) in truths {
            let fitted = extended(&curve(10.0, 0.0, 0, truth), TOTAL).unwrap();
            for t in [0.025, 0.1, 1.0, 5.0, 10.0, 20.0, 30.0] {
                let got = fitted.dirtied_in(Duration::from_secs_f64(t)).0 as f64;
                let error = got / truth(t) - 1.0;
                let most = if t > 10.0 { 0.03 } else { 0.01 };
                assert!(error.abs() < most, "{name} at {t} s: {error}");
            }
        }
    }

    #[test]
    fn noise_of_a_percent_costs_some_percent() {
        let truth = |t| set(32.0, 0.4, t) + set(64.0, 4.0, t);
        let mut errors: Vec<f64> = (0..60)
            .map(|seed| {
                let fitted = extended(&curve(10.0, 0.01, seed, truth), TOTAL).unwrap();
                (fitted.dirtied_in(Duration::from_secs(30)).0 as f64 / truth(30.0) - 1.0).abs()
            })
            .collect();
        errors.sort_by(f64::total_cmp);
        assert!(errors[30] < 0.04 && errors[54] < 0.10, "{errors:?}");
    }

    #[test]
    fn nothing_known_and_nothing_dirtied() {
        assert_eq!(extended(&DirtyCurve::default(), TOTAL), None);
        let still = curve(10.0, 0.0, 0, |_| 0.0);
        assert_eq!(extended(&still, Bytes(0)), None);
        let fitted = extended(&still, TOTAL).unwrap();
        assert_eq!(fitted.dirtied_in(Duration::from_secs(3600)), Bytes(0));
    }

    proptest! {
        #[test]
        fn is_monotone_concave_and_bounded_whatever_it_is_given(
            points in prop::collection::vec((1f64..2000.0, 0u64..1 << 30, 0u64..1 << 24), 1..40),
        ) {
            let mut t = 0.0;
            let points = points
                .into_iter()
                .map(|(step, dirtied, error)| {
                    t += step;
                    CurvePoint {
                        window_ms: Millis(t),
                        dirtied_bytes: Bytes(dirtied),
                        standard_error_bytes: Bytes(error),
                    }
                })
                .collect();
            let fitted = extended(&DirtyCurve { points }, TOTAL).unwrap();
            let at = |i: u32| fitted.dirtied_in(Duration::from_millis(50) * i).0 as i64;
            prop_assert_eq!(at(0), 0);
            for i in 1..2000 {
                let (before, here, after) = (at(i - 1), at(i), at(i + 1));
                prop_assert!(here >= before && here <= TOTAL.0 as i64);
                // Bytes are whole: each of the three may be half a byte off.
                prop_assert!(here - before >= after - here - 2);
            }
        }
    }
}
