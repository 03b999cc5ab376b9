//! Moves quiet guests at once, uncapped: what estimates are checked against.

use std::path::Path;
use std::process::Command;

use tokio::sync::watch;
use tokio::task::JoinSet;
use vmferry_core::{Bytes, Millis, Outcome, OutcomeStatus};
use vmferry_migrate::MoveDir;
use vmferry_model::cpu_profile::{Caps, ParallelPoint};
use vmferry_testbed::{Side, TestGuest, Testbed};

use super::capped_move;
use super::half_done::HalfDone;
use super::load;
use super::run::{ProfileStep, plan};
use super::settings::ProfileSettings;
use crate::Error;

/// Makes every round that is not made yet.
pub(crate) async fn rounds(
    settings: &ProfileSettings,
    testbed: &Testbed,
    half: &mut HalfDone,
    (guard, state): (fn(&MoveDir) -> Command, &Path),
    cancel: &watch::Receiver<bool>,
    tell: &mut impl FnMut(ProfileStep),
) -> Result<(), Error> {
    let mut guests: Vec<TestGuest> = Vec::new();
    for number in half.rounds_left(settings.rounds()) {
        if *cancel.borrow() {
            return Err(Error::ProfilingCancelled {
                state: state.to_owned(),
            });
        }
        tell(ProfileStep::Doing(format!("{number} quiet guests at once")));
        let number = usize::try_from(number).unwrap_or(1);
        for (nth, guest) in guests.iter().enumerate() {
            if nth < number {
                guest.reset().await?;
            } else {
                for side in Side::BOTH {
                    guest.kill(side).await?;
                }
            }
        }
        for nth in guests.len()..number {
            let name = u32::try_from(nth + 1).unwrap_or(u32::MAX);
            guests.push(testbed.start_guest(load::quiet(name)).await?);
        }
        let outcomes = round(settings, &guests[..number], guard).await.map_err(|error| {
            Error::Profiling(format!(
                "profiling stopped at {number} guests moved at once: {error}; what was measured so far is in {}: run the same command again to go on",
                state.display()
            ))
        })?;
        let point = point(&outcomes)?;
        half.add_at_once(point.clone())?;
        tell(ProfileStep::AtOnce(Box::new(point)));
    }
    Ok(())
}

async fn round(
    settings: &ProfileSettings,
    guests: &[TestGuest],
    guard: fn(&MoveDir) -> Command,
) -> Result<Vec<Outcome>, Error> {
    let mut moves = JoinSet::new();
    for guest in guests {
        let limit = settings.limit_ms.duration() * u32::try_from(guests.len()).unwrap_or(1);
        moves.spawn(capped_move::run(
            plan(settings, guest),
            Caps::default(),
            limit,
            guard,
        ));
    }
    let mut outcomes = Vec::new();
    let mut failed = None;
    // All of them end, whatever becomes of one: none is left half moved.
    while let Some(moved) = moves.join_next().await {
        match moved {
            Ok(Ok(moved)) => outcomes.push(moved.outcome),
            Ok(Err(error)) => failed = failed.or(Some(error)),
            Err(error) => {
                let fault = Error::Internal(format!("a move among several: {error}"));
                failed = failed.or(Some(fault));
            }
        }
    }
    failed.map_or(Ok(outcomes), Err)
}

fn point(outcomes: &[Outcome]) -> Result<ParallelPoint, Error> {
    let mut total_times_ms = Vec::new();
    let mut transferred_bytes = Bytes(0);
    let (mut first, mut last) = (f64::INFINITY, 0.0_f64);
    for outcome in outcomes {
        let (OutcomeStatus::Completed, Some(time)) = (outcome.status, outcome.total_time_ms) else {
            return Err(Error::Profiling(format!(
                "a move among {} did not end well: {}; run the same command again",
                outcomes.len(),
                outcome
                    .error
                    .as_deref()
                    .unwrap_or("it did not converge in time")
            )));
        };
        let began = outcome.started_at.as_microsecond() as f64 / 1e3;
        first = first.min(began);
        last = last.max(began + time.0);
        total_times_ms.push(time);
        transferred_bytes += outcome.transferred_bytes.unwrap_or_default();
    }
    Ok(ParallelPoint {
        guests: u32::try_from(outcomes.len()).unwrap_or(u32::MAX),
        total_times_ms,
        makespan_ms: Millis(last - first),
        transferred_bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use vmferry_core::Place;

    fn outcome(began_s: i64, total_ms: f64, status: OutcomeStatus) -> Outcome {
        let at = jiff::Timestamp::from_second(began_s).unwrap();
        Outcome {
            total_time_ms: Some(Millis(total_ms)),
            transferred_bytes: Some(Bytes::from_mib(100)),
            ..Outcome::unseen(status, Place::RunningAtDestination, String::new(), at, at)
        }
    }

    #[test]
    fn from_the_first_command_to_the_last_end() {
        let done = OutcomeStatus::Completed;
        let made = point(&[outcome(10, 2500.0, done), outcome(11, 2000.0, done)]).unwrap();
        assert_eq!(made.makespan_ms, Millis(3000.0));
        assert_eq!(
            (made.guests, made.transferred_bytes),
            (2, Bytes::from_mib(200))
        );
        let failed = point(&[
            outcome(10, 1.0, done),
            outcome(10, 1.0, OutcomeStatus::Failed),
        ]);
        assert!(failed.is_err());
    }
}
