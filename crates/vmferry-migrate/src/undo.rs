//! Puts hosts back as they were, from the journal.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::json;
use vmferry_core::GuestUri;
use vmferry_hypervisor::HypervisorError;
use vmferry_hypervisor::qmp::{ConnectOptions, Guest};

use crate::error::MigrateError;
use crate::fence;
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
/// disk for example, keeps nothing from being undone.
///
/// # Errors
/// When the move is over, something could not be undone, and the journal
/// cannot be written: it then holds more than is left to undo.
pub async fn undo(
    journal: &mut Journal,
    connections: &mut Connections,
    when: UndoWhen,
) -> Result<UndoReport, MigrateError> {
    let mut report = UndoReport::default();
    let mut unwritten = None;
    for change in journal.pending() {
        if when == UndoWhen::DuringMigration && !change.undo.possible_during_migration() {
            continue;
        }
        match undo_one(&change, connections).await {
            Ok(true) => report.undone += 1,
            Ok(false) => report.gone += 1,
            Err(error) => {
                report.failed.push(format!("{}: {error}", change.uri));
                continue;
            }
        }
        if let Err(error) = journal.undone(change.seq) {
            unwritten = Some(error);
        }
    }
    match unwritten {
        Some(error) if when == UndoWhen::AfterMigration && !report.failed.is_empty() => {
            tracing::error!(failed = ?report.failed, "not everything could be put back");
            Err(error)
        }
        _ => Ok(report),
    }
}

/// A connection that breaks is made anew this often before the undoing counts
/// as failed.
const ATTEMPTS: u32 = 3;

/// `Ok(false)` when the change is gone with its process.
async fn undo_one(change: &Change, connections: &mut Connections) -> Result<bool, HypervisorError> {
    let mut attempt = 1;
    loop {
        match try_undo(change, connections).await {
            // The process, or only the way to it: the next connection tells.
            Err(error) if error.is_closed() && attempt < ATTEMPTS => attempt += 1,
            Err(error) if error.is_gone() => return Ok(false),
            Err(error) => return Err(error),
            Ok(()) => return Ok(true),
        }
    }
}

async fn try_undo(change: &Change, connections: &mut Connections) -> Result<(), HypervisorError> {
    let usable = connections
        .get(&change.uri)
        .filter(|g| !g.is_closed())
        .cloned();
    let guest = match usable {
        Some(guest) => guest,
        None => {
            // A broken connection must not hold the monitor against the new one.
            connections.remove(&change.uri);
            let guest = Guest::connect(&change.uri, patient()).await?;
            connections.insert(change.uri.clone(), guest.clone());
            guest
        }
    };
    let (command, arguments) = match &change.undo {
        UndoAction::SettleFence { source } => {
            let known = connections.get(source).filter(|g| !g.is_closed()).cloned();
            let source = match known {
                Some(source) => Ok(source),
                None => Guest::connect(source, patient()).await,
            };
            return match source {
                Ok(source) => fence::settle(&source, &guest).await.map(drop),
                // A source that is gone runs nothing and tells nothing: what
                // the destination does is not ours to decide.
                Err(error) if error.is_gone() => Ok(()),
                Err(error) => Err(error),
            };
        }
        UndoAction::SetParameters { parameters } => ("migrate-set-parameters", json!(parameters)),
        UndoAction::SetCapability { name, enabled } => (
            "migrate-set-capabilities",
            json!({ "capabilities": [{ "capability": name, "state": enabled }] }),
        ),
        UndoAction::DeleteObject { id } => ("object-del", json!({ "id": id })),
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
            Ok(())
        }
        answer => answer.map(drop),
    }
}

/// A new client is greeted once the kernel has closed the dead one's socket.
fn patient() -> ConnectOptions {
    ConnectOptions {
        greeting_timeout: Duration::from_secs(4),
        ..ConnectOptions::default()
    }
}
