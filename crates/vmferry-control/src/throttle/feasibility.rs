//! Whether a promise can be kept, before anything moves.
//!
//! The controller that would steer the move is put to trials over what was
//! observed of the guest, each with its own draw of what is not known, as in a
//! forecast. What it cannot keep is refused, with the least changes that it
//! could keep ([`Relaxation`](vmferry_core::Relaxation)).

use std::time::Duration;

use vmferry_core::{
    Bytes, Interval, LinkSpeed, Millis, Missed, MovedBy, Observation, Promise, PromiseForecast,
    Ratio,
};
use vmferry_model::drawn_moves::Play;
use vmferry_model::{Assumptions, DrawnMoves};
use vmferry_precopy::HostCosts;
use vmferry_precopy::dirt::UnitDirt;
use vmferry_precopy::qemu::Rules;

use super::chosen::{controller, steered_by};
use super::governor::{Action, Governor};
use super::observed::ObservedOutlook;
use super::observed::unhurried;
use super::outlook::Outlook;
use super::promise::{Promises, Reason};
use super::relaxation::relaxations;
use super::steersman::switchover_bandwidth;
use super::trial::{Trial, TrialEnd, TrialOutcome};
use crate::error::ControlError;

/// Most trials behind a verdict; they end once it cannot change any more.
pub const TRIALS: u32 = 20;

/// A promise that at least this share of the trials keeps is given.
pub const ACCEPTED: Ratio = Ratio(0.8);

/// Percent of dirt that one percent of CPU is worth, least and most: writes
/// follow the CPU (`jin2011` eq. 8) but for those that wait for something else.
const ELASTICITY: (f64, f64) = (0.7, 1.05);
/// A trial is stopped so much later than promised, as a share of the deadline:
/// what is a little late is not what never ends.
const STOPPED: f64 = 1.1;
/// How far controllers look ahead, as a share of the deadline: far enough to
/// tell a late end from none, and no farther, since what never ends takes as long
/// to foresee.
const FORESEEN: f64 = 1.25;

/// What becomes of a promise, from trials of the controller it asks for. The
/// same arguments give the same answer. 20 trials, fewer where they fail; then
/// about as many for every change that might help.
///
/// # Errors
/// A promise that contradicts itself ([`Promises::checked`]); an observation or
/// a link that says too little.
pub fn promise_forecast(
    observation: &Observation,
    link: &LinkSpeed,
    assumptions: &Assumptions,
    promise: &Promise,
    seed: u64,
) -> Result<PromiseForecast, ControlError> {
    Promises::from(promise).checked()?;
    let assumptions = Assumptions {
        samples: TRIALS,
        ..*assumptions
    };
    let case = Case {
        moves: DrawnMoves::new(observation, link, &assumptions, seed)?,
        observation,
        link,
        assumptions: &assumptions,
    };
    let ends = case.ends(promise, 1.0, ACCEPTED)?;
    let kept = kept_share(&ends);
    let accepted = kept >= ACCEPTED.0;
    let relaxations = if accepted {
        Vec::new()
    } else {
        relaxations(&case, promise)?
    };
    let (capped, by) = (throttled(&ends), moved_by(&ends));
    Ok(PromiseForecast {
        promise: *promise,
        throttle: steered_by(promise),
        trials: ends.len() as u32,
        kept_probability: kept,
        accepted,
        by,
        total_time_ms: interval(&ends, |end| end.total_time.0).map(|i| i.map(Millis)),
        downtime_ms: interval(&ends, |end| end.downtime.map_or(f64::NAN, |d| d.0))
            .map(|i| i.map(Millis)),
        slowdown: interval(&ends, |end| end.slowdown.0).map(|i| i.map(Ratio)),
        least_cpu_share: capped.map(|(share, _)| share),
        throttled_ms: capped.map(|(_, time)| time),
        reason: reason(&ends),
        relaxations,
    })
}

/// A guest, its link, and the moves drawn of them.
pub(super) struct Case<'a> {
    moves: DrawnMoves<'a>,
    pub(super) observation: &'a Observation,
    pub(super) link: &'a LinkSpeed,
    pub(super) assumptions: &'a Assumptions,
}

/// What came of one trial.
#[derive(Clone, Debug)]
pub(super) struct TrialResult {
    by: MovedBy,
    pub(super) total_time: Millis,
    pub(super) downtime: Option<Millis>,
    pub(super) slowdown: Ratio,
    /// Least share of the CPU, and the time under any cap.
    capped: Option<(Ratio, Duration)>,
    failure: Option<Failure>,
}

/// Why a trial did not keep the promise.
#[derive(Clone, Copy, Debug)]
enum Failure {
    GaveUp(Reason),
    Forced(Duration),
    Missed(Missed),
}

impl TrialResult {
    pub(super) const fn is_kept(&self) -> bool {
        self.failure.is_none()
    }
}

