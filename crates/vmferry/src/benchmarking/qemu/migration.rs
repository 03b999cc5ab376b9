//! One migration of a benchmark, measured from outside.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use vmferry_bench::plan::{BenchPlan, Subject};
use vmferry_bench::platform::Fault;
use vmferry_bench::record::{Blackout, Phases, PointRecord, PointStatus};
use vmferry_core::{Bytes, MoveEvent, Outcome, OutcomeStatus, Place, Plan, Ratio};
use vmferry_hypervisor::qmp::Guest;
use vmferry_measure::ObserveOptions;
use vmferry_measure::outage::monotonic_ns;
use vmferry_measure::pages::PageOptions;
use vmferry_migrate::{DEFAULT_STALL_TIMEOUT, EventSink, MigrateError};
use vmferry_testbed::{Side, TestGuest};

use super::blackout::Checkpoints;
use super::looking::{Looking, Seen};
use super::meters::{Meters, Reading, Used};
use super::power::{Moments, Power};
use super::sending_threads::SendingThreads;
use super::settings;
use crate::HistoryPlace;
use crate::guard_command;
use crate::moving::{self, MoveOptions, PreparedMove};

/// How long before the command and after the end the service is looked at.
const AROUND: Duration = Duration::from_secs(3);
/// How long after an end the first answer is waited for; it then counts as not back.
const RETURN_PATIENCE: Duration = Duration::from_secs(30);
/// Share of one core that observing may use.
const OBSERVE_BUDGET: Ratio = Ratio(0.05);

/// A guest about to migrate.
pub(super) struct Migration<'a> {
    pub(super) guest: &'a TestGuest,
    pub(super) plan: &'a BenchPlan,
    pub(super) subject: &'a Subject,
    pub(super) history: &'a HistoryPlace,
}

/// The monitors of both ends beside those that the move uses.
struct Ends {
    source: Guest,
    destination: Guest,
}

/// The migration command: when, by the clock of probes, and what the meters showed.
#[derive(Clone, Copy)]
struct Begin {
    at_ns: u64,
    meters: Reading,
}

