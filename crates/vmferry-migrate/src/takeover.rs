//! What a guard does when vmferry is dead, and `vmferry recover` when both are.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use vmferry_core::{MigrationStatus, MoveEvent, MoveRecord, Outcome, OutcomeStatus, Place};
use vmferry_hypervisor::qmp::Guest;

use crate::alone::{self, Alone};
use crate::ends::Ends;
use crate::error::MigrateError;
use crate::event_log::EventSink;
use crate::finish;
use crate::journal::Journal;
use crate::meters::Baseline;
use crate::place::{self, EndState, PlaceCheck};
use crate::reach::{At, Reached};
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

/// How long a destination is waited for before its source is followed without it.
const DESTINATION_PATIENCE: Duration = Duration::from_secs(3);
/// Pause before something that could not be undone is tried again.
const UNDO_PAUSE: Duration = Duration::from_millis(250);

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
/// An outcome that nobody saw is looked for again.
pub async fn take_over(dir: &MoveDir, stall_timeout: Duration, sink: EventSink) -> TakenOver {
    end(dir, stall_timeout, sink, false).await
}

/// The same for an operator who asks for it: a guest that was left between
/// both ends, or whose place was uncertain for another reason, is looked for
/// again, and a broken post-copy put together.
pub async fn recover(dir: &MoveDir, stall_timeout: Duration, sink: EventSink) -> TakenOver {
    end(dir, stall_timeout, sink, true).await
}

async fn end(dir: &MoveDir, stall_timeout: Duration, sink: EventSink, again: bool) -> TakenOver {
    let mut record: Option<MoveRecord> = dir.read_json(RECORD_FILE).ok();
    let mut report = UndoReport::default();
    let mut unreadable = None;
    let mut journal = match Journal::open(&dir.journal_path()) {
        Ok(journal) => Some(journal),
        Err(MigrateError::State { source, .. })
            if source.kind() == std::io::ErrorKind::NotFound =>
        {
            None
        }
        // Where the guest is can be found out all the same.
        Err(error) => {
            unreadable = Some(error.to_string());
            None
        }
    };
    let mut connections = Connections::new();
    let unseen = |outcome: &Option<Outcome>| {
        outcome.as_ref().is_none_or(|o| {
            o.status == OutcomeStatus::Unknown || (again && o.place == Place::Uncertain)
        })
    };
    if let Some(record) = record.as_mut().filter(|record| unseen(&record.outcome)) {
        let cancel = watch::Sender::new(false);
        // Before the word is given: whoever follows waits for a change.
        let asked = cancel.subscribe();
        if dir.file(CANCEL_FILE).exists() {
            // vmferry may have died before it could do it.
            cancel.send_replace(true);
        }
        let how = Follow {
            baseline: dir.read_json(BASELINE_FILE).ok(),
            stall_timeout,
            cancel: asked,
        };
        let identity = |uri| {
            journal
                .as_ref()
                .and_then(|j: &Journal| j.identity(uri))
                .cloned()
        };
        let (source, destination) = (
            &record.plan.source.clone(),
            &record.plan.destination.clone(),
        );
        let (source_id, destination_id) = (identity(source), identity(destination));
        let reached = Reached::default();
        let outcome = tokio::select! {
            outcome = follow(record, how, &reached, &sink) => outcome,
            never = reached.reach(source, source_id.as_ref()) => match never {},
            never = reached.reach(destination, destination_id.as_ref()) => match never {},
            never = undo_early(journal.as_mut(), &reached, &mut report) => match never {},
        };
        connections = reached.connections();
        sink(&MoveEvent::Ended {
            outcome: Box::new(outcome.clone()),
        });
        // What was seen before tells more than that nobody saw it.
        let nothing = (OutcomeStatus::Unknown, Place::Uncertain);
        if (outcome.status, outcome.place) != nothing || record.outcome.is_none() {
            record.outcome = Some(outcome);
        }
    }
    if let Some(journal) = &mut journal {
        absorb(
            &mut report,
            undo::undo(journal, &mut connections, UndoWhen::AfterMigration).await,
        );
    }
    report.failed.extend(unreadable);
    TakenOver {
        record,
        undone: report.undone,
        failed: report.failed,
    }
}

fn absorb(all: &mut UndoReport, more: UndoReport) {
    all.undone += more.undone;
    all.gone += more.gone;
    all.failed.extend(more.failed);
}

/// Undoes what the hypervisor lets be undone while the migration runs, as soon
/// as an end is reached, again and again until nothing of it is left.
async fn undo_early(
    journal: Option<&mut Journal>,
    reached: &Reached,
    report: &mut UndoReport,
) -> Infallible {
    if let Some(journal) = journal {
        let possible = |journal: &Journal| {
            let pending = journal.pending();
            pending.iter().any(|c| c.undo.possible_during_migration())
        };
        let mut changes = reached.changes();
        while possible(journal) {
            let mut connections = reached.connections();
            let more = undo::undo(journal, &mut connections, UndoWhen::DuringMigration).await;
            if !more.failed.is_empty() {
                tracing::warn!(failed = ?more.failed, "tried again");
            }
            // What failed is tried again, at the latest when the move is over.
            absorb(
                report,
                UndoReport {
                    failed: Vec::new(),
                    ..more
                },
            );
            // Whatever keeps it from being undone announces no end.
            let _ = timeout(UNDO_PAUSE, changes.changed()).await;
        }
    }
    std::future::pending().await
}

