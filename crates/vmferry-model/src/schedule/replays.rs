//! Moves that begin at every moment of a recorded page history.

use std::ops::Range;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use vmferry_core::PageHistory;
use vmferry_precopy::dirt::Recording;

use super::timed_move::{Origin, TimedMove};
use crate::predictor::hist::whole_memory;
use crate::predictor::{CannotForecast, Case, Draw, Ended, RuleSet, Technique};

/// Replays `count` moves by QEMU's rules over a history that began at `began`,
/// their starts spread evenly over the span `starts` of it: HIST of
/// `akoush2010`, by the time of day. What the history does not reach begins
/// anew, as [`Recording`] says.
///
/// The link's noise and what is known of hosts and guest are drawn; the n-th
/// start of every history sees the same draw, so that two times of day differ
/// by what the guest did and not by luck.
///
/// # Errors
/// When the case makes no sense or the history holds no interval.
pub fn replayed(
    case: &Case<'_>,
    history: &PageHistory,
    began: Timestamp,
    starts: Range<Duration>,
    count: u32,
    seed: u64,
) -> Result<Vec<TimedMove>, CannotForecast> {
    case.check("hist", &[Technique::PreCopy])?;
    let recording = Recording::new(history).ok_or_else(|| CannotForecast::Unknown {
        model: "hist",
        guest: case.label(),
        what: "a history of which pages are dirtied when",
        remedy: "record the guest for some minutes",
    })?;
    let units = whole_memory(case, history, recording.units());
    let (from, to) = (starts.start.as_secs_f64(), starts.end.as_secs_f64());
    let moves = (0..count).map(|number| {
        // The middle of each of so many equal pieces.
        let share = (f64::from(number) + 0.5) / f64::from(count);
        let offset = from + (to - from) * share;
        let draw = Draw::of(case, seed, number);
        let dirt = recording.replayed(offset, draw.dirt, units.clone());
        let replay = RuleSet::Qemu.replay(case, &draw, &dirt);
        let after = SignedDuration::try_from_secs_f64(offset).unwrap_or(SignedDuration::MAX);
        TimedMove {
            at: began.checked_add(after).unwrap_or(Timestamp::MAX),
            ended: Ended::of(&replay).filter(|_| replay.converged_within(case.deadline())),
            origin: Origin::Replayed,
        }
    });
    Ok(moves.collect())
}
