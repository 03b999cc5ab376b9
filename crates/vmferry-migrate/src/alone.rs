//! Follows an orphaned move by its source alone, as long as its destination
//! cannot be reached.

use std::time::{Duration, Instant};

use tokio::sync::watch;
use vmferry_control::phase::is_past_return;
use vmferry_control::{EndKind, Recovery, Side, Step};
use vmferry_core::{
    Bytes, MigrationStatus, Millis, MoveEvent, Outcome, OutcomeStatus, Place, Plan,
};
use vmferry_hypervisor::qmp::{Guest, MigrationInfo};

use crate::event_log::EventSink;
use crate::finish;
use crate::meters::Baseline;
use crate::place::PlaceCheck;
use crate::poller::{POLL, Poller};
use crate::reach::{At, Reached};
use crate::reconnect::{Back, come_back};
use crate::stall::StallWatch;

/// How long a source whose connection broke is tried again.
const PATIENCE: Duration = Duration::from_secs(60);

/// When the move is given up.
pub(crate) struct Rules {
    pub(crate) stall_timeout: Duration,
    pub(crate) cancel: watch::Receiver<bool>,
}

/// How the following by the source alone ended.
pub(crate) enum Alone {
    /// The destination was reached: both can be followed.
    Joined(Guest),
    /// The migration ended, or the source was lost (`None`).
    Ended {
        kind: Option<EndKind>,
        error: Option<String>,
        info: Option<Box<MigrationInfo>>,
    },
}

/// Follows the source until the migration ends or the destination is reached.
pub(crate) async fn follow(
    source: &Guest,
    plan: &Plan,
    reached: &Reached,
    rules: Rules,
    sink: &EventSink,
) -> Alone {
    let began = Instant::now();
    let mut stall = StallWatch::new(rules.stall_timeout);
    let mut source = source.clone();
    let mut last: Option<MigrationInfo> = None;
    let mut asked = false;
    let mut nobody = false;
    let mut recovery = Recovery::by_source_alone();
    loop {
        let (_poller, mut polls) = Poller::start(source.clone(), POLL);
        loop {
            let info = tokio::select! {
                Some(poll) = polls.recv() => poll,
                destination = reached.settled(&plan.destination), if !nobody => {
                    match destination {
                        Some(destination) => return Alone::Joined(destination),
                        None => nobody = true,
                    }
                    continue;
                }
            };
            let Some(info) = info else {
                break;
            };
            let now = began.elapsed();
            if last.as_ref().map(|last| &last.status) != Some(&info.status) {
                sink(&MoveEvent::Phase {
                    at_ms: now.into(),
                    status: info.status.clone(),
                });
            }
            if let Some(message) = stall.look(now, &info) {
                sink(&MoveEvent::Warning { message });
            }
            if info.status.is_end() {
                let kind = match info.status {
                    MigrationStatus::Completed => EndKind::Completed,
                    MigrationStatus::Cancelled => EndKind::Cancelled,
                    _ => EndKind::Failed,
                };
                let error = if stall.expired() {
                    Some(format!(
                        "given up: nothing was sent over {} any more",
                        plan.via
                    ))
                } else {
                    info.error_desc.clone()
                };
                return Alone::Ended {
                    kind: Some(kind),
                    error,
                    info: Some(Box::new(info)),
                };
            }
            if nobody && is_past_return(&info.status) {
                let error = format!("the QEMU of {} exited in post-copy", plan.destination);
                return Alone::Ended {
                    kind: None,
                    error: Some(error),
                    info: Some(Box::new(info)),
                };
            }
            recovery.status(now, Side::Source, &info.status);
            recovery.sent(now, info.ram.transferred_bytes.map(Bytes));
            if let Some(step) = recovery.next(now) {
                let tried = match step {
                    Step::Resume => source.migrate_resume(&(&plan.via).into()).await,
                    _ => source.migrate_pause().await,
                };
                match tried {
                    Ok(()) => recovery.done(now, step),
                    Err(error) => {
                        tracing::info!(%error, "post-copy");
                        recovery.refused(now, step);
                    }
                }
            }
            let wanted = stall.expired() || *rules.cancel.borrow();
            // Later the destination may have everything, and nobody can keep
            // it from starting the guest.
            let safe = matches!(
                info.status,
                MigrationStatus::Setup | MigrationStatus::Active
            );
            if wanted && safe && !asked {
                asked = source.migrate_cancel().await.is_ok();
            }
            last = Some(info);
        }
        match come_back(&plan.source, PATIENCE).await {
            Back::Connected(guest) => {
                reached.set(&plan.source, At::Connected(guest.clone()));
                source = guest;
            }
            back => {
                let error = match back {
                    Back::GaveUp(error) => error.to_string(),
                    _ => format!("the QEMU of {} exited in mid-move", plan.source),
                };
                return Alone::Ended {
                    kind: None,
                    error: Some(error),
                    info: last.map(Box::new),
                };
            }
        }
    }
}

/// The outcome of a move whose source alone was followed.
pub(crate) fn outcome(
    kind: Option<EndKind>,
    error: Option<String>,
    info: Option<&MigrationInfo>,
    check: &PlaceCheck,
    baseline: &Baseline,
) -> Outcome {
    let place = check.place();
    let status = match kind {
        Some(EndKind::Completed) => OutcomeStatus::Completed,
        Some(EndKind::Cancelled) if error.is_none() => OutcomeStatus::Cancelled,
        Some(EndKind::Cancelled | EndKind::Failed) => OutcomeStatus::Failed,
        None if place == Place::RunningAtDestination => OutcomeStatus::Completed,
        None => OutcomeStatus::Unknown,
    };
    let reason = error.unwrap_or_else(|| format!("{status:?}").to_lowercase());
    let advice = check
        .advice()
        .map_or_else(String::new, |advice| format!("; {advice}"));
    let said = format!("{reason} ({}){advice}", check.explain());
    let unseen = finish::unmeasured(status, place, said, baseline.started_at);
    let error = unseen
        .error
        .filter(|_| status != OutcomeStatus::Completed || place == Place::Uncertain);
    Outcome {
        error,
        total_time_ms: info
            .and_then(|i| i.total_time_ms)
            .map(|ms| Millis(ms as f64)),
        transferred_bytes: info.and_then(|i| i.ram.transferred_bytes).map(Bytes),
        wire_bytes: baseline.wire_since_start(),
        passes: info.and_then(|i| i.ram.dirty_sync_count),
        ..unseen
    }
}
