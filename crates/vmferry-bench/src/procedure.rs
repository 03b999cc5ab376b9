//! The procedure of `virtlm2011`, over any platform.
//!
//! ```text
//! ready: machine, subjects, images ─> store
//! each run: start, load, warm-up, points + 1 sectors              ─> reference
//!           start, load, warm-up, sector, (migrate, back, sector)* ─> migrated ─> store
//! ```
//! A run that fails is recorded with its failure, and the others are made. A benchmark that was
//! interrupted goes on with the runs that are missing.

mod event;
mod heavy;
mod pace;
mod ready;
mod running;

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::future::pending;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::Instant;
use uuid::Uuid;

use crate::error::BenchError;
use crate::plan::{BenchPlan, Load};
use crate::platform::{Platform, Service, Setup};
use crate::record::{BenchRecord, HeavyLoad, RunKey, RunRecord, ServiceRun};
use crate::store::{BenchStore, OpenBench};

pub use event::{BenchEvent, RunStep};
use pace::Pace;

/// Where progress is told to.
pub type Tell<'a> = &'a mut (dyn FnMut(BenchEvent) + Send);

/// Makes a benchmark from its begin. A `true` on `cancel` ends it once the step under way is over,
/// with nothing left on the machine; what was measured is kept.
///
/// # Errors
/// When the plan makes no sense, something is not ready, or the store cannot be written; after
/// Ctrl-C [`BenchError::Cancelled`]. A run that fails is no error but part of the record.
pub async fn begin<P: Platform>(
    platform: &mut P,
    plan: BenchPlan,
    store: &BenchStore,
    tool_version: &str,
    cancel: &watch::Receiver<bool>,
    tell: Tell<'_>,
) -> Result<BenchRecord, BenchError> {
    check(platform, &plan)?;
    let ready = ready::make(platform, &plan, cancel, tell).await?;
    let record = BenchRecord {
        schema_version: 1,
        tool_version: tool_version.to_owned(),
        id: Uuid::now_v7(),
        started_at: Timestamp::now(),
        ended_at: None,
        plan,
        machine: ready.machine,
        subjects: ready.subjects,
        images: ready.images,
        heavy: Vec::new(),
        runs: Vec::new(),
    };
    let bench = store.begin(record)?;
    Procedure::new(platform, bench, cancel, tell).run().await
}

/// Goes on with a benchmark that was interrupted; with `again` also makes the runs again that
/// failed. Otherwise as [`begin`].
///
/// # Errors
/// As [`begin`]; and where vmferry, the machine, a subject or an image is not what it was, or all
/// runs have been made.
pub async fn resume<P: Platform>(
    platform: &mut P,
    id: Uuid,
    again: bool,
    store: &BenchStore,
    tool_version: &str,
    cancel: &watch::Receiver<bool>,
    tell: Tell<'_>,
) -> Result<BenchRecord, BenchError> {
    let mut bench = store.open(id)?;
    let plan = bench.record().plan.clone();
    if missing(bench.record(), again).is_empty() {
        if bench.record().ended_at.is_some() {
            return Err(BenchError::Ended { id });
        }
        // It was killed between its last run and its end.
        bench.end(Timestamp::now())?;
        tell(BenchEvent::Ended { id });
        return Ok(bench.into_record());
    }
    check(platform, &plan)?;
    let ready = ready::make(platform, &plan, cancel, tell).await?;
    let differences = ready.differences(bench.record(), tool_version);
    if !differences.is_empty() {
        return Err(BenchError::Differs { id, differences });
    }
    let mut procedure = Procedure::new(platform, bench, cancel, tell);
    procedure.again = again;
    procedure.run().await
}

fn check(platform: &impl Platform, plan: &BenchPlan) -> Result<(), BenchError> {
    plan.check(&platform.workloads())
        .map_err(|fault| BenchError::Plan {
            place: format!("plan `{}`", plan.name),
            problem: fault.to_string(),
        })
}

/// The runs of the plan that are not in the record, in their order.
fn missing(record: &BenchRecord, again: bool) -> Vec<RunKey> {
    let is_there = |key: &RunKey| {
        let made = record.runs.iter().find(|run| run.key == *key);
        made.is_some_and(|run| !again || run.failure.is_none())
    };
    let mut runs = record.plan.runs();
    runs.retain(|key| !is_there(key));
    runs
}

/// Why a step of a run did not get to its end.
#[derive(Debug)]
enum Stopped {
    /// Ctrl-C.
    Cancelled,
    /// In words.
    Failed(String),
}

/// A reference that other subjects may take, and whose it is.
#[derive(Clone, Debug)]
struct Reference {
    of: RunKey,
    run: ServiceRun,
}

/// A benchmark under way.
struct Procedure<'a, 't, P: Platform> {
    platform: &'a mut P,
    bench: OpenBench,
    plan: BenchPlan,
    again: bool,
    cancel: &'a watch::Receiver<bool>,
    tell: Tell<'t>,
    /// References of the cell under way, made in this session.
    references: Vec<Reference>,
    /// Workloads that cannot be run under heavy load here, and why.
    unbearable: BTreeMap<String, String>,
    /// What could not be removed from the machine.
    left_over: Option<String>,
}

