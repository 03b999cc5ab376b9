//! Puts hosts back as they were, from the journal.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use serde_json::json;
use thiserror::Error;
use vmferry_core::GuestUri;
use vmferry_hypervisor::HypervisorError;
use vmferry_hypervisor::qmp::{ConnectOptions, Guest};

use crate::cpu_cap::{self, CpuCapError};
use crate::fence;
use crate::identity::Identity;
use crate::journal::{Change, Journal, UndoAction};

/// When to undo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UndoWhen {
    /// The migration runs: only what the hypervisor lets be changed now.
    DuringMigration,
    /// The migration is over: everything.
    AfterMigration,
}

/// What an undo run left behind.
#[derive(Debug, Default)]
pub struct UndoReport {
    /// Changes undone now.
    pub undone: usize,
    /// Changes that vanished with their process.
    pub gone: usize,
    /// Changes that could not be undone, with the reason.
    pub failed: Vec<String>,
}

/// Connections to reuse while undoing; others are opened when needed.
pub type Connections = HashMap<GuestUri, Guest>;

/// Undoes what the journal holds, latest change first. What could not be
/// undone stays in the journal. A journal that cannot be written, on a full
/// disk for example, keeps nothing from being undone; it then holds more than
/// is left to undo, which is harmless.
///
/// While the migration runs, only the connections given are used: whoever
/// follows it needs the monitors. What was changed on this machine itself
/// needs none.
pub async fn undo(
    journal: &mut Journal,
    connections: &mut Connections,
    when: UndoWhen,
) -> UndoReport {
    let mut report = UndoReport::default();
    let mut unreachable: HashSet<GuestUri> = HashSet::new();
    for change in journal.pending() {
        let connected = connections.get(&change.uri).is_some_and(|g| !g.is_closed());
        let by_monitor = change.undo.needs_monitor();
        let possible = change.undo.possible_during_migration() && (connected || !by_monitor);
        if when == UndoWhen::DuringMigration && !possible {
            continue;
        }
        if by_monitor && unreachable.contains(&change.uri) {
            continue;
        }
        match undo_one(&change, journal, connections, when).await {
            Ok(true) => report.undone += 1,
            Ok(false) => report.gone += 1,
            Err(error) => {
                report.failed.push(format!("{}: {error}", change.uri));
                // Its other changes would only be waited for as long again.
                if by_monitor && !connections.contains_key(&change.uri) {
                    unreachable.insert(change.uri);
                }
                continue;
            }
        }
        if let Err(error) = journal.undone(change.seq) {
            tracing::warn!(%error, "undone, but not noted in the journal");
        }
    }
    report
}

/// A connection that breaks is made anew this often before the undoing counts
/// as failed.
const ATTEMPTS: u32 = 3;