/// How long an end may take to be reached, ssh's login included, before its
/// state counts as unknown.
const REACH_PATIENCE: Duration = Duration::from_secs(15);
/// How long both ends may take to agree on where the guest is.
const PLACE_PATIENCE: Duration = Duration::from_secs(5);

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
    reached: &Reached,
    sink: &EventSink,
) -> Outcome {
    let plan = record.plan.clone();
    let baseline = how
        .baseline
        .unwrap_or_else(|| Baseline::bare(record.started_at));
    let mut begun = baseline.command_given();
    if begun && let At::Connected(source) = reached.of(&plan.source).await {
        begun = has_begun(&source).await;
        // Its events tell how long the guest stood still.
        let waited = timeout(DESTINATION_PATIENCE, reached.of(&plan.destination)).await;
        let mut destination = match waited {
            Ok(At::Connected(destination)) => Some(destination),
            _ => None,
        };
        if begun && destination.is_none() {
            tracing::warn!(uri = %plan.destination, "followed without the destination for now");
            let rules = alone::Rules {
                stall_timeout: how.stall_timeout,
                cancel: how.cancel.clone(),
            };
            match alone::follow(&source, &plan, reached, rules, sink).await {
                Alone::Joined(joined) => destination = Some(joined),
                Alone::Ended { kind, error, info } => {
                    record.raw_statistics = info.as_ref().map(|info| info.raw.clone());
                    let check = find(reached, &plan).await;
                    return alone::outcome(kind, error, info.as_deref(), &check, &baseline);
                }
            }
        }
        if let Some(destination) = destination.filter(|_| begun) {
            // The source's connection may have been made anew meanwhile.
            let source = match reached.now(&plan.source) {
                Some(At::Connected(source)) => source,
                _ => source,
            };
            let streams = (source.events(), destination.events());
            let ends = Ends {
                source,
                destination,
            };
            let began = baseline.began_instant().unwrap_or_else(Instant::now);
            let running = RunningMigration::attach(
                ends,
                plan.clone(),
                baseline,
                began,
                streams,
                how.stall_timeout,
            )
            .joined_late()
            .insisting();
            let ended = running.supervise(how.cancel, sink.clone()).await;
            for guest in [&ended.ends.source, &ended.ends.destination] {
                reached.set(guest.uri(), At::Connected(guest.clone()));
            }
            record.raw_statistics = ended.raw();
            return finish::outcome(&ended, &plan);
        }
    }
    let check = find(reached, &plan).await;
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

/// Whether the command that was about to be given has begun a migration. What
/// cannot be asked counts as begun.
async fn has_begun(source: &Guest) -> bool {
    for _ in 0..3 {
        match source.migration().await {
            Ok(info) if info.status == MigrationStatus::None => return false,
            // Of an earlier migration: a source that has handed its guest over
            // does not run it.
            Ok(info) if info.status == MigrationStatus::Completed => {
                let state = source.run_state().await;
                return !state.is_ok_and(|state| state.running == Some(true));
            }
            Ok(_) => return true,
            Err(error) if error.is_closed() => return true,
            Err(error) => tracing::warn!(%error, "query-migrate"),
        }
        sleep(UNDO_PAUSE).await;
    }
    true
}

/// Asks both ends where the guest is; a QEMU that took the place of one of
/// them is not asked. A monitor serves one client: the connections that are
/// being made are waited for, not doubled.
async fn find(reached: &Reached, plan: &vmferry_core::Plan) -> PlaceCheck {
    let (source, destination) = tokio::join!(
        timeout(REACH_PATIENCE, reached.of(&plan.source)),
        timeout(REACH_PATIENCE, reached.of(&plan.destination)),
    );
    let (source, destination) = (source.ok(), destination.ok());
    let ask = async |uri, end: Option<&At>| match end {
        Some(At::Gone) => EndState::Gone,
        Some(At::Connected(guest)) => place::ask(uri, Some(guest)).await,
        Some(At::Unreachable) | None => EndState::Unknown("it was not reached".to_owned()),
    };
    let deadline = Instant::now() + PLACE_PATIENCE;
    loop {
        let check = PlaceCheck {
            source: ask(&plan.source, source.as_ref()).await,
            destination: ask(&plan.destination, destination.as_ref()).await,
        };
        if check.place() != Place::Uncertain || Instant::now() >= deadline {
            return check;
        }
        // A source that resumes the guest announces it to nobody here.
        sleep(UNDO_PAUSE).await;
    }
}
