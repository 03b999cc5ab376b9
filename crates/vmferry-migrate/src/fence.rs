//! A cancel near the switchover, made safe. QEMU accepts `migrate_cancel`
//! while the last bytes are on their way; the source then resumes the guest
//! and the destination, which has everything, starts it too. So before a
//! cancel the destination is told not to start what comes in (`stop` on a
//! destination that still waits), and let go again if the guest has moved
//! after all. `cont` on a destination that still waits takes that back.

use std::time::Duration;

use serde_json::Value;
use vmferry_hypervisor::HypervisorError;
use vmferry_hypervisor::qmp::{Guest, MigrationInfo};

/// What a destination answers in a moment, or not at all.
const PATIENCE: Duration = Duration::from_secs(10);

/// How putting up the fence ended.
#[derive(Debug)]
pub(crate) enum Fence {
    /// The destination will not start the guest: a cancel is safe.
    Up,
    /// The destination has the guest already; it was left running there.
    TooLate,
    /// The destination's process is gone: a cancel is safe.
    Nobody,
    /// The destination could not be asked.
    Unreachable(HypervisorError),
}

/// Keeps a destination from starting the guest.
pub(crate) async fn put_up(destination: &Guest) -> Fence {
    match try_to(destination).await {
        Ok(fence) => fence,
        Err(error) if error.is_gone() => Fence::Nobody,
        Err(error) => Fence::Unreachable(error),
    }
}

async fn try_to(destination: &Guest) -> Result<Fence, HypervisorError> {
    ask(destination, "stop").await?;
    if state(destination).await? == "inmigrate" {
        return Ok(Fence::Up);
    }
    // The stop came too late and has paused a guest that had arrived.
    ask(destination, "cont").await?;
    Ok(Fence::TooLate)
}

/// Takes the fence down, whoever put it up: the guest is started at the
/// destination only where the source has handed it over and does not
/// run it. Says whether it was started.
pub(crate) async fn settle(source: &Guest, destination: &Guest) -> Result<bool, HypervisorError> {
    let migration = MigrationInfo::from_value(ask(source, "query-migrate").await?);
    let handed_over = migration.status == vmferry_core::MigrationStatus::Completed
        && state(source).await? == "postmigrate";
    if !handed_over || !matches!(state(destination).await?.as_str(), "paused" | "inmigrate") {
        return Ok(false);
    }
    ask(destination, "cont").await?;
    Ok(true)
}

async fn ask(guest: &Guest, command: &str) -> Result<Value, HypervisorError> {
    guest.request_within(command, None, PATIENCE).await
}

async fn state(guest: &Guest) -> Result<String, HypervisorError> {
    let answer = ask(guest, "query-status").await?;
    let word = answer.get("status").and_then(Value::as_str);
    Ok(word.unwrap_or("unknown").to_owned())
}
