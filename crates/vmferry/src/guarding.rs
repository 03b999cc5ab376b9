//! What the guard process runs when vmferry died, and `vmferry recover`.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use uuid::Uuid;
use vmferry_control::phase::is_past_return;
use vmferry_core::{ExitCode, MoveRecord, Place};
use vmferry_history::{History, HistoryError, Store as _};
use vmferry_hypervisor::qmp::MigrationInfo;
use vmferry_migrate::event_log::{self, EventSink};
use vmferry_migrate::guard::{Watch, Watchman};
use vmferry_migrate::takeover::{self, RECORD_FILE, TakenOver, take_over};
use vmferry_migrate::{DEFAULT_STALL_TIMEOUT, MoveDir, StateDir};

use crate::Error;
use crate::document::{RecoverReport, RecoveredMove, Versions};
use crate::history_place::HistoryPlace;

/// Runs the guard of a move until vmferry dismisses it, or until it has
/// brought an orphaned move to its end. Blocks; called before any runtime.
///
/// # Errors
/// When the move's directory cannot be used. What could not be undone or
/// recorded is no error: it stays for `vmferry recover`.
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
    tracing::info!(move_id = %dir.move_id(), "vmferry is gone: taking over");
    let quiet: EventSink = Arc::new(|event| tracing::info!(?event));
    let sink = event_log::tee(&dir.events_path(), quiet);
    let taken = insist(dir, sink).await;
    let left = finish(dir, &taken).await;
    if !left.is_empty() {
        tracing::error!(?left, "left to `vmferry recover`");
    }
    Ok(())
}

/// How long a guard goes on trying to put a host back before it leaves the
/// rest to `vmferry recover`.
const INSIST: Duration = Duration::from_secs(60);

/// Takes over, and tries again what could not be undone: a monitor may be
/// busy with another client for a while.
async fn insist(dir: &MoveDir, sink: EventSink) -> TakenOver {
    let mut deadline = None;
    let mut undone = 0;
    loop {
        let mut taken = take_over(dir, DEFAULT_STALL_TIMEOUT, Arc::clone(&sink)).await;
        undone += taken.undone;
        taken.undone = undone;
        keep_outcome(dir, &taken);
        // Counted from the end of the move, which may take its time.
        let deadline = *deadline.get_or_insert_with(|| Instant::now() + INSIST);
        if taken.failed.is_empty() || is_split(&taken) || Instant::now() >= deadline {
            return taken;
        }
        tracing::warn!(failed = ?taken.failed, "not undone yet");
        sleep(Duration::from_secs(1)).await;
    }
}

/// Whether the guest was left between both hosts, in a post-copy that nobody
/// tries to put together any more: until `vmferry recover` does, neither can
/// be put back, and it must not find the guard in its way.
fn is_split(taken: &TakenOver) -> bool {
    let statistics = taken
        .record
        .as_ref()
        .and_then(|record| record.raw_statistics.clone());
    statistics.is_some_and(|raw| is_past_return(&MigrationInfo::from_value(raw).status))
}

/// Writes the outcome beside the journal, for whoever comes later. On a full
/// disk it is looked for again, or is in the history already.
fn keep_outcome(dir: &MoveDir, taken: &TakenOver) {
    if let Some(record) = &taken.record
        && let Err(error) = dir.write_json(RECORD_FILE, record)
    {
        tracing::warn!(%error, "the outcome is not kept beside the journal");
    }
}

/// Records the outcome, and removes the move's directory unless something is
/// left to do: says what.
async fn finish(dir: &MoveDir, taken: &TakenOver) -> Vec<String> {
    let mut left = taken.failed.clone();
    if let Some(record) = &taken.record
        && let Err(error) = close(&HistoryPlace::Usual, record).await
    {
        left.push(format!("the outcome was not recorded: {error}"));
    }
    if left.is_empty()
        && let Err(error) = dir.clone().remove()
    {
        left.push(error.to_string());
    }
    left
}

/// Adds the outcome of a record to the history.
pub(crate) async fn close(place: &HistoryPlace, record: &MoveRecord) -> Result<(), HistoryError> {
    let history = History::open(&place.path()?).await?;
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
        moves.push(recover_one(&dir).await);
    }
    Ok(RecoverReport {
        versions: Versions::default(),
        moves,
    })
}

/// Whatever goes wrong with one move must not keep the others waiting.
async fn recover_one(dir: &MoveDir) -> RecoveredMove {
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
    let _locks = match dir.try_recover() {
        Ok(Some(locks)) => locks,
        Ok(None) => {
            result.supervised = true;
            return result;
        }
        Err(error) => {
            result.failed.push(error.to_string());
            return result;
        }
    };
    let quiet: EventSink = Arc::new(|event| tracing::info!(?event));
    let sink = event_log::tee(&dir.events_path(), quiet);
    let taken = takeover::recover(dir, DEFAULT_STALL_TIMEOUT, sink).await;
    keep_outcome(dir, &taken);
    result.undone = taken.undone;
    result.place = taken
        .record
        .as_ref()
        .and_then(|r| r.outcome.as_ref())
        .map(|o| o.place);
    result.failed = finish(dir, &taken).await;
    result
}

/// The exit code of a recovery.
pub fn exit_code(report: &RecoverReport) -> ExitCode {
    let uncertain = |found: &RecoveredMove| found.place == Some(Place::Uncertain);
    if report.moves.iter().any(uncertain) {
        ExitCode::Uncertain
    } else if report.moves.iter().any(|found| !found.failed.is_empty()) {
        ExitCode::Hypervisor
    } else {
        ExitCode::Done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_of_a_recovery_is_its_exit_code() {
        let found = |place, failed: &[&str]| RecoveredMove {
            move_id: Uuid::nil(),
            guest: None,
            supervised: false,
            undone: 0,
            failed: failed.iter().map(|&text| text.into()).collect(),
            place,
        };
        let code = |moves: &[RecoveredMove]| {
            exit_code(&RecoverReport {
                versions: Versions::default(),
                moves: moves.to_vec(),
            })
        };
        let fine = found(Some(Place::RunningAtSource), &[]);
        let stuck = found(Some(Place::RunningAtSource), &["busy"]);
        let lost = found(Some(Place::Uncertain), &[]);
        assert_eq!(code(&[]), ExitCode::Done);
        assert_eq!(code(&[fine.clone(), found(None, &[])]), ExitCode::Done);
        assert_eq!(code(&[fine.clone(), stuck.clone()]), ExitCode::Hypervisor);
        assert_eq!(code(&[stuck, lost, fine]), ExitCode::Uncertain);
    }
}
