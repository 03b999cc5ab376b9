//! Follows a running migration, whoever started it.

use std::sync::Arc;

use vmferry_core::{GuestUri, MoveEvent, MoveRecord};
use vmferry_hypervisor::qmp::{ConnectOptions, Guest};
use vmferry_migrate::event_log::{self, EventSink};
use vmferry_migrate::takeover::RECORD_FILE;
use vmferry_migrate::watching::Watched;
use vmferry_migrate::{MigrateError, MoveDir, StateDir};

use crate::Error;

/// How a watch ended.
#[derive(Debug)]
pub enum WatchEnd {
    /// A move of vmferry ended; its last event held the outcome.
    Ours,
    /// A move of vmferry is no longer supervised by anybody.
    Abandoned,
    /// A migration that others started ended.
    Theirs(Box<Watched>),
}

/// Follows the migration of a guest, named by either end's monitor. A move of
/// this machine's vmferry is read from its event file, since its monitor
/// serves one client only; any other through the monitor.
///
/// # Errors
/// When no migration is under way, or the monitor cannot be reached.
pub async fn watch(guest: &GuestUri, sink: EventSink) -> Result<WatchEnd, Error> {
    if let Some(dir) = own_move(guest)? {
        let path = dir.events_path();
        let unsupervised = || !dir.is_supervised();
        let ended = event_log::follow(&path, |event: MoveEvent| sink(&event), unsupervised).await;
        let ended = ended.map_err(|source| Error::Io {
            what: path.display().to_string(),
            source,
        })?;
        return Ok(if ended {
            WatchEnd::Ours
        } else {
            WatchEnd::Abandoned
        });
    }
    let monitor = Guest::connect(guest, ConnectOptions::default()).await?;
    let sink = Arc::clone(&sink);
    let watched = vmferry_migrate::watching::watch(&monitor, move |event| sink(event)).await?;
    Ok(WatchEnd::Theirs(Box::new(watched)))
}

/// The supervised move with that guest at one of its ends.
pub(crate) fn own_move_id(guest: &GuestUri) -> Result<Option<uuid::Uuid>, MigrateError> {
    let found = own_move(guest)?;
    let record = found.and_then(|dir| dir.read_json::<MoveRecord>(RECORD_FILE).ok());
    Ok(record.map(|record| record.move_id))
}

/// A supervised move with that guest at one of its ends.
fn own_move(guest: &GuestUri) -> Result<Option<MoveDir>, MigrateError> {
    let Ok(state) = StateDir::from_env() else {
        return Ok(None);
    };
    Ok(state.moves()?.into_iter().find(|dir| {
        dir.is_supervised()
            && dir
                .read_json::<MoveRecord>(RECORD_FILE)
                .is_ok_and(|record| {
                    record.plan.source == *guest || record.plan.destination == *guest
                })
    }))
}