impl<'a, 't, P: Platform> Procedure<'a, 't, P> {
    fn new(
        platform: &'a mut P,
        bench: OpenBench,
        cancel: &'a watch::Receiver<bool>,
        tell: Tell<'t>,
    ) -> Self {
        let plan = bench.record().plan.clone();
        Self {
            platform,
            bench,
            plan,
            again: false,
            cancel,
            tell,
            references: Vec::new(),
            unbearable: BTreeMap::new(),
            left_over: None,
        }
    }

    /// Makes every run that is missing.
    async fn run(mut self) -> Result<BenchRecord, BenchError> {
        let keys = missing(self.bench.record(), self.again);
        let of = self.plan.runs().len();
        let earlier = of - keys.len();
        self.platform.keep_in(self.bench.path());
        let mut pace = Pace::new(&self.plan, &keys, &self.bench.record().heavy);
        (self.tell)(BenchEvent::Begun {
            id: self.bench.record().id,
            path: self.bench.path().to_owned(),
            done: earlier,
            of,
            left_s: pace.left_s(),
        });
        for (number, key) in (earlier + 1..).zip(keys) {
            if self.is_cancelled() {
                return Err(self.cancelled(number - 1, of));
            }
            (self.tell)(BenchEvent::RunBegun {
                key: key.clone(),
                number,
                of,
            });
            let begun = Instant::now();
            let run = match self.make(&key).await {
                Ok(run) => run,
                Err(Halt::Cancelled) => {
                    self.check_clean()?;
                    return Err(self.cancelled(number - 1, of));
                }
                Err(Halt::Error(error)) => return Err(error),
            };
            pace.done(&key, begun.elapsed());
            let failure = run.failure.clone();
            let added = self.bench.add_run(run);
            (self.tell)(BenchEvent::RunEnded {
                key,
                failure,
                done: number,
                of,
                left_s: pace.left_s(),
            });
            added?;
            self.check_clean()?;
        }
        self.bench.end(Timestamp::now())?;
        let id = self.bench.record().id;
        (self.tell)(BenchEvent::Ended { id });
        Ok(self.bench.into_record())
    }

    /// Makes one run.
    async fn make(&mut self, key: &RunKey) -> Result<RunRecord, Halt> {
        let mut record = RunRecord {
            key: key.clone(),
            started_at: Timestamp::now(),
            background_guests: 0,
            reference: None,
            reference_of: None,
            migrated: None,
            points: Vec::new(),
            failure: None,
        };
        match self.fill(&mut record).await {
            Ok(()) => {}
            Err(Ended::Failed(why)) => record.failure = Some(why),
            Err(Ended::Halt(halt)) => return Err(halt),
        }
        Ok(record)
    }

    /// Fills in a record as far as the run gets.
    async fn fill(&mut self, record: &mut RunRecord) -> Result<(), Ended> {
        let key = record.key.clone();
        record.background_guests = self.background_guests(&key).await?;
        let guests = record.background_guests;
        if let Some(shared) = self.shared_reference(&key) {
            record.reference_of = Some(shared.of.subject);
            record.reference = Some(shared.run);
        } else {
            self.step(&key, RunStep::Reference);
            let run = self
                .with_service(&key, guests, async |service, watch| {
                    running::reference(service, watch).await
                })
                .await?;
            self.references.push(Reference {
                of: key.clone(),
                run: run.clone(),
            });
            record.reference = Some(run);
        }
        self.step(&key, RunStep::Migrated);
        let points = &mut record.points;
        let migrated = self
            .with_service(&key, guests, async |service, watch| {
                running::migrated(service, watch, points).await
            })
            .await?;
        record.migrated = Some(migrated);
        Ok(())
    }

    /// A reference of the same cell and repeat, of a subject that serves alike. Only of this
    /// session: what drifted meanwhile would count as overhead.
    fn shared_reference(&mut self, key: &RunKey) -> Option<Reference> {
        let cell = |key: &RunKey| (key.workload.clone(), key.load, key.repeat);
        self.references.retain(|one| cell(&one.of) == cell(key));
        let subject = self.plan.subject(&key.subject)?;
        let alike = |one: &&Reference| {
            let other = self.plan.subject(&one.of.subject);
            other.is_some_and(|other| other.serves_like(subject))
        };
        self.references.iter().find(alike).cloned()
    }