impl Migration<'_> {
    /// Observes, forecasts, migrates, measures; `looking` has asked for a while, and ends.
    pub(super) async fn run(
        &self,
        looking: Looking,
        mut power: Option<&mut Power>,
    ) -> Result<PointRecord, Fault> {
        let (called_ns, asked) = (monotonic_ns(), Instant::now());
        let ends = Ends {
            source: self.guest.watch(Side::Source).await?,
            destination: self.guest.watch(Side::Destination).await?,
        };
        settings::apply(self.subject, &ends.source).await?;
        settings::apply(self.subject, &ends.destination).await?;
        let mut record = PointRecord::unmeasured(PointStatus::Refused);
        let prepared = match self.prepare(&mut record).await {
            Ok(prepared) => prepared,
            Err(error) => return Ok(refused(record, error.to_string())),
        };
        if self.subject.promise.is_some() && prepared.is_advised_against() {
            let why = "vmferry refused: the subject's promise cannot be kept";
            return Ok(refused(record, why.to_owned()));
        }
        let meters = Arc::new(Meters::open(self.guest, &ends.destination).await?);
        sleep(AROUND).await;
        let before = meters.sent();
        let (begin, end, outcome, sent_s) = match self.go(prepared, &ends, &meters).await {
            Ok(gone) => gone,
            Err(fault) if stayed(&fault) => {
                let at_s = monotonic_ns().saturating_sub(called_ns) as f64 / 1e9;
                return Ok(not_started(record, at_s, fault.to_string()));
            }
            Err(fault) => return Err(fault),
        };
        let used = Used::between(&begin.meters, &end, sent_s);
        let carried = meters.carried_since(before);
        if let Some(power) = &power {
            power.end();
        }
        let returned = monotonic_ns();
        wait_for_answers(&looking, returned).await;
        sleep(AROUND).await;
        let seen = tokio::task::spawn_blocking(|| looking.stop()).await??;
        record.at_s = begin.at_ns.saturating_sub(called_ns) as f64 / 1e9;
        (record.migration_cpu, record.bench_cpu) = (used.cpu, Some(used.own));
        record.migrated_bytes = carried;
        if let Some(power) = &mut power {
            let moments = Moments {
                asked,
                began: begin.meters.at,
                ended: end.at,
            };
            match power.energy(&moments).await {
                Ok(hosts) => {
                    record.energy_j = Some(hosts.iter().map(|one| one.energy.energy_j.0).sum());
                    record.energy = hosts;
                }
                Err(error) => record.energy_failure = Some(error.to_string()),
            }
        }
        self.judge(&mut record, outcome, (begin, end.at), &seen)?;
        Ok(record)
    }

    /// A forecast where one can be made; a move without one otherwise.
    async fn prepare(&self, record: &mut PointRecord) -> Result<PreparedMove, crate::Error> {
        let quiet: EventSink = Arc::new(|_: &MoveEvent| ());
        let mut options = MoveOptions {
            // As it is by itself; hosts and link it learns from this benchmark's moves alone.
            model: "pages".to_owned(),
            history: self.history.clone(),
            bandwidth: self.plan.link,
            observe: ObserveOptions {
                pages: PageOptions {
                    window: Duration::from_secs_f64(self.plan.observe_s),
                    budget: OBSERVE_BUDGET,
                    ..PageOptions::default()
                },
                ..ObserveOptions::default()
            },
            profile: None,
            forecast: true,
            at_once: true,
            stall_timeout: DEFAULT_STALL_TIMEOUT,
        };
        match moving::prepare(self.move_plan(), &options, &quiet).await {
            Ok(prepared) => {
                record.forecast = prepared.forecast().cloned();
                Ok(prepared)
            }
            // What a promise is kept by needs the forecast.
            Err(error) if self.subject.promise.is_some() => Err(error),
            Err(error) => {
                record.forecast_failure = Some(error.to_string());
                options.forecast = false;
                moving::prepare(self.move_plan(), &options, &quiet).await
            }
        }
    }

    fn move_plan(&self) -> Plan {
        Plan {
            source: self.guest.source_uri(),
            destination: self.guest.destination_uri(),
            via: self.guest.via(),
            limits: settings::limits(self.plan, self.subject),
            tls_dir: None,
            promise: self.subject.promise,
        }
    }

    async fn go(
        &self,
        prepared: PreparedMove,
        ends: &Ends,
        meters: &Arc<Meters>,
    ) -> Result<(Begin, Reading, Outcome, Option<f64>), Fault> {
        let begun: Arc<Mutex<Option<Begin>>> = Arc::default();
        let ended: Arc<Mutex<Option<Reading>>> = Arc::default();
        let (started, is_started) = watch::channel(false);
        let sink: EventSink = {
            let (begun, ended) = (Arc::clone(&begun), Arc::clone(&ended));
            let meters = Arc::clone(meters);
            Arc::new(move |event: &MoveEvent| match event {
                MoveEvent::Started { .. } => {
                    note(
                        &begun,
                        Begin {
                            at_ns: monotonic_ns(),
                            meters: meters.read(),
                        },
                    );
                    started.send_replace(true);
                }
                MoveEvent::Ended { .. } => note(&ended, meters.read()),
                _ => {}
            })
        };
        let (give_up, cancel) = watch::channel(false);
        let mut after = vec![once(
            is_started.clone(),
            self.plan.deadline_ms.duration(),
            async move {
                give_up.send_replace(true);
            },
        )];
        if let Some(wait) = self.subject.postcopy_after_ms {
            let source = ends.source.clone();
            after.push(once(is_started, wait.duration(), async move {
                // Refused where the migration has ended by itself, which is no fault.
                if let Err(error) = source.migrate_start_postcopy().await {
                    tracing::info!(%error, "post-copy not started");
                }
            }));
        }
        let sending = SendingThreads::follow(meters.source_pid());
        let report = prepared.go(guard_command, cancel, sink).await;
        let sent_s = sending.used_s();
        after.iter().for_each(JoinHandle::abort);
        let outcome = report?.outcome.ok_or("a move without an outcome")?;
        let begin = noted(&begun).ok_or("the migration command was not given")?;
        let end = noted(&ended).unwrap_or_else(|| meters.read());
        Ok((begin, end, outcome, sent_s))
    }

    /// Puts together what was seen.
    fn judge(
        &self,
        record: &mut PointRecord,
        outcome: Outcome,
        (begin, end): (Begin, Instant),
        seen: &Seen,
    ) -> Result<(), Fault> {
        record.status = match outcome.status {
            OutcomeStatus::Completed => PointStatus::Completed,
            OutcomeStatus::Cancelled => PointStatus::NotConverged,
            _ => PointStatus::Failed,
        };
        if outcome.place == Place::Uncertain {
            let error = outcome.error.unwrap_or_default();
            return Err(format!(
                "guest {}: its place is uncertain: {error}",
                self.guest.name()
            )
            .into());
        }
        let around = AROUND.as_nanos() as u64;
        // QEMU does not tell it of what did not complete.
        let took = outcome.total_time_ms.map_or_else(
            || end.saturating_duration_since(begin.meters.at),
            |time| time.duration(),
        );
        let (from, to) = (begin.at_ns, begin.at_ns + took.as_nanos() as u64);
        // The network comes back after the hypervisor has ended.
        let moving = from..to + around;
        record.downtime = seen.downtimes(&moving);
        record.longest_stall_ms = seen.longest_stall(&moving);
        record.latency = Phases {
            before: seen.latency(from.saturating_sub(around)..from),
            during: seen.latency(from..to),
            after: seen.latency(to..to + around),
        };
        record.probes = seen.traces(&(from.saturating_sub(around)..to + around), from);
        if record.status == PointStatus::Completed {
            record.blackout = self.blackout(begin, seen)?;
        }
        record.failure.clone_from(&outcome.error);
        record.total_time_ms = outcome.total_time_ms;
        record.outcome = Some(outcome);
        Ok(())
    }

    fn blackout(&self, begin: Begin, seen: &Seen) -> Result<Blackout, Fault> {
        let of = |side| std::fs::read_to_string(self.log(side));
        let (source, destination) = (of(Side::Source)?, of(Side::Destination)?);
        let Some(since) = seen.clocks.realtime_ns(begin.at_ns) else {
            return Ok(Blackout::default());
        };
        let checkpoints = Checkpoints::read(&source, &destination, since as f64 / 1e9);
        let first_answer = checkpoints.resumed().and_then(|resumed_s| {
            let resumed = seen.clocks.monotonic_ns((resumed_s * 1e9) as u64)?;
            let answer = seen.first_answer_after(resumed)?;
            Some(seen.clocks.realtime_ns(answer)? as f64 / 1e9)
        });
        Ok(checkpoints.blackout(first_answer))
    }

    fn log(&self, side: Side) -> PathBuf {
        self.guest.record().end(side).log.clone()
    }
}

