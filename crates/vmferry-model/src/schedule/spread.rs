//! What few days tell of what to expect.

use vmferry_core::Interval;

use crate::chance::{Z95, t95};

/// Costs of one time of day, day by day; only positive numbers count, for
/// costs spread by factors.
#[derive(Clone, Debug, Default)]
pub(super) struct ByDay {
    /// Costs of each day that has any.
    pub(super) days: Vec<Vec<f64>>,
    /// Moves among them that do not overlap in time.
    pub(super) apart: usize,
}

/// How costs of the same time of day differ from day to day.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct BetweenDays {
    /// Standard deviation of the logarithm of a day's mean.
    log_sd: f64,
    /// 95th percentile of Student's t for so few days.
    t: f64,
}

impl BetweenDays {
    /// Over all times of day, since one alone has too few days to tell. A busy
    /// day is busy at many hours, so only as many degrees of freedom are
    /// counted as there are days, less one. `None` where no time of day was
    /// seen on two days.
    pub(super) fn of<'a>(times: impl Iterator<Item = &'a ByDay>) -> Option<Self> {
        let (mut squares, mut freedom, mut most) = (0.0, 0, 0);
        for time in times {
            let logs: Vec<f64> = time.day_means().map(f64::ln).collect();
            if logs.len() < 2 {
                continue;
            }
            let mean = logs.iter().sum::<f64>() / logs.len() as f64;
            squares += logs.iter().map(|log| (log - mean).powi(2)).sum::<f64>();
            freedom += logs.len() - 1;
            most = most.max(logs.len() - 1);
        }
        Some(Self {
            t: t95(most)?,
            log_sd: (squares / freedom as f64).sqrt(),
        })
    }
}

impl ByDay {
    fn day_means(&self) -> impl Iterator<Item = f64> {
        let days = self.days.iter();
        days.map(|day| day.iter().sum::<f64>() / day.len() as f64)
            .filter(|mean| *mean > 0.0)
    }

    /// Mean of the days' means; `None` of no day.
    pub(super) fn expected(&self) -> Option<f64> {
        let means: Vec<f64> = self.day_means().collect();
        (!means.is_empty()).then(|| means.iter().sum::<f64>() / means.len() as f64)
    }

    /// The interval in which the expectation lies with 90 %, itself as p50.
    /// Where days are known to differ, by that; with one day alone, by moves
    /// that do not overlap: `None` where there are not two.
    pub(super) fn expectation(&self, between: Option<BetweenDays>) -> Option<Interval<f64>> {
        let expected = self.expected()?;
        let width = match between {
            Some(between) => between.t * between.log_sd / (self.day_means().count() as f64).sqrt(),
            None => {
                let logs: Vec<f64> = self.all().filter(|v| *v > 0.0).map(f64::ln).collect();
                if self.apart < 2 || logs.len() < 2 {
                    return None;
                }
                let mean = logs.iter().sum::<f64>() / logs.len() as f64;
                let squares: f64 = logs.iter().map(|log| (log - mean).powi(2)).sum();
                let sd = (squares / (logs.len() - 1) as f64).sqrt();
                t95(self.apart - 1)? * sd / (self.apart as f64).sqrt()
            }
        };
        Some(Interval {
            p5: expected * (-width).exp(),
            p50: expected,
            p95: expected * width.exp(),
        })
    }

    /// Percentiles of one move.
    pub(super) fn one_move(&self) -> Option<Interval<f64>> {
        Interval::of_samples(&self.all().collect::<Vec<_>>())
    }

    fn all(&self) -> impl Iterator<Item = f64> {
        self.days.iter().flatten().copied()
    }
}

