//! gamma: the share of a round's dirty pages that are dirty again in the next
//! peek (`liu2011` eq. 9-10).

use serde::{Deserialize, Serialize};
use vmferry_core::{ByteRate, PAGE_SIZE, PageHistory};

/// Pairs of peeks of one length that are looked at.
const MOST_PAIRS: usize = 16;
/// Fewest pairs for three coefficients.
const LEAST_PAIRS: usize = 6;
/// A column that lies so near to those before it tells nothing of its own.
const DEPENDENT: f64 = 1e-6;

/// gamma = a T + b D + c, with T in seconds and D in MB/s (10^6 bytes).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gamma {
    /// a, per second.
    pub per_second: f64,
    /// b, per MB/s.
    pub per_mb_per_s: f64,
    /// c.
    pub constant: f64,
    /// R^2 of the fit.
    pub r_squared: f64,
}

/// gamma at one round.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share {
    /// The share, 0..1.
    pub value: f64,
    /// Whether the fit left 0..1 and was held there.
    pub clamped: bool,
}

impl Gamma {
    /// As fitted in `liu2011` over DaCapo under Xen 3.4:
    /// -0.0463 T - 0.0001 D + 0.3586, R^2 0.843.
    pub const PUBLISHED: Self = Self {
        per_second: -0.0463,
        per_mb_per_s: -0.0001,
        constant: 0.3586,
        r_squared: 0.843,
    };

    /// The share in a round of `time_s` seconds at dirty rate D, held within
    /// 0..1: the published fit is negative above T of about 7.7 s.
    pub fn at(&self, time_s: f64, dirty_rate: ByteRate) -> Share {
        let found =
            self.per_second * time_s + self.per_mb_per_s * dirty_rate.0 / 1e6 + self.constant;
        let value = found.clamp(0.0, 1.0);
        Share {
            value,
            clamped: value != found,
        }
    }

    /// Fitted to a recorded history by ordinary least squares: of peeks one
    /// after another, 1, 2, 4 ... looks long up to half of the window, the
    /// share of the memory dirtied in the first that the second finds dirty
    /// again. `None` of too few peeks, or of a guest that wrote nothing.
    pub fn of_history(history: &PageHistory) -> Option<Self> {
        let mut pairs = Vec::new();
        let mut length = 1;
        while 2 * length <= history.intervals() {
            let starts = history.intervals() + 1 - 2 * length;
            let count = (history.intervals() / length - 1).min(MOST_PAIRS);
            pairs.extend((0..count).filter_map(|i| {
                // Spread over the window, the last pair at its end.
                let start = i * (starts - 1) / (count - 1).max(1);
                Peeks::of(history, start, length)
            }));
            length *= 2;
        }
        (pairs.len() >= LEAST_PAIRS).then(|| Self::through(&pairs))
    }

    fn through(pairs: &[Peeks]) -> Self {
        let column = |of: fn(&Peeks) -> f64| pairs.iter().map(of).collect::<Vec<f64>>();
        let wanted = column(|p| p.again);
        let columns = [
            column(|_| 1.0),
            column(|p| p.time_s),
            column(|p| p.mb_per_s),
        ];
        let [constant, per_second, per_mb_per_s] = least_squares(columns, &wanted);
        let mean = wanted.iter().sum::<f64>() / wanted.len() as f64;
        let (mut off, mut spread) = (0.0, 0.0);
        for pair in pairs {
            let said = per_second * pair.time_s + per_mb_per_s * pair.mb_per_s + constant;
            off += (pair.again - said).powi(2);
            spread += (pair.again - mean).powi(2);
        }
        Self {
            per_second,
            per_mb_per_s,
            constant,
            r_squared: if spread > 1e-12 {
                1.0 - off / spread
            } else {
                1.0
            },
        }
    }
}

/// Two peeks, one after the other.
#[derive(Clone, Copy, Debug)]
struct Peeks {
    time_s: f64,
    mb_per_s: f64,
    again: f64,
}

impl Peeks {
    /// From a look on, each some intervals long; `None` where the first finds
    /// nothing dirty.
    fn of(history: &PageHistory, start: usize, length: usize) -> Option<Self> {
        let found = |from: usize| {
            let mut bits = vec![0u64; history.row(0).len()];
            for interval in from..from + length {
                for (sum, word) in bits.iter_mut().zip(history.row(interval)) {
                    *sum |= word;
                }
            }
            bits
        };
        let (first, second) = (found(start), found(start + length));
        let (mut dirtied, mut again) = (0.0, 0.0);
        for (i, page) in history.pages().iter().enumerate() {
            let bit = 1u64 << (i % 64);
            if first[i / 64] & bit != 0 {
                dirtied += page.weight;
                if second[i / 64] & bit != 0 {
                    again += page.weight;
                }
            }
        }
        let end = history.interval_us(start + length - 1).1;
        let time_s = (end - history.interval_us(start).0) as f64 / 1e6;
        (dirtied > 0.0).then(|| Self {
            time_s,
            mb_per_s: dirtied * PAGE_SIZE.0 as f64 / 1e6 / time_s,
            again: again / dirtied,
        })
    }
}

