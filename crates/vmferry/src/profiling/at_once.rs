//! Moves quiet guests at once, uncapped: what estimates are checked against.

use std::process::Command;
use std::time::Duration;

use tokio::task::JoinSet;
use vmferry_core::{Bytes, Millis, OutcomeStatus};
use vmferry_migrate::MoveDir;
use vmferry_migrate::migration_threads::StreamUse;
use vmferry_model::cpu_profile::{Caps, ParallelPoint};
use vmferry_testbed::TestGuest;

use super::capped_move::{self, CappedMove};
use super::half_done::HalfDone;
use super::load;
use super::run::{ProfileStep, Run, kill, plan};
use super::settings::ProfileSettings;
use crate::Error;

/// Makes every round that is not made yet.
pub(super) async fn rounds(
    run: &Run<'_>,
    half: &mut HalfDone,
    tell: &mut impl FnMut(ProfileStep),
) -> Result<(), Error> {
    let mut guests: Vec<TestGuest> = Vec::new();
    for number in half.rounds_left(run.settings.rounds()) {
        run.go_on()?;
        tell(ProfileStep::Doing(format!("{number} quiet guests at once")));
        for guest in guests.drain(..) {
            kill(&guest).await?;
        }
        for nth in 1..=number {
            guests.push(run.booted(load::quiet(nth), tell).await?);
        }
        let moved = round(run.settings, &guests, run.guard).await;
        let point = moved.and_then(|moved| point(&moved));
        let point = point
            .map_err(|error| run.stopped(&format!("{number} guests moved at once: {error}")))?;
        half.add_at_once(point.clone())?;
        tell(ProfileStep::AtOnce(Box::new(point)));
    }
    for guest in guests {
        kill(&guest).await?;
    }
    Ok(())
}

async fn round(
    settings: &ProfileSettings,
    guests: &[TestGuest],
    guard: fn(&MoveDir) -> Command,
) -> Result<Vec<CappedMove>, Error> {
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
    let mut all = Vec::new();
    let mut failed = None;
    // All of them end, whatever becomes of one: none is left half moved.
    while let Some(moved) = moves.join_next().await {
        match moved {
            Ok(Ok(moved)) => all.push(moved),
            Ok(Err(error)) => failed = failed.or(Some(error)),
            Err(error) => {
                let fault = Error::Internal(format!("a move among several: {error}"));
                failed = failed.or(Some(fault));
            }
        }
    }
    failed.map_or(Ok(all), Err)
}

fn point(moves: &[CappedMove]) -> Result<ParallelPoint, Error> {
    let mut total_times_ms = Vec::new();
    let mut transferred_bytes = Bytes(0);
    let (mut first, mut last) = (f64::INFINITY, 0.0_f64);
    for outcome in moves.iter().map(|moved| &moved.outcome) {
        let (OutcomeStatus::Completed, Some(time)) = (outcome.status, outcome.total_time_ms) else {
            return Err(Error::Profiling(format!(
                "one of them did not end well: {}",
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
    let cpu = |of: fn(&CappedMove) -> Option<StreamUse>| {
        let of_each = moves
            .iter()
            .map(|moved| of(moved).map(|used| used.cpu_time));
        of_each.sum::<Option<Duration>>().map(Millis::from)
    };
    Ok(ParallelPoint {
        guests: u32::try_from(moves.len()).unwrap_or(u32::MAX),
        total_times_ms,
        makespan_ms: Millis(last - first),
        transferred_bytes,
        source_cpu_ms: cpu(|moved| moved.source),
        destination_cpu_ms: cpu(|moved| moved.destination),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use vmferry_core::{Outcome, Place};

    fn moved(began_s: i64, total_ms: f64, status: OutcomeStatus) -> CappedMove {
        let at = jiff::Timestamp::from_second(began_s).unwrap();
        let used = |ms| StreamUse {
            cpu_time: Duration::from_millis(ms),
            elapsed: Duration::from_secs(2),
        };
        CappedMove {
            outcome: Outcome {
                total_time_ms: Some(Millis(total_ms)),
                transferred_bytes: Some(Bytes::from_mib(100)),
                ..Outcome::unseen(status, Place::RunningAtDestination, String::new(), at, at)
            },
            uncapped: None,
            source: Some(used(300)),
            destination: (began_s == 10).then(|| used(900)),
        }
    }

    #[test]
    fn from_the_first_command_to_the_last_end() {
        let done = OutcomeStatus::Completed;
        let made = point(&[moved(10, 2500.0, done), moved(11, 2000.0, done)]).unwrap();
        assert_eq!(made.makespan_ms, Millis(3000.0));
        assert_eq!(
            (made.guests, made.transferred_bytes),
            (2, Bytes::from_mib(200))
        );
        assert_eq!(made.source_cpu_ms, Some(Millis(600.0)));
        // Of one of them it is not known.
        assert_eq!(made.destination_cpu_ms, None);
        let failed = point(&[moved(10, 1.0, done), moved(10, 1.0, OutcomeStatus::Failed)]);
        assert!(failed.is_err());
    }
}