impl Case<'_> {
    fn link_at(&self, faster: f64) -> LinkSpeed {
        LinkSpeed {
            wire_rate: self.link.wire_rate * Ratio(faster),
            ..self.link.clone()
        }
    }

    /// What controllers plan with, over a link so many times as fast.
    pub(super) fn outlook(
        &self,
        promise: &Promise,
        faster: f64,
    ) -> Result<ObservedOutlook, ControlError> {
        let link = self.link_at(faster);
        let stated = Promises::from(promise).deadline.mul_f64(FORESEEN);
        let horizon = stated.max(unhurried(promise, self.observation, &link));
        let mut assumptions = *self.assumptions;
        assumptions.rules = self.rules(promise, &link);
        let outlook = ObservedOutlook::new(self.observation, &link, &assumptions, horizon)?;
        Ok(outlook)
    }

    /// QEMU as the move would set it.
    fn rules(&self, promise: &Promise, link: &LinkSpeed) -> Rules {
        let own = self.assumptions.rules;
        Rules {
            switchover_bandwidth: switchover_bandwidth(promise, &own, link)
                .or(own.switchover_bandwidth),
            ..own
        }
    }

    /// Memory of the first pass.
    pub(super) fn memory(&self) -> Bytes {
        self.observation.page_mix.total_pages.bytes()
    }

    /// The trials of a promise over a link so many times as fast, up to the first
    /// failure too many for `enough` of them to keep it.
    pub(super) fn ends(
        &self,
        promise: &Promise,
        faster: f64,
        enough: Ratio,
    ) -> Result<Vec<TrialResult>, ControlError> {
        let outlook = self.outlook(promise, faster)?;
        let allowed = (f64::from(TRIALS) * (1.0 - enough.0) + 1e-9).floor() as usize;
        let (mut ends, mut failed) = (Vec::new(), 0);
        for number in 0..self.moves.count() {
            let end = self.end(number, promise, &outlook, faster);
            failed += usize::from(!end.is_kept());
            ends.push(end);
            if failed > allowed {
                break;
            }
        }
        Ok(ends)
    }

    /// Trial `number` of a promise.
    fn end(
        &self,
        number: u32,
        promise: &Promise,
        outlook: &ObservedOutlook,
        faster: f64,
    ) -> TrialResult {
        let promises = outlook.promises(promise);
        // Spread evenly whatever the number of trials.
        let place = (f64::from(number) * 0.618_033_988_75).fract();
        let promised = PromisedMove {
            promise,
            promises,
            outlook,
            memory: self.memory(),
            rules: Rules {
                max_bandwidth: promise
                    .max_bandwidth
                    .or(self.assumptions.rules.max_bandwidth),
                ..self.rules(promise, &self.link_at(faster))
            },
            elasticity: ELASTICITY.0 + place * (ELASTICITY.1 - ELASTICITY.0),
        };
        let (outcome, overhead) = self.moves.play(number, faster, &promised);
        judged(promise, &promises, &outcome, overhead)
    }
}

/// A move under a promise, to be played.
struct PromisedMove<'a> {
    promise: &'a Promise,
    promises: Promises,
    outlook: &'a ObservedOutlook,
    memory: Bytes,
    rules: Rules,
    elasticity: f64,
}

impl Play for PromisedMove<'_> {
    type Played = TrialOutcome;

    fn play<D: UnitDirt>(
        &self,
        dirt: D,
        costs: &HostCosts,
        rate: vmferry_core::ByteRate,
    ) -> TrialOutcome {
        let trial = Trial {
            rules: self.rules,
            costs: *costs,
            elasticity: self.elasticity,
            forced_after: self.promises.deadline.mul_f64(STOPPED),
            ..Trial::over(rate)
        };
        let controller = controller(self.promise, self.outlook, self.memory);
        let outside = self.outlook.outside();
        trial.run(dirt, &mut Governor::new(controller, self.promises, outside))
    }
}

fn judged(
    promise: &Promise,
    promises: &Promises,
    outcome: &TrialOutcome,
    overhead: Ratio,
) -> TrialResult {
    let held = outcome.slowdown().0.clamp(0.0, 1.0);
    let slowdown = Ratio(held + overhead.0 * (1.0 - held));
    let total_time = Millis::from(outcome.total_time);
    let downtime = outcome.downtime.map(Millis::from);
    let capped = capped(outcome);
    let missed = promise.missed(downtime, Some(total_time), Some(slowdown));
    let failure = match outcome.end {
        TrialEnd::GaveUp(reason) => Some(Failure::GaveUp(reason)),
        TrialEnd::Forced => Some(Failure::Forced(promises.deadline)),
        TrialEnd::SwitchedOver | TrialEnd::PostCopy => missed.first().copied().map(Failure::Missed),
    };
    TrialResult {
        by: match outcome.end {
            TrialEnd::SwitchedOver if capped.is_some() => MovedBy::Throttled,
            TrialEnd::SwitchedOver => MovedBy::Itself,
            TrialEnd::PostCopy => MovedBy::PostCopy,
            TrialEnd::GaveUp(_) | TrialEnd::Forced => MovedBy::GivenUp,
        },
        total_time,
        downtime,
        slowdown,
        capped,
        failure,
    }
}

