//! What the guard process runs when vmferry died, and `vmferry recover`.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use uuid::Uuid;
use vmferry_core::MoveRecord;
use vmferry_history::{History, HistoryError, Store as _, history_path};
use vmferry_migrate::event_log::{self, EventSink};
use vmferry_migrate::guard::{Watch, Watchman};
use vmferry_migrate::takeover::{RECORD_FILE, TakenOver, take_over};
use vmferry_migrate::{DEFAULT_STALL_TIMEOUT, MoveDir, StateDir};

use crate::Error;
use crate::document::{RecoverReport, RecoveredMove, Versions};

/// Runs the guard of a move until vmferry dismisses it, or until it has
/// brought an orphaned move to its end. Blocks; called before any runtime.
///
/// # Errors
/// When the move's directory cannot be used, or something could not be
/// undone; the journal then stays for `vmferry recover`.
pub fn guard(state: &Path, move_id: Uuid) -> Result<(), Error> {
    let dir = StateDir::at(state).open_move(move_id);
    let watchman = Watchman::ready(&dir)?;
    match watchman.wait() {
        Watch::Dismissed => Ok(()),
        Watch::Orphaned => runtime()?.block_on(end_orphan(&dir)),
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, Error> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|source| Error::Io {
            what: "starting threads".into(),
            source,
        })
}

async fn end_orphan(dir: &MoveDir) -> Result<(), Error> {
    let quiet: EventSink = Arc::new(|event| tracing::info!(?event));
    let sink = event_log::tee(&dir.events_path(), quiet);
    let taken = insist(dir, sink).await?;
    finish(dir, taken).await
}

/// How long a guard goes on trying to put a host back before it leaves the
/// rest to `vmferry recover`.
const INSIST: Duration = Duration::from_secs(60);

/// Takes over, and tries again what could not be undone: a monitor may be
/// busy with another client for a while.
async fn insist(dir: &MoveDir, sink: EventSink) -> Result<TakenOver, Error> {
    let deadline = Instant::now() + INSIST;
    loop {
        let taken = take_over(dir, DEFAULT_STALL_TIMEOUT, Arc::clone(&sink)).await?;
        if let Some(record) = &taken.record {
            dir.write_json(RECORD_FILE, record)?;
        }
        if taken.failed.is_empty() || Instant::now() >= deadline {
            return Ok(taken);
        }
        sleep(Duration::from_secs(1)).await;
    }
}

/// Records the outcome, and removes the move's directory unless something is
/// left to undo.
async fn finish(dir: &MoveDir, taken: TakenOver) -> Result<(), Error> {
    if let Some(record) = &taken.record
        && let Err(error) = close(record).await
    {
        tracing::error!(%error, "the outcome was not recorded");
    }
    if taken.failed.is_empty() {
        dir.clone().remove()?;
    }
    Ok(())
}

/// Adds the outcome of a record to the history.
pub(crate) async fn close(record: &MoveRecord) -> Result<(), HistoryError> {
    let history = History::open(&history_path()?).await?;
    history.open_move(record).await?;
    if let Some(outcome) = &record.outcome {
        history
            .close_move(record.move_id, outcome, record.raw_statistics.as_ref())
            .await?;
    }
    Ok(())
}

/// Brings every interrupted move that nobody supervises to its end: for
/// example after a reboot, which ends guards too.
///
/// # Errors
/// When the state directory cannot be read.
pub async fn recover() -> Result<RecoverReport, Error> {
    let state = StateDir::from_env()?;
    let mut moves = Vec::new();
    for dir in state.moves()? {
        moves.push(recover_one(&dir).await?);
    }
    Ok(RecoverReport {
        versions: Versions::default(),
        moves,
    })
}

async fn recover_one(dir: &MoveDir) -> Result<RecoveredMove, Error> {
    let guest = dir
        .read_json::<MoveRecord>(RECORD_FILE)
        .ok()
        .map(|record| record.plan.source);
    let mut result = RecoveredMove {
        move_id: dir.move_id(),
        guest,
        supervised: false,
        undone: 0,
        failed: Vec::new(),
        place: None,
    };
    let Some(_lock) = dir.try_lock()? else {
        result.supervised = true;
        return Ok(result);
    };
    let quiet: EventSink = Arc::new(|event| tracing::info!(?event));
    let sink = event_log::tee(&dir.events_path(), quiet);
    let taken = take_over(dir, DEFAULT_STALL_TIMEOUT, sink).await?;
    result.undone = taken.undone;
    result.failed.clone_from(&taken.failed);
    result.place = taken
        .record
        .as_ref()
        .and_then(|r| r.outcome.as_ref())
        .map(|o| o.place);
    finish(dir, taken).await?;
    Ok(result)
}