    /// Guests beside the migrated one; before the first heavy run of a workload they are counted.
    async fn background_guests(&mut self, key: &RunKey) -> Result<u32, Ended> {
        if key.load == Load::Light {
            return Ok(0);
        }
        if let Some(why) = self.unbearable.get(&key.workload) {
            return Err(Ended::Failed(why.clone()));
        }
        let known = |one: &&HeavyLoad| one.workload == key.workload;
        if let Some(found) = self.bench.record().heavy.iter().find(known) {
            return Ok(found.background_guests);
        }
        match heavy::search(self, key).await {
            Ok(heavy) => {
                let guests = heavy.background_guests;
                (self.tell)(BenchEvent::HeavyFound(heavy.clone()));
                let added = self.bench.add_heavy(heavy);
                added.map_err(|error| Ended::Halt(Halt::Error(error)))?;
                Ok(guests)
            }
            Err(Stopped::Failed(why)) => {
                let why = format!("no heavy load: {why}");
                self.unbearable.insert(key.workload.clone(), why.clone());
                Err(Ended::Failed(why))
            }
            Err(stopped) => Err(stopped.into()),
        }
    }

    /// Starts the workload afresh, does something with it, and stops it, whatever came of it.
    async fn with_service<T>(
        &mut self,
        key: &RunKey,
        background_guests: u32,
        act: impl AsyncFnOnce(&mut P::Service, &mut Watch<'_>) -> Result<T, Stopped>,
    ) -> Result<T, Stopped> {
        if self.is_cancelled() {
            return Err(Stopped::Cancelled);
        }
        let Some(subject) = self.plan.subject(&key.subject) else {
            let name = &key.subject;
            return Err(Stopped::Failed(format!("the plan has no subject `{name}`")));
        };
        let setup = Setup {
            plan: &self.plan,
            subject,
            workload: &key.workload,
            load: key.load,
            background_guests,
        };
        let started = self.platform.start(&setup).await;
        let mut service =
            started.map_err(|fault| cancelled_or(self.cancel, failed("the start", &fault)))?;
        let mut watch = Watch {
            key,
            plan: &self.plan,
            cancel: self.cancel,
            tell: self.tell,
        };
        let done = if *self.cancel.borrow() {
            Err(Stopped::Cancelled)
        } else {
            let done = act(&mut service, &mut watch).await;
            done.map_err(|stopped| cancelled_or(self.cancel, stopped))
        };
        if let Err(fault) = service.stop().await {
            let what = crate::error::words(fault.as_ref());
            (self.tell)(BenchEvent::Warning {
                message: format!("cleaning up: {what}"),
            });
            self.left_over = Some(what);
        }
        done
    }

    fn step(&mut self, key: &RunKey, step: RunStep) {
        (self.tell)(BenchEvent::Step {
            key: key.clone(),
            step,
        });
    }

    fn is_cancelled(&self) -> bool {
        *self.cancel.borrow()
    }

    fn cancelled(&self, done: usize, of: usize) -> BenchError {
        BenchError::Cancelled {
            id: self.bench.record().id,
            path: self.bench.path().to_owned(),
            done,
            of,
        }
    }

    /// The next run is measured on a clean machine or not at all.
    fn check_clean(&mut self) -> Result<(), BenchError> {
        let id = self.bench.record().id;
        match self.left_over.take() {
            Some(what) => Err(BenchError::LeftOver { what, id }),
            None => Ok(()),
        }
    }
}

/// Why the runs do not go on.
enum Halt {
    /// Ctrl-C: the run under way is made again.
    Cancelled,
    /// The benchmark cannot go on.
    Error(BenchError),
}

/// Why a run is not made to its end.
enum Ended {
    /// It failed, in words, and is recorded.
    Failed(String),
    /// It is not recorded.
    Halt(Halt),
}

impl From<Stopped> for Ended {
    fn from(stopped: Stopped) -> Self {
        match stopped {
            Stopped::Cancelled => Self::Halt(Halt::Cancelled),
            Stopped::Failed(why) => Self::Failed(why),
        }
    }
}

fn failed(what: &str, fault: &crate::platform::Fault) -> Stopped {
    Stopped::Failed(format!("{what}: {}", crate::error::words(fault.as_ref())))
}

/// After Ctrl-C a failure is of no account: what the service needs may have ended by the same
/// signal. The run is made again.
fn cancelled_or(cancel: &watch::Receiver<bool>, stopped: Stopped) -> Stopped {
    if *cancel.borrow() {
        Stopped::Cancelled
    } else {
        stopped
    }
}

/// What a run is made with: its plan, the time, Ctrl-C, and who is told.
struct Watch<'a> {
    key: &'a RunKey,
    plan: &'a BenchPlan,
    cancel: &'a watch::Receiver<bool>,
    tell: &'a mut (dyn FnMut(BenchEvent) + Send),
}

impl Watch<'_> {
    /// Waits until then, or for Ctrl-C.
    async fn until(&self, then: Instant) -> Result<(), Stopped> {
        let mut cancel = self.cancel.clone();
        let cancelled = async {
            if cancel.wait_for(|cancelled| *cancelled).await.is_err() {
                // Nobody is left to cancel.
                pending::<()>().await;
            }
        };
        tokio::select! {
            () = tokio::time::sleep_until(then) => self.check(),
            () = cancelled => Err(Stopped::Cancelled),
        }
    }

    /// Whether to go on.
    fn check(&self) -> Result<(), Stopped> {
        if *self.cancel.borrow() {
            return Err(Stopped::Cancelled);
        }
        Ok(())
    }
}