/// Coefficients with which three columns come nearest to `wanted`, by modified
/// Gram-Schmidt; a column that depends on those before it gets zero.
fn least_squares(columns: [Vec<f64>; 3], wanted: &[f64]) -> [f64; 3] {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let subtract = |from: &mut [f64], what: &[f64], times: f64| {
        from.iter_mut().zip(what).for_each(|(f, w)| *f -= times * w);
    };
    let mut basis: Vec<Vec<f64>> = Vec::new();
    let mut r = [[0.0; 3]; 3];
    let mut rest = wanted.to_vec();
    let mut along = [0.0; 3];
    for (k, column) in columns.into_iter().enumerate() {
        let before = dot(&column, &column).sqrt();
        let mut q = column;
        // Twice is enough to be orthogonal to working precision.
        for _ in 0..2 {
            for (i, earlier) in basis.iter().enumerate() {
                let part = dot(earlier, &q);
                r[i][k] += part;
                subtract(&mut q, earlier, part);
            }
        }
        let norm = dot(&q, &q).sqrt();
        if norm > DEPENDENT * before {
            r[k][k] = norm;
            q.iter_mut().for_each(|v| *v /= norm);
        } else {
            q.fill(0.0);
        }
        along[k] = dot(&q, &rest);
        subtract(&mut rest, &q, along[k]);
        basis.push(q);
    }
    let mut x = [0.0; 3];
    for k in (0..3).rev() {
        if r[k][k] > 0.0 {
            let known: f64 = (k + 1..3).map(|j| r[k][j] * x[j]).sum();
            x[k] = (along[k] - known) / r[k][k];
        }
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;
    use vmferry_core::{Pages, SampledPage};

    #[test]
    fn the_published_fit_is_held_within_a_share() {
        let at = |t: f64, mb: f64| Gamma::PUBLISHED.at(t, ByteRate(mb * 1e6));
        assert!((at(2.0, 10.0).value - (0.3586 - 0.0926 - 0.001)).abs() < 1e-12);
        assert!(!at(2.0, 10.0).clamped);
        // Zero at 0.3586 / 0.0463 = 7.745 s.
        assert!(!at(7.74, 0.0).clamped && at(7.74, 0.0).value < 3e-4);
        assert_eq!(
            at(7.75, 0.0),
            Share {
                value: 0.0,
                clamped: true
            }
        );
        assert_eq!(
            at(60.0, 100.0),
            Share {
                value: 0.0,
                clamped: true
            }
        );
    }

    fn history(dirty: impl Fn(usize) -> Vec<usize>) -> PageHistory {
        let pages = (0..1000).map(|i| SampledPage {
            index: Pages(i),
            weight: 1.0,
            zero: false,
        });
        let mut history = PageHistory::new(pages.collect());
        for k in 0..64 {
            history.push((k as u64 + 1) * 100_000, dirty(k));
        }
        history
    }

    #[test]
    fn of_pages_always_written_all_and_of_pages_written_once_none() {
        // 30 pages all the time, and 10 new ones in every interval.
        let mixed = history(|k| (0..30).chain((0..10).map(|j| 100 + 10 * k + j)).collect());
        let found = Gamma::of_history(&mixed).unwrap();
        let hot = |looks: f64| 30.0 / (30.0 + 10.0 * looks);
        assert!(found.r_squared > 0.9, "{found:?}");
        for looks in [1.0, 4.0, 16.0] {
            let mb = (30.0 + 10.0 * looks) * 4096.0 / 1e6 / (looks * 0.1);
            let share = found.at(looks * 0.1, ByteRate(mb * 1e6)).value;
            assert!(
                (share - hot(looks)).abs() < 0.12,
                "{looks}: {share} {}",
                hot(looks)
            );
        }
        let steady = Gamma::of_history(&history(|_| (0..30).collect())).unwrap();
        assert!(
            (steady.at(1.0, ByteRate(0.12e6)).value - 1.0).abs() < 1e-6,
            "{steady:?}"
        );
        let fresh = Gamma::of_history(&history(|k| (k * 10..k * 10 + 10).collect())).unwrap();
        assert!(fresh.at(1.0, ByteRate(0.4e6)).value < 1e-9, "{fresh:?}");
        assert_eq!(Gamma::of_history(&history(|_| Vec::new())), None);
    }
}
