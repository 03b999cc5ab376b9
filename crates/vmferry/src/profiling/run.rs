//! Makes the migrations of a profile, one after the other.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tokio::sync::watch;
use vmferry_core::plan::MoveLimits;
use vmferry_core::{ByteRate, OutcomeStatus, Plan, Ratio};
use vmferry_hypervisor::qmp::{ConnectOptions, Guest};
use vmferry_migrate::MoveDir;
use vmferry_migrate::migration_threads::StreamUse;
use vmferry_model::cpu_profile::{CapPoint, ParallelPoint};
use vmferry_testbed::{GuestSpec, Side, TestGuest, Testbed};

use super::at_once;
use super::capped_move::{self, CappedMove};
use super::half_done::HalfDone;
use super::load;
use super::settings::{ProfileSettings, Task};
use super::validity::Validity;
use crate::Error;

/// A cap holds where no more than this share beyond it was used.
const OVERSHOOT: f64 = 0.10;
/// The same in processor time, whatever the cap: a thread runs on until the
/// kernel's next tick after its quota is used up, and pays that back in the
/// periods that follow, of which the last ones of a move are missing.
const OVERSHOOT_TIME: Duration = Duration::from_millis(30);

/// A migration that fails, or whose cap is not seen to hold, is made so often:
/// on a busy machine a reading may come late.
const TRIES: u32 = 3;

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
    let run = Run {
        settings,
        testbed: &testbed,
        state,
        guard,
        cancel,
    };
    let made = run.go(tell).await;
    let closed = testbed.close().await;
    let made = made?;
    closed?;
    Ok(made)
}

/// A run on its testbed.
pub(super) struct Run<'a> {
    pub(super) settings: &'a ProfileSettings,
    pub(super) testbed: &'a Testbed,
    pub(super) state: &'a Path,
    pub(super) guard: fn(&MoveDir) -> Command,
    cancel: &'a watch::Receiver<bool>,
}

