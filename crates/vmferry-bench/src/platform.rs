//! What the procedure asks of a hypervisor and its hosts.
//!
//! The procedure never speaks to a hypervisor: a platform starts guests with services, drives
//! their clients, migrates, and brings guests back. QEMU on a testbed is one; others follow by
//! the same traits.

use std::future::Future;
use std::path::Path;

use crate::plan::{BenchPlan, Load, Subject};
use crate::record::{ImageRecord, MachineRecord, PointRecord, SubjectRecord, WayBack, WorkSample};

/// Why a platform could not do something: what, where, what to do next.
pub type Fault = Box<dyn std::error::Error + Send + Sync>;

/// Two hosts that run a subject: the system under test, and the target of migrations.
///
/// The procedure never drops a future of it half-way: at Ctrl-C the step under way ends first, and
/// the guests are stopped after.
pub trait Platform: Send {
    /// A service that runs on it.
    type Service: Service;

    /// The workloads it knows, by name.
    fn workloads(&self) -> Vec<String>;

    /// Told where the benchmark is kept before anything is measured: a platform that learns from
    /// migrations does so there, from those of this benchmark alone.
    fn keep_in(&mut self, _directory: &Path) {}

    /// Where it runs.
    ///
    /// # Errors
    /// When the machine cannot be read.
    fn machine(&mut self) -> impl Future<Output = Result<MachineRecord, Fault>> + Send;

    /// Most guests that may stand beside the migrated one, by what the machine bears. The search for
    /// heavy load ends there.
    ///
    /// # Errors
    /// When the machine cannot be read.
    fn most_background_guests(&self, plan: &BenchPlan, workload: &str) -> Result<u32, Fault>;

    /// Starts, asks and ends the subject's hypervisor, so that a binary that does not run or a
    /// setting that it refuses is known before anything is measured.
    ///
    /// # Errors
    /// What is wrong with the subject.
    fn check(
        &mut self,
        plan: &BenchPlan,
        subject: &Subject,
    ) -> impl Future<Output = Result<SubjectRecord, Fault>> + Send;

    /// Makes ready what a workload needs: its image and its clients' tools.
    ///
    /// # Errors
    /// When an image is not cached and cannot be built.
    fn prepare(
        &mut self,
        workload: &str,
    ) -> impl Future<Output = Result<Vec<ImageRecord>, Fault>> + Send;

    /// Starts the workload afresh, with as many guests of the same kind beside it, and waits until
    /// each service answers. Their clients are not yet started.
    ///
    /// # Errors
    /// When a service does not come up. Nothing is left running then.
    fn start(
        &mut self,
        setup: &Setup<'_>,
    ) -> impl Future<Output = Result<Self::Service, Fault>> + Send;
}

/// What to start.
#[derive(Clone, Copy, Debug)]
pub struct Setup<'a> {
    /// The whole plan.
    pub plan: &'a BenchPlan,
    /// The hypervisor and its settings.
    pub subject: &'a Subject,
    /// The workload's name.
    pub workload: &'a str,
    /// The load around it.
    pub load: Load,
    /// Guests beside it, each with the same workload and clients of its own.
    pub background_guests: u32,
}

/// A service in a guest, with its clients.
pub trait Service: Send {
    /// Starts the clients, of this guest and those beside it, and returns as soon as they run:
    /// the times of [`Work`] count from then on.
    ///
    /// # Errors
    /// When a client does not start.
    fn begin_load(&mut self) -> impl Future<Output = Result<ClientRecord, Fault>> + Send;

    /// How much its clients have done since [`Service::begin_load`].
    ///
    /// # Errors
    /// When the client has ended or stalls: it says that nothing was done for long while the
    /// service answers.
    fn work(&mut self) -> impl Future<Output = Result<Work, Fault>> + Send;

    /// The same of each guest beside it, operations per second since the last question.
    ///
    /// # Errors
    /// As [`Service::work`].
    fn background_rates(&mut self) -> impl Future<Output = Result<Vec<f64>, Fault>> + Send;

    /// Observes, forecasts, migrates, and measures from outside. A migration that fails is a
    /// result, told in the record. There `at_s` is the time from this call to the command; the
    /// procedure makes it that since the begin of the running time, and fills in `point` and `back`.
    ///
    /// # Errors
    /// Only where the run cannot go on: the guest is lost, or its place is uncertain. The migration
    /// then counts as one that failed.
    fn migrate(&mut self) -> impl Future<Output = Result<PointRecord, Fault>> + Send;

    /// Brings the guest back to the system under test while it is stopped, and checks that the
    /// service goes on: since the return, the clients have said that they did more. Where it is
    /// there already, it is not moved.
    ///
    /// # Errors
    /// Where the run cannot go on.
    fn bring_back(&mut self) -> impl Future<Output = Result<WayBack, Fault>> + Send;

    /// Ends clients and guests and removes all that was made for them.
    ///
    /// # Errors
    /// What is left, and where.
    fn stop(self) -> impl Future<Output = Result<(), Fault>> + Send;
}

/// The program that makes the load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientRecord {
    /// Its name and version.
    pub client: String,
    /// What it counts; nothing where nobody asks the service.
    pub unit: Option<String>,
}

/// What clients have done.
#[derive(Clone, Debug, PartialEq)]
pub struct Work {
    /// Operations since the begin of the load, as far as the clients have said.
    pub operations: u64,
    /// Operations that failed.
    pub errors: u64,
    /// The clients' own counts, times in seconds since the begin of the load. Where the last has as
    /// many operations as `operations`, its time is that of their count: tools speak once a second,
    /// and what they did since is not in it.
    pub series: Vec<WorkSample>,
}
