//! Puts together what was measured of a move.

use jiff::Timestamp;
use vmferry_control::EndKind;
use vmferry_core::{Bytes, GuestUri, Millis, Outcome, OutcomeStatus, Place, Plan, Ratio};

use vmferry_hypervisor::qmp::MigrationInfo;

use crate::running::Ended;

/// Guests that use less of their virtual CPUs than this do no work that a
/// loss could be measured of.
const IDLE: f64 = 0.02;

/// The outcome of a move that ended.
pub fn outcome(ended: &Ended, plan: &Plan) -> Outcome {
    let info = ended.info.as_ref();
    let ram = |pick: fn(&vmferry_hypervisor::qmp::RamProgress) -> Option<u64>| {
        info.and_then(|i| pick(&i.ram))
    };
    let completed = ended.kind == Some(EndKind::Completed);
    let status = match ended.kind {
        // Cancelled at the switchover, QEMU calls it failed.
        Some(EndKind::Cancelled) if !ended.given_up => OutcomeStatus::Cancelled,
        Some(EndKind::Failed) if ended.cancelled => OutcomeStatus::Cancelled,
        Some(EndKind::Cancelled | EndKind::Failed) => OutcomeStatus::Failed,
        Some(EndKind::Completed) | None if ended.place.place() == Place::RunningAtDestination => {
            OutcomeStatus::Completed
        }
        Some(EndKind::Completed) | None => OutcomeStatus::Failed,
    };
    let one_machine = matches!(
        (&plan.source, &plan.destination),
        (GuestUri::Qmp { .. }, GuestUri::Qmp { .. })
    );
    let downtime = completed
        .then(|| ended.stamps.downtime(one_machine))
        .flatten();
    let total_time_ms = info
        .and_then(|i| i.total_time_ms)
        .map(|ms| Millis(ms as f64));
    Outcome {
        status,
        place: ended.place.place(),
        post_copy: info.is_some_and(MigrationInfo::was_postcopy),
        error: ended.error.clone(),
        started_at: ended.baseline.started_at,
        ended_at: Timestamp::now(),
        total_time_ms,
        downtime_ms: downtime.map(|d| d.0),
        downtime_clock: downtime.map(|d| d.1),
        qemu_downtime_ms: info
            .and_then(|i| i.downtime_ms)
            .filter(|_| completed)
            .map(|ms| Millis(ms as f64)),
        transferred_bytes: ram(|r| r.transferred_bytes).map(Bytes),
        wire_bytes: ended.baseline.wire_since_start(),
        slowdown: total_time_ms
            .filter(|_| completed)
            .and_then(|total| slowdown(ended, total, downtime.map(|d| d.0))),
        passes: ram(|r| r.dirty_sync_count),
        pass_list: ended.passes.clone(),
    }
}

/// The outcome of a move of which nothing was measured: it did not start, or
/// nobody saw its end.
pub fn unmeasured(
    status: OutcomeStatus,
    place: Place,
    error: String,
    started_at: Timestamp,
) -> Outcome {
    Outcome::unseen(status, place, error, started_at, Timestamp::now())
}

/// Work lost by the guest: the CPU time it used from the command to its stop,
/// against what it would have used until it resumed (`jin2011` eq. 6-7, with
/// CPU time for instructions).
fn slowdown(ended: &Ended, total: Millis, downtime: Option<Millis>) -> Option<Ratio> {
    let before = ended.baseline.vcpu_use?.0;
    let reading = ended.vcpu.as_ref()?;
    if before < IDLE {
        return None;
    }
    let seen = reading.elapsed_s + downtime?.0 / 1e3;
    // After a post-copy the total holds the time in which the guest ran at the
    // destination: what it lost there, waiting for pages, is not in this share.
    let postcopy = ended.info.as_ref().is_some_and(MigrationInfo::was_postcopy);
    let until_resumed = if postcopy {
        seen
    } else {
        seen.max(total.0 / 1e3)
    };
    let due = before * f64::from(reading.vcpus) * until_resumed;
    Some(Ratio((1.0 - reading.cpu_s / due).clamp(0.0, 1.0)))
}