impl Run<'_> {
    async fn go(&self, tell: &mut impl FnMut(ProfileStep)) -> Result<(HalfDone, Validity), Error> {
        let tasks = self.settings.tasks();
        let nothing = || Error::Internal("a profile without migrations".into());
        let first = tasks.first().ok_or_else(nothing)?;
        // The hosts are asked through the first guest.
        let guest = self.boot(None, first, tell).await?;
        let ask = |uri| async move { Guest::connect(&uri, ConnectOptions::default()).await };
        let (source, destination) = (
            ask(guest.source_uri()).await?,
            ask(guest.destination_uri()).await?,
        );
        let validity = Validity::of(&source, &destination, self.settings.link_rate).await?;
        drop((source, destination));
        kill(&guest).await?;
        let mut half = HalfDone::open(self.state, self.settings, &validity)?;
        // First, since they are few: a run that is cut off has them.
        at_once::rounds(self, &mut half, tell).await?;
        self.moves(tasks, &mut half, tell).await?;
        Ok((half, validity))
    }

    /// Every move under caps that is not made yet.
    async fn moves(
        &self,
        tasks: Vec<Task>,
        half: &mut HalfDone,
        tell: &mut impl FnMut(ProfileStep),
    ) -> Result<(), Error> {
        let all = tasks.len();
        let left = half.left(tasks);
        let before = all - left.len();
        let mut guest = None;
        for (done, task) in (before + 1..).zip(left) {
            let mut tries = 1;
            let point = loop {
                self.go_on()?;
                // After a move the next guest boots anew.
                let ready = self.boot(guest.take(), &task, tell).await?;
                let measured = self.measure(&ready, &task).await?;
                guest = Some(ready);
                match measured {
                    Ok(point) => break point,
                    Err(why) if tries == TRIES => return Err(self.stopped(&why)),
                    Err(why) => {
                        tries += 1;
                        tell(ProfileStep::Doing(format!("once more: {why}")));
                    }
                }
            };
            half.add(point.clone())?;
            tell(ProfileStep::Point {
                point: Box::new(point),
                done,
                all,
            });
        }
        match guest {
            Some(last) => kill(&last).await,
            None => Ok(()),
        }
    }

    /// Refuses to, once the operator has asked for the end.
    pub(super) fn go_on(&self) -> Result<(), Error> {
        if *self.cancel.borrow() {
            return Err(Error::ProfilingCancelled {
                state: self.state.to_owned(),
            });
        }
        Ok(())
    }

    /// Why profiling ends before it is done.
    pub(super) fn stopped(&self, why: &str) -> Error {
        Error::Profiling(format!(
            "profiling stopped: {why}; what was measured so far is in {}: run the same command again to go on",
            self.state.display()
        ))
    }

    /// The guest of a task, freshly booted at the source.
    async fn boot(
        &self,
        last: Option<TestGuest>,
        task: &Task,
        tell: &mut impl FnMut(ProfileStep),
    ) -> Result<TestGuest, Error> {
        let spec = load::guest(task.guest, task.intensity);
        if last.as_ref().map(TestGuest::name) != Some(spec.name.clone()) {
            if let Some(last) = last {
                kill(&last).await?;
            }
            tell(ProfileStep::Doing(format!("{}: {}", spec.name, spec.load)));
        }
        self.booted(spec, tell).await
    }

    /// A guest, freshly booted at the source, whether it is known already or not.
    pub(super) async fn booted(
        &self,
        spec: GuestSpec,
        tell: &mut impl FnMut(ProfileStep),
    ) -> Result<TestGuest, Error> {
        let mut boots = 1;
        loop {
            let known = self.testbed.guests();
            let known = known.into_iter().find(|guest| guest.name() == spec.name);
            let booted = match known {
                Some(guest) => guest.reset().await.map(|()| guest),
                None => self.testbed.start_guest(spec.clone()).await,
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

    /// Makes one migration and says what it showed, or why that is worth another
    /// try.
    async fn measure(
        &self,
        guest: &TestGuest,
        task: &Task,
    ) -> Result<Result<CapPoint, String>, Error> {
        let what = format!("guest {} under {}", guest.name(), task.caps);
        let moved = capped_move::run(
            plan(self.settings, guest),
            task.caps,
            self.settings.limit_ms.duration(),
            self.guard,
        )
        .await;
        let moved = moved.map_err(|error| self.stopped(&format!("{what}: {error}")))?;
        let converged = match moved.outcome.status {
            OutcomeStatus::Completed => true,
            OutcomeStatus::Cancelled => false,
            _ => {
                let why = moved.outcome.error.as_deref();
                let why = why.unwrap_or("QEMU does not say why");
                return Ok(Err(format!("the migration of {what} failed: {why}")));
            }
        };
        for (end, cap, used) in [
            ("source", task.caps.source, moved.source),
            ("destination", task.caps.destination, moved.destination),
        ] {
            if let Err(why) = holds(cap, used) {
                return Ok(Err(format!(
                    "the cap at the {end} is not seen to hold: {what}, {why}; another scheduler than the kernel's own may be in use, or somebody moves threads between control groups"
                )));
            }
        }
        Ok(Ok(point(task, &moved, converged)))
    }
}

pub(super) async fn kill(guest: &TestGuest) -> Result<(), Error> {
    for side in Side::BOTH {
        guest.kill(side).await?;
    }
    Ok(())
}

/// A guest that does not boot is tried so often: right after a kill its tap may
/// still be taken.
const BOOTS: u32 = 3;

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

/// Whether the use that was metered shows that a cap held, or why not.
fn holds(cap: Option<Ratio>, used: Option<StreamUse>) -> Result<(), String> {
    let Some(cap) = cap else {
        return Ok(());
    };
    let used = used.ok_or("what its threads used was not metered")?;
    let most = used.elapsed.mul_f64(cap.0 * (1.0 + OVERSHOOT)) + OVERSHOOT_TIME;
    if used.cpu_time <= most {
        Ok(())
    } else {
        Err(format!("its threads used {}", used.share()))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cap_is_verified_by_what_was_used() {
        let used = |cpu_s: f64, elapsed_s: f64| {
            Some(StreamUse {
                cpu_time: Duration::from_secs_f64(cpu_s),
                elapsed: Duration::from_secs_f64(elapsed_s),
            })
        };
        let one = Some(Ratio(0.01));
        assert_eq!(holds(one, used(1.05, 100.0)), Ok(()));
        let why = holds(one, used(2.0, 100.0)).unwrap_err();
        assert_eq!(why, "its threads used 2.0 %");
        // A tick too many counts in a short move only.
        assert_eq!(holds(Some(Ratio(0.9)), used(1.84, 2.0)), Ok(()));
        assert_eq!(holds(None, used(2.0, 2.0)), Ok(()));
        assert!(holds(one, None).is_err());
    }
}
