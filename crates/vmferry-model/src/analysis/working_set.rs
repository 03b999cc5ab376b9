//! The writable working set: the peek curve where its slope stops changing
//! (`liu2011` 5.2).
//!
//! **Criterion.** A straight line is laid through the last third of the peek
//! curve. The set is reached at the earliest instant from which on the curve
//! stays within a tolerance of that line, the line then being laid anew from
//! there on. The set is the line's value at that instant. It counts as seen
//! when
//! - it is reached within the window's first half, so that the straight part
//!   is longer than what it was fitted to: a curve that still bends leaves the
//!   line backwards before that;
//! - the line meets the axis clearly above zero: otherwise the curve is
//!   straight from the start, and the guest writes nothing again.
//!
//! The tolerance is the largest of: twice the scatter of the points around the
//! line; the scatter expected of as many sampled pages as the curve's second
//! half adds; and 2 % of the curve's end, or 5 % of the line's value on the
//! axis where that is less.

use std::time::Duration;

use thiserror::Error;
use vmferry_core::{Bytes, CurvePoint, PageHistory};

use super::dirtied::{Dirtied, bytes_per_page, nearest_look};
use super::least_squares::Line;
use super::peek_curve::peek_curve;

/// Fewest points of a curve to judge it by: 1 s of peeks.
const FEWEST_POINTS: usize = 20;

/// A writable working set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkingSet {
    /// Its size.
    pub size: Bytes,
    /// Standard error of the size, from sampling pages.
    pub standard_error: Bytes,
    /// When the curve reached it, from the window's start.
    pub reached: Duration,
}

/// Why no working set was seen.
#[derive(Clone, Copy, Debug, PartialEq, Error)]
pub enum WorkingSetUnknown {
    /// Too few looks.
    #[error(
        "only {points} looks 50 ms apart or more, of at least {FEWEST_POINTS}; observe for longer"
    )]
    FewLooks {
        /// Points of the peek curve.
        points: usize,
    },
    /// The slope still changes.
    #[error(
        "the window of {window_s:.0} s is too short: more and more pages are written for the first time, at a pace that still changes; observe for longer"
    )]
    StillBending {
        /// The window.
        window_s: f64,
    },
    /// Nothing is written again.
    #[error(
        "the window of {window_s:.0} s is too short: pages are written for the first time at one pace from its start to its end, hardly any again; observe for longer"
    )]
    Straight {
        /// The window.
        window_s: f64,
    },
}

/// The writable working set. Its time comes from `history`; its size too, or
/// from `slow`, more pages at a slower pace, where that was quick enough.
///
/// # Errors
/// Why it was not seen.
pub fn working_set(
    history: &PageHistory,
    slow: Option<&PageHistory>,
) -> Result<WorkingSet, WorkingSetUnknown> {
    let points = peek_curve(history);
    let knee = knee(&points, bytes_per_page(history))?;
    let at_us = knee.reached.as_secs_f64() * 1e6;
    let slow = slow.filter(|slow| slow.intervals() > 0 && slow.interval_us(0).1 as f64 <= at_us);
    let counted = slow.unwrap_or(history);
    let mut dirtied = Dirtied::new(counted);
    (0..nearest_look(counted, at_us)).for_each(|interval| dirtied.add(interval));
    let estimate = dirtied.estimate();
    Ok(WorkingSet {
        size: match slow {
            Some(_) => estimate.size(),
            None => Bytes(knee.bytes.round().max(0.0) as u64),
        },
        standard_error: estimate.standard_error_size(),
        reached: knee.reached,
    })
}

struct Knee {
    reached: Duration,
    bytes: f64,
}

fn knee(points: &[CurvePoint], bytes_per_page: f64) -> Result<Knee, WorkingSetUnknown> {
    let curve: Vec<(f64, f64)> = points
        .iter()
        .map(|p| (p.window_ms.0 / 1e3, p.dirtied_bytes.0 as f64))
        .collect();
    let count = curve.len();
    if count < FEWEST_POINTS {
        return Err(WorkingSetUnknown::FewLooks { points: count });
    }
    let (window_s, end) = curve[count - 1];
    if end == 0.0 {
        return Ok(Knee {
            reached: Duration::ZERO,
            bytes: 0.0,
        });
    }
    let first_at = |s: f64| curve.partition_point(|p| p.0 < s);
    let half = first_at(window_s / 2.0);
    let added_pages = (end - curve[half].1) / bytes_per_page;
    let expected_scatter = added_pages.max(0.0).sqrt() * bytes_per_page;

    // The line through the last third, then once more from where the curve meets it.
    let mut from = first_at(window_s * 2.0 / 3.0);
    let mut line = Line {
        intercept: 0.0,
        slope: 0.0,
    };
    for _ in 0..2 {
        let tail = &curve[from..];
        line = Line::through(tail.iter().copied()).unwrap_or(line);
        let squares: f64 = tail.iter().map(|p| (p.1 - line.at(p.0)).powi(2)).sum();
        let scatter = (squares / tail.len() as f64).sqrt();
        let tolerance = (0.02 * end)
            .min(0.05 * line.intercept.max(0.0))
            .max(2.0 * scatter)
            .max(expected_scatter);
        from = curve[..from]
            .iter()
            .rposition(|p| (p.1 - line.at(p.0)).abs() > tolerance)
            .map_or(0, |outside| outside + 1);
    }
    if from > half {
        return Err(WorkingSetUnknown::StillBending { window_s });
    }
    // A line through a random walk's last third misses the origin by about 1.3 times the walk's
    // standard deviation.
    let by_chance = 2.0 * 1.3 * (end * bytes_per_page).sqrt();
    if line.intercept < by_chance.min(0.5 * end).max(0.05 * end) {
        return Err(WorkingSetUnknown::Straight { window_s });
    }
    let (reached_s, _) = curve[from];
    Ok(Knee {
        reached: Duration::from_secs_f64(reached_s),
        bytes: line.at(reached_s),
    })
}
