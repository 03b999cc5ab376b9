//! What a client has done so far, as far as it has said.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::series::{self, ClientPoint};
use super::work::ClientLatency;

/// Shared by the thread that reads what a client says and whoever asks for progress.
#[derive(Debug, Default)]
pub(super) struct Tally(Mutex<Counts>);

/// What was counted.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    pub(super) series: Vec<ClientPoint>,
    pub(super) operations: u64,
    pub(super) errors: u64,
    pub(super) latency: ClientLatency,
    /// When the number of operations grew last.
    pub(super) progressed_ns: Option<u64>,
    /// Why the client ended although nobody asked it to.
    pub(super) fault: Option<String>,
}

impl Tally {
    pub(super) fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    /// The client has done this many operations.
    pub(super) fn done(&mut self, at_ns: u64, operations: u64) {
        if operations > self.operations {
            self.operations = operations;
            self.progressed_ns = Some(at_ns);
        }
        series::add(&mut self.series, at_ns, self.operations);
    }

    /// What the client says at its end, which is exact where its reports on the way are not.
    pub(super) fn settle(&mut self, operations: u64) {
        self.operations = operations;
        for point in &mut self.series {
            point.operations = point.operations.min(operations);
        }
    }
}