/// The share that each day says, and the 90 % interval of what to expect
/// (Wilson's, which knows that three of three is no certainty). It counts the
/// moves that do not overlap, or fewer where days differ by more than so many
/// moves would by chance.
pub(super) fn share(days: &[f64], apart: usize) -> Option<Interval<f64>> {
    let count = days.len() as f64;
    if days.is_empty() || apart == 0 {
        return None;
    }
    let mean = (days.iter().sum::<f64>() / count).clamp(0.0, 1.0);
    let mut seen = apart as f64;
    if days.len() > 1 {
        let squares: f64 = days.iter().map(|day| (day - mean).powi(2)).sum();
        let of_mean = squares / (count - 1.0) / count;
        if of_mean > 0.0 {
            seen = seen.min(mean * (1.0 - mean) / of_mean).max(1.0);
        }
    }
    let z2 = Z95 * Z95 / seen;
    let centre = (mean + z2 / 2.0) / (1.0 + z2);
    let half = (mean * (1.0 - mean) * z2 + z2 * z2 / 4.0).sqrt() / (1.0 + z2);
    Some(Interval {
        p5: (centre - half).clamp(0.0, mean),
        p50: mean,
        p95: (centre + half).clamp(mean, 1.0),
    })
}

/// Where a difference of two expectations lies with 90 %, given where each
/// does: `from - what`.
pub(super) fn difference(from: Interval<f64>, what: Interval<f64>) -> Interval<f64> {
    let p50 = from.p50 - what.p50;
    Interval {
        p5: p50 - (from.p50 - from.p5).hypot(what.p95 - what.p50),
        p50,
        p95: p50 + (from.p95 - from.p50).hypot(what.p50 - what.p5),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn by_day(days: &[&[f64]], apart: usize) -> ByDay {
        ByDay {
            days: days.iter().map(|day| day.to_vec()).collect(),
            apart,
        }
    }

    #[test]
    fn a_day_counts_once() {
        let time = by_day(&[&[1.0; 9], &[4.0]], 10);
        assert_eq!(time.expected(), Some(2.5));
        let between = BetweenDays::of([&time].into_iter()).unwrap();
        // ln 4 / sqrt 2 is the deviation of two days, over sqrt 2 that of their mean.
        let width = 6.313_752 * 4f64.ln() / 2.0;
        let interval = time.expectation(Some(between)).unwrap();
        assert!((interval.p95 / 2.5 / width.exp() - 1.0).abs() < 1e-6);
        assert!((interval.p5 * interval.p95 - 6.25).abs() < 1e-9);
    }

    #[test]
    fn one_day_tells_by_its_moves_or_nothing() {
        let time = by_day(&[&[1.0, 1.1, 0.9, 1.0]], 4);
        assert_eq!(BetweenDays::of([&time].into_iter()), None);
        let interval = time.expectation(None).unwrap();
        assert!(interval.p5 < 1.0 && interval.p95 > 1.0 && interval.p95 < 1.2);
        assert_eq!(by_day(&[&[1.0, 1.1]], 1).expectation(None), None);
        assert_eq!(by_day(&[], 0).expectation(None), None);
    }

    #[test]
    fn shares_by_hand() {
        // Wilson for 5 of 5: lower end 5 / (5 + z^2).
        let all = share(&[1.0; 5], 5).unwrap();
        assert!((all.p5 - 5.0 / (5.0 + Z95 * Z95)).abs() < 1e-9 && all.p95 == 1.0);
        // Days that disagree count as few, however many moves they had.
        let wide = share(&[0.0, 1.0], 1000).unwrap();
        assert!(wide.p5 < 0.2 && wide.p95 > 0.8, "{wide:?}");
        assert_eq!(share(&[], 3), None);
    }

    proptest! {
        #[test]
        fn intervals_hold_what_they_are_of(
            days in prop::collection::vec(prop::collection::vec(0.01f64..100.0, 1..6), 1..6),
            shares in prop::collection::vec(0f64..=1.0, 1..8),
            apart in 1usize..50,
        ) {
            let time = ByDay { days, apart };
            let between = BetweenDays::of([&time].into_iter());
            if let Some(i) = time.expectation(between) {
                prop_assert!(i.p5 <= i.p50 && i.p50 <= i.p95 && i.p5 > 0.0);
            }
            let i = share(&shares, apart).unwrap();
            prop_assert!(0.0 <= i.p5 && i.p5 <= i.p50 && i.p50 <= i.p95 && i.p95 <= 1.0);
        }
    }
}