/// The least share that a guest was held to and for how long it was held at
/// all; `None` where it kept its speed.
fn capped(outcome: &TrialOutcome) -> Option<(Ratio, Duration)> {
    let (mut least, mut time) = (None::<Ratio>, Duration::ZERO);
    let mut since = None;
    for (at, action) in &outcome.actions {
        match action {
            Action::CapCpu { share } => {
                least = Some(Ratio(least.map_or(share.0, |least| least.0.min(share.0))));
                since.get_or_insert(*at);
            }
            Action::LiftCap => {
                time += since
                    .take()
                    .map_or(Duration::ZERO, |since| at.saturating_sub(since));
            }
            _ => {}
        }
    }
    least.map(|least| (least, time))
}

pub(super) fn kept_share(ends: &[TrialResult]) -> f64 {
    ends.iter().filter(|end| end.is_kept()).count() as f64 / ends.len().max(1) as f64
}

/// An interval over the trials in which the guest moved.
pub(super) fn interval(
    ends: &[TrialResult],
    of: impl Fn(&TrialResult) -> f64,
) -> Option<Interval<f64>> {
    let moved = ends.iter().filter(|end| end.by != MovedBy::GivenUp);
    Interval::of_samples(&moved.map(of).collect::<Vec<_>>())
}

/// Medians of share and time over the trials under a cap, where they are most.
fn throttled(ends: &[TrialResult]) -> Option<(Ratio, Millis)> {
    let capped: Vec<_> = ends.iter().filter_map(|end| end.capped).collect();
    let median = |of: &dyn Fn(&(Ratio, Duration)) -> f64| {
        Interval::of_samples(&capped.iter().map(of).collect::<Vec<_>>()).map(|i| i.p50)
    };
    if 2 * capped.len() <= ends.len() {
        return None;
    }
    let share = median(&|(share, _)| share.0)?;
    let time = median(&|(_, time)| time.as_secs_f64() * 1e3)?;
    Some((Ratio(share), Millis(time)))
}

/// How most of the trials that kept the promise ended, else most of all.
fn moved_by(ends: &[TrialResult]) -> MovedBy {
    let any_kept = ends.iter().any(TrialResult::is_kept);
    let counted = |by| {
        let those = ends.iter().filter(|end| end.is_kept() || !any_kept);
        those.filter(|end| end.by == by).count()
    };
    let ways = [
        MovedBy::GivenUp,
        MovedBy::PostCopy,
        MovedBy::Throttled,
        MovedBy::Itself,
    ];
    ways.into_iter()
        .max_by_key(|by| counted(*by))
        .unwrap_or(MovedBy::GivenUp)
}

/// Why most of those that failed did: the words of one in their middle.
fn reason(ends: &[TrialResult]) -> Option<String> {
    let kind = |failure: &Failure| match failure {
        Failure::GaveUp(Reason::NotConverging { .. }) => 0,
        Failure::GaveUp(Reason::TooLate { .. }) => 1,
        Failure::GaveUp(Reason::TooCostly { .. }) => 2,
        Failure::Forced(_) => 3,
        Failure::Missed(Missed::MaxDowntime { .. }) => 4,
        Failure::Missed(Missed::Deadline { .. }) => 5,
        Failure::Missed(Missed::MaxSlowdown { .. }) => 6,
    };
    let size = |failure: &Failure| match failure {
        Failure::GaveUp(Reason::NotConverging { .. }) | Failure::Forced(_) => 0.0,
        Failure::GaveUp(Reason::TooLate { ends_at }) => ends_at.as_secs_f64(),
        Failure::GaveUp(Reason::TooCostly { slowdown }) => slowdown.0,
        Failure::Missed(
            Missed::MaxDowntime { measured_ms, .. } | Missed::Deadline { measured_ms, .. },
        ) => measured_ms.0,
        Failure::Missed(Missed::MaxSlowdown { measured, .. }) => measured.0,
    };
    let failures: Vec<Failure> = ends.iter().filter_map(|end| end.failure).collect();
    let most = (0..7).max_by_key(|sort| failures.iter().filter(|f| kind(f) == *sort).count())?;
    let mut those: Vec<_> = failures.iter().filter(|f| kind(f) == most).collect();
    those.sort_by(|a, b| size(a).total_cmp(&size(b)));
    those.get(those.len() / 2).map(|failure| match failure {
        Failure::GaveUp(reason) => reason.to_string(),
        Failure::Forced(deadline) => format!(
            "the guest writes too fast to converge within {}",
            Millis::from(*deadline)
        ),
        Failure::Missed(missed) => missed.to_string(),
    })
}
