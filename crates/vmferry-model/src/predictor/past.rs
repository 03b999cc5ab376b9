//! An earlier move: what was known before it, and what it did cost.

use jiff::Timestamp;
use vmferry_core::plan::MoveLimits;
use vmferry_core::{
    ByteRate, Bytes, Millis, MoveRecord, Observation, Outcome, OutcomeStatus, PAGE_SIZE,
};

use super::case::{Case, Technique};
use super::predicted::Predicted;
use crate::assumptions::Assumptions;
use crate::forecast::MODEL_VERSION;

/// An earlier move.
#[derive(Clone, Debug)]
pub struct Past<'a> {
    /// What was known before it.
    pub case: Case<'a>,
    /// What a model said before it, by itself and without corrections; `None`
    /// where nothing was recorded, or by another version of the models.
    pub said: Option<Predicted>,
    /// What it did cost.
    pub measured: Measured,
}

impl<'a> Past<'a> {
    /// A move of the history, with what was observed before it where that was
    /// kept. `route` is how the history calls its route. `None` without an
    /// outcome, a link or anything known of the guest's memory, and of a
    /// post-copy, whose costs follow other rules: then it teaches nothing.
    ///
    /// What earlier moves had taught by then is left out: whoever learns from
    /// moves, learns it anew.
    pub fn of_record(
        record: &'a MoveRecord,
        observation: Option<&'a Observation>,
        route: &'a str,
    ) -> Option<Self> {
        let outcome = record
            .outcome
            .as_ref()
            .filter(|outcome| !outcome.post_copy)?;
        let link = record.link.clone()?;
        let forecast = record.forecast.as_ref();
        let limits = MoveLimits {
            // The hypervisor's own, where the plan left it alone.
            max_downtime_ms: record
                .plan
                .limits
                .max_downtime_ms
                .or(forecast.map(|forecast| forecast.model.max_downtime_ms)),
            ..record.plan.limits
        };
        let mut assumptions = Assumptions::for_guest(&record.guest);
        if limits.max_bandwidth.is_none() {
            // It was the hypervisor's own, and is in no record: the link counts.
            assumptions.rules.max_bandwidth = None;
        }
        let mut case = match (observation, forecast) {
            (Some(observation), _) => Case::observed(observation, link, limits, assumptions),
            (None, Some(forecast)) => Case {
                memory: forecast.observation.migrated_pages.bytes(),
                zero: forecast.observation.zero,
                dirty_rate: Some(ByteRate(forecast.observation.dirty_rate_1s_bytes_per_s)),
                observation: None,
                link,
                limits,
                assumptions,
                technique: Technique::PreCopy,
                workload: None,
                guest: None,
                route: None,
                at: None,
            },
            (None, None) => return None,
        };
        case.guest = record
            .guest
            .uuid
            .as_deref()
            .or(record.guest.name.as_deref());
        case.route = Some(route);
        case.at = Some(record.started_at);
        Some(Self {
            measured: Measured::of_outcome(outcome, limits.deadline_ms),
            // Another version of the models errs otherwise.
            said: forecast
                .filter(|forecast| forecast.model.version == MODEL_VERSION)
                .map(Predicted::uncorrected),
            case,
        })
    }
}

/// What a move did cost; a quantity is `None` where nobody measured it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Measured {
    /// Whether it converged by itself, within its deadline; `None` where its
    /// end tells nothing of that (it failed, was cancelled early, or nobody
    /// says).
    pub converged: Option<bool>,
    /// Whether it came to its end although it did not converge in time, or
    /// although nobody says that it did: its quantities are what it cost. Those
    /// of a move that was cut off are *censored*: its time is a lower bound.
    pub completed: bool,
    /// When it was over, whatever its end: from then on others can learn from
    /// it. `None` where nobody says.
    pub ended_at: Option<Timestamp>,
    /// Total migration time.
    pub total_time: Option<Millis>,
    /// STOP at the source to RESUME at the destination.
    pub downtime: Option<Millis>,
    /// Bytes of the stream.
    pub transferred: Option<Bytes>,
    /// Mean dirty rate over its passes, weighed by their length (`liu2011`
    /// eq. 11), bytes per second.
    pub mean_dirty_rate: Option<ByteRate>,
}

impl Measured {
    /// Of a recorded outcome, for a move that should have converged within
    /// `deadline`.
    pub fn of_outcome(outcome: &Outcome, deadline: Millis) -> Self {
        let ran_ms = outcome
            .ended_at
            .duration_since(outcome.started_at)
            .as_secs_f64()
            * 1e3;
        let converged = match outcome.status {
            OutcomeStatus::Completed => outcome.total_time_ms.map(|total| total.0 <= deadline.0),
            OutcomeStatus::Cancelled if ran_ms >= deadline.0 => Some(false),
            OutcomeStatus::Cancelled | OutcomeStatus::Failed | OutcomeStatus::Unknown => None,
        };
        Self {
            converged,
            completed: outcome.status == OutcomeStatus::Completed,
            ended_at: Some(outcome.ended_at),
            total_time: outcome.total_time_ms,
            downtime: outcome.downtime_ms,
            transferred: outcome.transferred_bytes,
            mean_dirty_rate: mean_dirty_rate(outcome),
        }
    }

    /// Whether its quantities are what it cost: it converged, or came to its end
    /// all the same.
    pub fn is_complete(&self) -> bool {
        self.completed || self.converged == Some(true)
    }
}

/// `liu2011` eq. 11 over the passes that were seen: sum(D_i T_i) / sum(T_i).
fn mean_dirty_rate(outcome: &Outcome) -> Option<ByteRate> {
    let (mut dirtied, mut time) = (0.0, 0.0);
    for pair in outcome.pass_list.windows(2) {
        let length = pair[1].at_ms.0 - pair[0].at_ms.0;
        // QEMU tells the rate of a pass at the look that ends it.
        let Some(pages) = pair[1].dirty_pages_per_s.filter(|_| length > 0.0) else {
            continue;
        };
        dirtied += (pages * PAGE_SIZE.0) as f64 * length;
        time += length;
    }
    (time > 0.0).then(|| ByteRate(dirtied / time))
}
