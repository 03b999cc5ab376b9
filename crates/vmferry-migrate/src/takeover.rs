//! What a guard does when vmferry is dead, and `vmferry recover` when both are.

use std::time::{Duration, Instant};

use tokio::sync::watch;
use vmferry_core::{GuestUri, MoveEvent, MoveRecord, Outcome, OutcomeStatus};
use vmferry_hypervisor::qmp::{ConnectOptions, Guest};

use crate::ends::Ends;
use crate::error::MigrateError;
use crate::event_log::EventSink;
use crate::finish;
use crate::journal::Journal;
use crate::meters::Baseline;
use crate::place;
use crate::running::RunningMigration;
use crate::state_dir::MoveDir;
use crate::undo::{self, Connections, UndoReport, UndoWhen};

/// Name of the record within the directory of a move.
pub const RECORD_FILE: &str = "record.json";
/// Name of the baseline within the directory of a move; missing as long as
/// the migration command was not given.
pub const BASELINE_FILE: &str = "baseline.json";

/// Name of the file whose presence says that the operator wants the move cancelled.
pub const CANCEL_FILE: &str = "cancel";

/// How an orphaned move was brought to an end.
#[derive(Debug)]
pub struct TakenOver {
    /// The record, with the outcome filled in; `None` when it was never written.
    pub record: Option<MoveRecord>,
    /// Changes undone.
    pub undone: usize,
    /// What could not be undone; the journal stays.
    pub failed: Vec<String>,
}

/// Undoes what an orphaned move changed, at once where the hypervisor allows,
/// follows the migration to its end, undoes the rest, and says how it ended.
///
/// # Errors
/// When the journal cannot be read or written.
pub async fn take_over(
    dir: &MoveDir,
    stall_timeout: Duration,
    sink: EventSink,
) -> Result<TakenOver, MigrateError> {
    let mut record: Option<MoveRecord> = dir.read_json(RECORD_FILE).ok();
    let baseline: Option<Baseline> = dir.read_json(BASELINE_FILE).ok();
    let mut journal = match Journal::open(&dir.journal_path()) {
        Ok(journal) => Some(journal),
        Err(MigrateError::State { source, .. })
            if source.kind() == std::io::ErrorKind::NotFound =>
        {
            None
        }
        Err(error) => return Err(error),
    };
    let mut connections = Connections::new();
    let mut report = UndoReport::default();
    if let Some(journal) = &mut journal {
        absorb(
            &mut report,
            undo::undo(journal, &mut connections, UndoWhen::DuringMigration).await?,
        );
    }
    if let Some(record) = record.as_mut().filter(|record| record.outcome.is_none()) {
        let cancel = watch::Sender::new(false);
        let asked = cancel.subscribe();
        if dir.file(CANCEL_FILE).exists() {
            // vmferry may have died before it could do it.
            cancel.send_replace(true);
        }
        let how = Follow {
            baseline,
            stall_timeout,
            cancel: asked,
        };
        let outcome = follow(record, how, &mut connections, &sink).await;
        sink(&MoveEvent::Ended {
            outcome: Box::new(outcome.clone()),
        });
        record.outcome = Some(outcome);
    }
    if let Some(journal) = &mut journal {
        // What failed while the migration ran is tried again now.
        report.failed.clear();
        absorb(
            &mut report,
            undo::undo(journal, &mut connections, UndoWhen::AfterMigration).await?,
        );
    }
    Ok(TakenOver {
        record,
        undone: report.undone,
        failed: report.failed,
    })
}

fn absorb(all: &mut UndoReport, more: UndoReport) {
    all.undone += more.undone;
    all.gone += more.gone;
    all.failed.extend(more.failed);
}

/// How to follow an orphaned move.
struct Follow {
    baseline: Option<Baseline>,
    stall_timeout: Duration,
    cancel: watch::Receiver<bool>,
}

/// Follows the migration of an orphaned move, if it runs, to its end.
async fn follow(
    record: &mut MoveRecord,
    how: Follow,
    connections: &mut Connections,
    sink: &EventSink,
) -> Outcome {
    let plan = record.plan.clone();
    let source = connect(&plan.source, connections).await;
    let destination = connect(&plan.destination, connections).await;
    let baseline = how
        .baseline
        .unwrap_or_else(|| Baseline::bare(record.started_at));
    if let (Some(source), Some(destination)) = (&source, &destination) {
        let ends = Ends {
            source: source.clone(),
            destination: destination.clone(),
        };
        let streams = (ends.source.events(), ends.destination.events());
        let asked = source.migration().await;
        let ours = asked.as_ref().is_ok_and(|info| {
            *info.raw.get("status").unwrap_or(&serde_json::Value::Null) != serde_json::Value::Null
        });
        if ours && baseline.command_given() {
            let began = baseline.began_instant().unwrap_or_else(Instant::now);
            let running = RunningMigration::attach(
                ends,
                plan.clone(),
                baseline,
                began,
                streams,
                how.stall_timeout,
            )
            .joined_late();
            let ended = running.supervise(how.cancel, sink.clone()).await;
            connections.insert(plan.source.clone(), ended.ends.source.clone());
            connections.insert(plan.destination.clone(), ended.ends.destination.clone());
            record.raw_statistics = ended.raw();
            return finish::outcome(&ended, &plan);
        }
    }
    let check = place::find(
        (&plan.source, source.as_ref()),
        (&plan.destination, destination.as_ref()),
        Duration::from_secs(5),
    )
    .await;
    let begun = baseline.command_given();
    let (status, when) = if begun {
        (OutcomeStatus::Unknown, "in mid-move")
    } else {
        (OutcomeStatus::Cancelled, "before the migration began")
    };
    let error = format!(
        "vmferry died {when}, and nobody saw the end ({})",
        check.explain()
    );
    finish::unmeasured(status, check.place(), error, record.started_at)
}

async fn connect(uri: &GuestUri, connections: &mut Connections) -> Option<Guest> {
    if let Some(guest) = connections.get(uri).filter(|guest| !guest.is_closed()) {
        return Some(guest.clone());
    }
    let guest = Guest::connect(uri, ConnectOptions::default()).await.ok()?;
    connections.insert(uri.clone(), guest.clone());
    Some(guest)
}
