//! Makes the migrations of a profile, one after the other.

use std::path::Path;
use std::process::Command;

use tokio::sync::watch;
use vmferry_core::plan::MoveLimits;
use vmferry_core::{ByteRate, OutcomeStatus, Plan, Ratio};
use vmferry_hypervisor::qmp::{ConnectOptions, Guest};
use vmferry_migrate::MoveDir;
use vmferry_migrate::migration_threads::StreamUse;
use vmferry_model::cpu_profile::{CapPoint, ParallelPoint};
use vmferry_testbed::{Side, TestGuest, Testbed};

use super::at_once;
use super::capped_move::{self, CappedMove};
use super::half_done::HalfDone;
use super::load;
use super::settings::{ProfileSettings, Task};
use super::validity::Validity;
use crate::Error;

/// A cap holds where no more than this share beyond it was used: the kernel's
/// quotas overshoot by up to a clock tick, and pay that back.
const OVERSHOOT: f64 = 0.10;
/// The same in shares of a CPU, for small caps and short moves.
const OVERSHOOT_LEAST: f64 = 0.02;

/// More than any link: QEMU's own `max-bandwidth` is 128 MiB/s unless it is set,
/// and would be what limits.
const NO_LIMIT: ByteRate = ByteRate::from_mbit_per_s(1e6);

/// What profiling says on its way.
#[derive(Clone, Debug)]
pub enum ProfileStep {
    /// Something begins.
    Doing(String),
    /// A migration ended; how many of all are done.
    Point {
        /// What it showed.
        point: Box<CapPoint>,
        /// Done so far, those of earlier runs included.
        done: usize,
        /// All of them.
        all: usize,
    },
    /// Guests that were moved at once have ended.
    AtOnce(Box<ParallelPoint>),
}

/// All points of a profile, on a testbed of its own; those that an earlier run
/// left in `state` are not made again. `guard` is the command that runs a guard,
/// a `true` on `cancel` ends the run after the migration under way.
///
/// # Errors
/// When the testbed, a guest or a cap fails: what was measured stays in `state`,
/// nothing stays capped, and the message says how to go on.
pub(crate) async fn points(
    settings: &ProfileSettings,
    state: &Path,
    guard: fn(&MoveDir) -> Command,
    cancel: &watch::Receiver<bool>,
    tell: &mut impl FnMut(ProfileStep),
) -> Result<(HalfDone, Validity), Error> {
    settings.check()?;
    tell(ProfileStep::Doing(match settings.link_rate {
        Some(rate) => format!("two hosts with a link of {rate}"),
        None => "two hosts with an unshaped link".to_owned(),
    }));
    let builder = Testbed::builder();
    let builder = match settings.link_rate {
        Some(rate) => builder.rate(rate),
        None => builder.unshaped(),
    };
    let testbed = builder.build().await?;
    let mut guest: Option<(Task, TestGuest)> = None;
    let tasks = settings.tasks();
    let all = tasks.len();
    // The hosts are asked through the first guest.
    let mut half: Option<(HalfDone, Validity)> = None;
    let mut left = tasks.clone();
    while let Some(task) = left.first().copied() {
        if *cancel.borrow() {
            return Err(Error::ProfilingCancelled {
                state: state.to_owned(),
            });
        }
        let ready = boot(&testbed, guest.take(), &task, tell).await?;
        let half = match &mut half {
            Some((half, _)) => half,
            none => {
                let connect =
                    |uri| async move { Guest::connect(&uri, ConnectOptions::default()).await };
                let (source, destination) = (
                    connect(ready.source_uri()).await?,
                    connect(ready.destination_uri()).await?,
                );
                let validity = Validity::of(&source, &destination, settings.link_rate).await?;
                let opened = HalfDone::open(state, settings, &validity)?;
                let still = opened.left(tasks.clone());
                let half = none.insert((opened, validity));
                if still.first() != Some(&task) {
                    left = still;
                    guest = Some((task, ready));
                    continue;
                }
                left = still;
                &mut half.0
            }
        };
        let point = measure(settings, &ready, &task, guard, state).await?;
        half.add(point.clone())?;
        left.remove(0);
        tell(ProfileStep::Point {
            point: Box::new(point),
            done: all - left.len(),
            all,
        });
        // It has moved: the next one boots anew.
        guest = Some((task, ready));
    }
    if let Some((_, last)) = guest {
        for side in Side::BOTH {
            last.kill(side).await?;
        }
    }
    let (mut half, validity) =
        half.ok_or_else(|| Error::Internal("a profile without migrations".into()))?;
    let made = at_once::rounds(settings, &testbed, &mut half, (guard, state), cancel, tell).await;
    testbed.close().await?;
    made.map(|()| (half, validity))
}

