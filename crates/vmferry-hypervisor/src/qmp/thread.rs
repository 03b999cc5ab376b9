//! The threads of QEMU that a move cares for: the virtual CPUs' and the migration's.

use serde::Serialize;

use super::field;
use super::guest::Guest;
use crate::HypervisorError;

/// A virtual CPU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Vcpu {
    /// QEMU's number of it.
    pub index: Option<u64>,
    /// The thread on the host that runs it. Under TCG several may share one.
    pub thread_id: Option<u32>,
}

/// A thread of the migration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MigrationThread {
    /// For example `mig/src/main`.
    pub name: Option<String>,
    /// The thread on the host.
    pub thread_id: Option<u32>,
}

impl Guest {
    /// The virtual CPUs and their threads (`query-cpus-fast`).
    ///
    /// # Errors
    /// As [`Guest::request`].
    pub async fn vcpus(&self) -> Result<Vec<Vcpu>, HypervisorError> {
        let answer = self.request("query-cpus-fast", None).await?;
        Ok(field::list(&answer, &[])
            .iter()
            .map(|cpu| Vcpu {
                index: field::number(cpu, &["cpu-index"]),
                thread_id: thread_id(cpu),
            })
            .collect())
    }

    /// The threads that send the stream (`query-migrationthreads`): none when no migration is under
    /// way, and none at a destination.
    ///
    /// # Errors
    /// As [`Guest::request`]; [`HypervisorError::is_unsupported`] where QEMU lacks the command: of the
    /// recorded versions only 10.0 has it, 7.2 does not yet and 11.1 does not any more.
    pub async fn migration_threads(&self) -> Result<Vec<MigrationThread>, HypervisorError> {
        let answer = self.request("query-migrationthreads", None).await?;
        Ok(field::list(&answer, &[])
            .iter()
            .map(|thread| MigrationThread {
                name: field::text(thread, &["name"]),
                thread_id: thread_id(thread),
            })
            .collect())
    }
}

fn thread_id(of: &serde_json::Value) -> Option<u32> {
    u32::try_from(field::number(of, &["thread-id"])?).ok()
}