fn note<T>(place: &Mutex<Option<T>>, what: T) {
    *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(what);
}

fn noted<T: Copy>(place: &Mutex<Option<T>>) -> Option<T> {
    *place.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether the hypervisor refused the migration and the guest runs where it was: a result of the
/// point, not the end of the run.
fn stayed(fault: &Fault) -> bool {
    matches!(
        fault.downcast_ref::<crate::Error>(),
        Some(crate::Error::Migrate(MigrateError::NotStarted {
            place: Place::RunningAtSource,
            ..
        }))
    )
}

/// Does something so long after the migration command.
fn once(
    mut started: watch::Receiver<bool>,
    wait: Duration,
    what: impl Future<Output = ()> + Send + 'static,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        if started.wait_for(|started| *started).await.is_ok() {
            sleep(wait).await;
            what.await;
        }
    })
}

/// Waits until the service answers in every way, or for long enough to call it gone.
async fn wait_for_answers(looking: &Looking, since_ns: u64) {
    let patience = Instant::now() + RETURN_PATIENCE;
    while !looking.answered_since(since_ns) && Instant::now() < patience {
        sleep(Duration::from_millis(20)).await;
    }
}

fn refused(record: PointRecord, why: String) -> PointRecord {
    PointRecord {
        status: PointStatus::Refused,
        failure: Some(why),
        ..record
    }
}

fn not_started(record: PointRecord, at_s: f64, why: String) -> PointRecord {
    PointRecord {
        at_s,
        status: PointStatus::Failed,
        failure: Some(why),
        migrated_bytes: Some(Bytes(0)),
        ..record
    }
}

#[cfg(test)]
mod tests {
    use vmferry_core::GuestUri;
    use vmferry_hypervisor::HypervisorError;

    use super::*;

    #[test]
    fn a_migration_that_was_refused_is_a_point_and_a_guest_that_is_lost_none() {
        let refused = |place| -> Fault {
            let guest = GuestUri::local("/run/guest.sock");
            Box::new(crate::Error::Migrate(MigrateError::NotStarted {
                guest: Box::new(guest.clone()),
                place,
                source: HypervisorError::Closed {
                    guest: Arc::new(guest),
                    detail: String::new(),
                },
            }))
        };
        assert!(stayed(&refused(Place::RunningAtSource)));
        assert!(!stayed(&refused(Place::Uncertain)));
        assert!(!stayed(&"a move without an outcome".into()));
        let record = PointRecord::unmeasured(PointStatus::Refused);
        let point = not_started(record, 2.5, "it did not start".to_owned());
        assert_eq!((point.status, point.at_s), (PointStatus::Failed, 2.5));
    }
}
