//! The cycle in which a guest writes, found by autocorrelation.
//!
//! **Test.** The window is cut into slices, of 100 ms or more. The pages are
//! put into groups of neighbours with equal shares of all writes, so that a
//! guest which writes here and there in turn is found as well as one that
//! writes and rests. The autocorrelation of the groups together (their
//! autocovariances added, over their variances added), without their linear
//! trends, is taken up to a third of the window: three cycles must have been
//! seen. A period is the first high peak after the autocorrelation has fallen
//! to half of that peak, or to zero; the peak must exceed 0.35 and what white noise
//! reaches once in a thousand, and must be found again at twice its lag, at
//! least half as high.

use std::time::Duration;

use vmferry_core::{PageHistory, set_bits};

use super::dirtied::look_us;
use super::least_squares::Line;

/// Shortest slice, microseconds.
const SHORTEST_SLICE_US: f64 = 100_000.0;

/// Most slices of a window.
const MOST_SLICES: f64 = 1200.0;

/// Fewest slices to look for a cycle in.
const FEWEST_SLICES: usize = 24;

/// Shortest period, in slices: shorter ones cannot be told from noise.
const SHORTEST_PERIOD: usize = 4;

/// Least autocorrelation of a period.
const LEAST: f64 = 0.35;

/// A cycle.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Period {
    /// Its length.
    pub length: Duration,
    /// Autocorrelation at that lag, 0..1.
    pub autocorrelation: f64,
}

/// The cycle in which a guest writes; `None` where it does not repeat itself,
/// or fewer than three cycles were seen.
pub fn period(history: &PageHistory) -> Option<Period> {
    if history.intervals() == 0 {
        return None;
    }
    let window = history.window_us() as f64;
    let look = window / history.intervals() as f64;
    let finest = SHORTEST_SLICE_US.max(2.0 * look).max(window / MOST_SLICES);
    let mut found: Option<Period> = None;
    // Coarse slices show slow cycles in noise, fine ones quick cycles; groups show a change of
    // place, the whole a change of rate.
    for slice in [finest, 5.0 * finest] {
        for groups in [1, 16] {
            let Some(seen) = in_series(&series(history, slice, groups), slice) else {
                continue;
            };
            if found.is_none_or(|best| seen.autocorrelation > best.autocorrelation) {
                found = Some(seen);
            }
        }
    }
    found
}

/// Writes seen per slice, one series a group of pages.
fn series(history: &PageHistory, slice_us: f64, groups: usize) -> Vec<Vec<f64>> {
    let pages = history.pages().len();
    let mut writes = vec![0u64; pages];
    each_write(history, |_, page| writes[page] += 1);
    let all: u64 = writes.iter().sum();
    // Equal shares of the writes: groups of equal size would put all of a small busy place into
    // one of them.
    let mut seen = 0;
    let group_of: Vec<usize> = writes
        .iter()
        .map(|writes| {
            let group = seen * groups as u64 / all.max(1);
            seen += writes;
            (group as usize).min(groups - 1)
        })
        .collect();
    let slices = (history.window_us() as f64 / slice_us).floor() as usize;
    let mut series = vec![vec![0.0; slices]; groups];
    // A write happened at some time since the last look: each slice gets its share.
    for interval in 0..history.intervals() {
        let (from, to) = (look_us(history, interval), look_us(history, interval + 1));
        let mut counts = vec![0.0; groups];
        for page in set_bits(history.row(interval).iter().copied()) {
            counts[group_of[page]] += history.pages()[page].weight;
        }
        let mut at = from;
        while at < to {
            let slice = (at / slice_us).floor();
            let end = ((slice + 1.0) * slice_us).min(to);
            if slice as usize >= slices || end <= at {
                break;
            }
            let share = (end - at) / (to - from);
            for (series, count) in series.iter_mut().zip(&counts) {
                series[slice as usize] += share * count;
            }
            at = end;
        }
    }
    series
}

fn each_write(history: &PageHistory, mut seen: impl FnMut(usize, usize)) {
    for interval in 0..history.intervals() {
        for page in set_bits(history.row(interval).iter().copied()) {
            seen(interval, page);
        }
    }
}

fn in_series(series: &[Vec<f64>], slice_us: f64) -> Option<Period> {
    let n = series.first().map_or(0, Vec::len);
    if n < FEWEST_SLICES {
        return None;
    }
    let series: Vec<Vec<f64>> = series.iter().map(|s| without_trend(s)).collect();
    let covariance = |lag: usize| -> f64 {
        let sum: f64 = series
            .iter()
            .map(|s| s.iter().zip(&s[lag..]).map(|(a, b)| a * b).sum::<f64>())
            .sum();
        sum / (n - lag) as f64
    };
    let variance = covariance(0);
    if variance <= 0.0 {
        return None;
    }
    // One more than may be a period, so that the last one can be a peak.
    let longest = n / 3;
    let r: Vec<f64> = (0..=longest + 1)
        .map(|lag| covariance(lag) / variance)
        .collect();
    // White noise: standard deviation 1/sqrt(n - lag), and as many chances as lags.
    let chances = 1000.0 * longest as f64;
    let white = (2.0 * chances.ln()).sqrt() / (n as f64 * 2.0 / 3.0).sqrt();
    let threshold = LEAST.max(white.min(0.8));
    let is_peak = |lag: usize| r[lag] >= r[lag - 1] && r[lag] > r[lag + 1];
    let peaks: Vec<usize> = (SHORTEST_PERIOD..=longest)
        .filter(|lag| is_peak(*lag) && r[*lag] > threshold)
        .filter(|lag| {
            r[..*lag]
                .iter()
                .any(|before| *before < (r[*lag] / 2.0).min(0.25))
        })
        .filter(|lag| {
            // Twice the lag, give or take the rounding of the lag.
            (2 * lag - 1..=2 * lag + 1).any(|twice| covariance(twice) / variance > r[*lag] / 2.0)
        })
        .collect();
    let highest = peaks.iter().map(|lag| r[*lag]).fold(0.0, f64::max);
    let lag = *peaks.iter().find(|lag| r[**lag] >= 0.8 * highest)?;
    // The top of the parabola through the peak and its neighbours.
    let (left, right) = (r[lag - 1], r[lag + 1]);
    let bend = left - 2.0 * r[lag] + right;
    let shift = if bend < 0.0 {
        (0.5 * (left - right) / bend).clamp(-0.5, 0.5)
    } else {
        0.0
    };
    Some(Period {
        length: Duration::from_secs_f64((lag as f64 + shift) * slice_us / 1e6),
        autocorrelation: r[lag].min(1.0),
    })
}

fn without_trend(series: &[f64]) -> Vec<f64> {
    let points = series.iter().enumerate().map(|(i, y)| (i as f64, *y));
    let Some(line) = Line::through(points.clone()) else {
        return series.to_vec();
    };
    points.map(|(x, y)| y - line.at(x)).collect()
}