/// A guest that does not boot is tried so often: right after a kill its tap may
/// still be taken.
const BOOTS: u32 = 3;

/// The guest of a task, freshly booted at the source.
async fn boot(
    testbed: &Testbed,
    last: Option<(Task, TestGuest)>,
    task: &Task,
    tell: &mut impl FnMut(ProfileStep),
) -> Result<TestGuest, Error> {
    let spec = load::guest(task.guest, task.intensity);
    match last {
        Some((_, last)) if last.name() == spec.name => {}
        last => {
            if let Some((_, last)) = last {
                for side in Side::BOTH {
                    last.kill(side).await?;
                }
            }
            tell(ProfileStep::Doing(format!("{}: {}", spec.name, spec.load)));
        }
    }
    let mut boots = 1;
    loop {
        let known = testbed.guests();
        let known = known.into_iter().find(|guest| guest.name() == spec.name);
        let booted = match known {
            Some(guest) => guest.reset().await.map(|()| guest),
            None => testbed.start_guest(spec.clone()).await,
        };
        match booted {
            Ok(guest) => return Ok(guest),
            Err(error) if boots == BOOTS => return Err(error.into()),
            Err(error) => {
                boots += 1;
                tell(ProfileStep::Doing(format!(
                    "{} once more: {error}",
                    spec.name
                )));
            }
        }
    }
}

/// One migration of a profiling guest: nothing but CPU limits it.
pub(super) fn plan(settings: &ProfileSettings, guest: &TestGuest) -> Plan {
    Plan {
        source: guest.source_uri(),
        destination: guest.destination_uri(),
        via: guest.via(),
        limits: MoveLimits {
            max_downtime_ms: Some(settings.max_downtime_ms),
            max_bandwidth: Some(NO_LIMIT),
            ..MoveLimits::default()
        },
        tls_dir: None,
        promise: None,
    }
}

/// Makes one migration and says what it showed.
async fn measure(
    settings: &ProfileSettings,
    guest: &TestGuest,
    task: &Task,
    guard: fn(&MoveDir) -> Command,
    state: &Path,
) -> Result<CapPoint, Error> {
    let what = format!("guest {} under {}", guest.name(), task.caps);
    let moved = capped_move::run(
        plan(settings, guest),
        task.caps,
        settings.limit_ms.duration(),
        guard,
    )
    .await;
    let moved = moved.map_err(|error| {
        Error::Profiling(format!(
            "profiling stopped at {what}: {error}; what was measured so far is in {}: run the same command again to go on",
            state.display()
        ))
    })?;
    let converged = match moved.outcome.status {
        OutcomeStatus::Completed => true,
        OutcomeStatus::Cancelled => false,
        _ => {
            return Err(Error::Profiling(format!(
                "profiling stopped: the migration of {what} failed: {}; what was measured so far is in {}: run the same command again to go on",
                moved
                    .outcome
                    .error
                    .as_deref()
                    .unwrap_or("QEMU does not say why"),
                state.display()
            )));
        }
    };
    for (end, cap, used) in [
        ("source", task.caps.source, moved.source),
        ("destination", task.caps.destination, moved.destination),
    ] {
        holds(cap, used).map_err(|used| {
            Error::Profiling(format!(
                "the cap at the {end} does not hold: {what}, its threads used {used}; another scheduler than the kernel's own may be in use, or somebody moves threads between control groups"
            ))
        })?;
    }
    Ok(point(task, &moved, converged))
}

/// The share used where it is more than the cap allows.
fn holds(cap: Option<Ratio>, used: Option<StreamUse>) -> Result<(), Ratio> {
    match (cap, used) {
        (Some(cap), Some(used)) => {
            let most = (cap.0 * (1.0 + OVERSHOOT)).max(cap.0 + OVERSHOOT_LEAST);
            if used.share().0 <= most {
                Ok(())
            } else {
                Err(used.share())
            }
        }
        _ => Ok(()),
    }
}

fn point(task: &Task, moved: &CappedMove, converged: bool) -> CapPoint {
    let outcome = &moved.outcome;
    CapPoint {
        guest: task.guest,
        intensity: task.intensity,
        caps: task.caps,
        capped_after_ms: moved.uncapped.map(Into::into),
        total_time_ms: outcome.total_time_ms.filter(|_| converged),
        downtime_ms: outcome.downtime_ms.filter(|_| converged),
        transferred_bytes: outcome.transferred_bytes,
        source_use: moved.source.map(|used| used.share()),
        destination_use: moved.destination.map(|used| used.share()),
    }
}