/// Why a change could not be undone.
#[derive(Debug, Error)]
#[error(transparent)]
enum Failure {
    Hypervisor(#[from] HypervisorError),
    CpuCap(#[from] CpuCapError),
}

/// `Ok(false)` when the change is gone with its process.
async fn undo_one(
    change: &Change,
    journal: &Journal,
    connections: &mut Connections,
    when: UndoWhen,
) -> Result<bool, Failure> {
    let mut attempt = 1;
    loop {
        match try_undo(change, journal, connections).await {
            // The process, or only the way to it: the next connection tells.
            Err(Failure::Hypervisor(error))
                if error.is_closed() && attempt < ATTEMPTS && when == UndoWhen::AfterMigration =>
            {
                attempt += 1;
            }
            Err(Failure::Hypervisor(error)) if error.is_gone() => return Ok(false),
            answer => return answer,
        }
    }
}

async fn try_undo(
    change: &Change,
    journal: &Journal,
    connections: &mut Connections,
) -> Result<bool, Failure> {
    let (command, arguments) = match &change.undo {
        UndoAction::CpuCap(undo) => return Ok(cpu_cap::undo(undo)?),
        UndoAction::SettleFence { source } => {
            return Ok(settle(source, &change.uri, journal, connections).await?);
        }
        UndoAction::SetParameters { parameters } => ("migrate-set-parameters", json!(parameters)),
        UndoAction::SetCapability { name, enabled } => (
            "migrate-set-capabilities",
            json!({ "capabilities": [{ "capability": name, "state": enabled }] }),
        ),
        UndoAction::DeleteObject { id } => ("object-del", json!({ "id": id })),
        UndoAction::CancelDirtyLimit => ("cancel-vcpu-dirty-limit", json!({})),
    };
    let Some(guest) = connected(&change.uri, journal, connections).await? else {
        return Ok(false);
    };
    match guest
        .request_within(command, Some(arguments), Duration::from_secs(5))
        .await
    {
        // Undone already, by a guard that died before it could say so.
        Err(HypervisorError::Refused { desc, .. })
            if matches!(change.undo, UndoAction::DeleteObject { .. })
                && desc.contains("not found") =>
        {
            Ok(true)
        }
        // There is no limit, or none can be set there.
        Err(HypervisorError::Refused { .. })
            if matches!(change.undo, UndoAction::CancelDirtyLimit) =>
        {
            Ok(true)
        }
        answer => Ok(answer.map(|_| true)?),
    }
}

/// Lets the destination go, where both ends are there still.
async fn settle(
    source: &GuestUri,
    destination: &GuestUri,
    journal: &Journal,
    connections: &mut Connections,
) -> Result<bool, HypervisorError> {
    let Some(destination) = connected(destination, journal, connections).await? else {
        return Ok(false);
    };
    match connected(source, journal, connections).await {
        Ok(Some(source)) => fence::settle(&source, &destination).await.map(|_| true),
        // A source that is gone runs nothing and tells nothing: what the
        // destination does is not ours to decide.
        Ok(None) => Ok(true),
        Err(error) if error.is_gone() => Ok(true),
        Err(error) => Err(error),
    }
}

/// The connection to an end, made anew where it must be; `None` when the QEMU
/// that was changed has exited, also where another one took its place.
async fn connected(
    uri: &GuestUri,
    journal: &Journal,
    connections: &mut Connections,
) -> Result<Option<Guest>, HypervisorError> {
    if let Some(guest) = connections.get(uri).filter(|g| !g.is_closed()) {
        return Ok(Some(guest.clone()));
    }
    // A broken connection must not hold the monitor against the new one.
    connections.remove(uri);
    let identity = journal.identity(uri);
    if identity.is_some_and(Identity::has_exited) {
        return Ok(None);
    }
    let guest = Guest::connect(uri, patient()).await?;
    if let Some(identity) = identity
        && !identity.is(&guest).await?
    {
        tracing::warn!(%uri, "another QEMU listens there now: left alone");
        return Ok(None);
    }
    connections.insert(uri.clone(), guest.clone());
    Ok(Some(guest))
}

/// A new client is greeted once the kernel has closed the dead one's socket.
fn patient() -> ConnectOptions {
    ConnectOptions {
        greeting_timeout: Duration::from_secs(4),
        ..ConnectOptions::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu_cap::{CgroupVersion, CpuUndo};
    use serde_json::Map;

    #[tokio::test]
    async fn a_cap_is_undone_in_mid_move_without_any_monitor() {
        let dir = tempfile::tempdir().unwrap();
        let uri = GuestUri::local(dir.path().join("nobody"));
        let mut journal = Journal::create(&dir.path().join("journal.jsonl")).unwrap();
        let parameters = Map::from_iter([("downtime-limit".to_owned(), json!(300))]);
        // A group that was made, and that the kernel gave no files yet.
        let group = dir.path().join("vmferry-1");
        std::fs::create_dir(&group).unwrap();
        for undo in [
            UndoAction::SetParameters { parameters },
            UndoAction::CpuCap(CpuUndo::RemoveGroup {
                version: CgroupVersion::V1,
                group: group.clone(),
            }),
            UndoAction::CpuCap(CpuUndo::MoveThreads {
                version: CgroupVersion::V1,
                group: group.clone(),
                home: dir.path().to_owned(),
                threads: Vec::new(),
            }),
        ] {
            journal.about_to_change(&uri, undo).unwrap();
        }
        let when = UndoWhen::DuringMigration;
        let report = undo(&mut journal, &mut Connections::new(), when).await;
        assert_eq!((report.undone, report.gone), (1, 1));
        assert_eq!(report.failed, [""; 0]);
        assert!(!group.exists());
        assert_eq!(
            journal.pending().len(),
            1,
            "the parameters need the monitor"
        );
    }
}
