//! An outlook from what was observed before the move, corrected by the move.

use std::time::Duration;

use vmferry_core::{
    ByteRate, Bytes, CurvePoint, DirtyCurve, LinkSpeed, Millis, Observation, Promise, Ratio,
};
use vmferry_model::analysis::curve_fit::extended;
use vmferry_model::{Assumptions, ModelError, NINETEEN_IN_TWENTY};
use vmferry_precopy::HostCosts;
use vmferry_precopy::dirt::{AggregateDirt, CurveAmount, PageCount};
use vmferry_precopy::qemu::{AmountUnderway, Course, Rules, replay_amount_from};
use vmferry_precopy::tuning::Settings;

use super::answer::Answer;
use super::look::Look;
use super::outlook::{Ahead, Outlook};
use super::pass_clock::PassClock;
use super::promise::Promises;

/// Points in windows at which the curve is taken beyond its window.
const BEYOND: [f64; 5] = [1.5, 2.0, 3.0, 5.0, 10.0];
/// Dirt that is planned for over dirt that is expected. A forecast is a median,
/// and near the edge of convergence half of the moves would miss it; the
/// model's own spread is 3 % from move to move, passes near the edge have found
/// up to 9 % more.
const MARGIN: f64 = 1.06;
/// As [`NINETEEN_IN_TWENTY`], of a range of equal likelihood, in halves of it from its middle.
const NINETEEN_IN_TWENTY_OF_RANGE: f64 = 0.9;
/// How old what is told to remain may be.
const STALE: Duration = Duration::from_millis(250);
/// Times the first pass that a move may take where no deadline was stated.
const FIRST_PASSES: u32 = 4;
/// Rounds shorter than this say little of the link.
const TELLING_ROUND: Duration = Duration::from_millis(500);

/// Replays of QEMU's loop, in closed form, over the guest's dirty curve: U(t)
/// says what a pass dirties, however long it is and whatever the cap, where the
/// last round's rate saturates at the working set. How the dirt of this move
/// compares with the observation, and how it answers to the cap, is learned
/// from every pass ([`Answer`]).
///
/// What a curve cannot know it does not: which pages are written again, and
/// phases of the guest longer than a pass.
#[derive(Clone, Debug)]
pub struct ObservedOutlook {
    curve: CurveAmount,
    rules: Rules,
    costs: HostCosts,
    link: ByteRate,
    beyond_plan: BeyondPlan,
    horizon: Duration,
    /// A deadline that leaves this guest its time over this link.
    unhurried: Duration,
    answer: Answer,
    clock: PassClock,
    /// What was told to remain, and when, in the pass before this one, last.
    left_over: Option<(Duration, Bytes)>,
    told: Option<(u64, Duration, Bytes)>,
}

impl ObservedOutlook {
    /// An outlook for a guest observed over `link`. `assumptions` tell QEMU's
    /// settings and the hosts' costs; nothing later than `horizon` after the
    /// command is foreseen.
    ///
    /// # Errors
    /// An observation without a dirty curve or the memory's size.
    pub fn new(
        observation: &Observation,
        link: &LinkSpeed,
        assumptions: &Assumptions,
        horizon: Duration,
    ) -> Result<Self, ModelError> {
        let mix = &observation.page_mix;
        let guest = || observation.guest.label();
        if mix.total_pages.0 == 0 {
            return Err(ModelError::NoMemory { guest: guest() });
        }
        if observation.dirty_curve.points.is_empty() {
            return Err(ModelError::TooLittleData { guest: guest() });
        }
        let rate = link.stream_rate();
        if !(rate.0.is_finite() && rate.0 >= 1.0) {
            return Err(ModelError::BadLink {
                wire_rate_bytes_per_s: link.wire_rate.0,
                efficiency: link.efficiency.0,
            });
        }
        let middle = |(least, most): (Duration, Duration)| (least + most) / 2;
        Ok(Self {
            curve: CurveAmount::new(
                beyond_the_window(observation),
                mix.total_pages,
                mix.zero.unwrap_or_default(),
            ),
            rules: assumptions.rules,
            costs: HostCosts {
                device_save: middle(assumptions.device_save),
                destination_start: middle(assumptions.destination_start),
                socket_buffer: assumptions.socket_fill.at(rate),
                ..assumptions.costs
            },
            link: rate * Ratio(assumptions.link_rate.median),
            beyond_plan: BeyondPlan::of(assumptions, rate),
            horizon,
            unhurried: first_passes(observation, link),
            answer: Answer::new(assumptions.dirt.median),
            clock: PassClock::default(),
            left_over: None,
            told: None,
        })
    }

    /// What was learned of the guest's dirt so far.
    pub fn answer(&self) -> &Answer {
        &self.answer
    }

    /// A promise as controllers keep it: what was not stated stays as the
    /// hypervisor has it.
    pub fn promises(&self, promise: &Promise) -> Promises {
        let own = Promises::over_own_limit(promise, self.rules.downtime_limit, self.outside());
        if promise.deadline_ms.is_some() {
            return own;
        }
        Promises {
            deadline: own.deadline.max(self.unhurried),
            ..own
        }
    }

    /// The pace of dirt that is planned for under a share of the CPU.
    fn pace(&self, share: Ratio) -> f64 {
        self.answer.pace(share) * MARGIN
    }

    /// What remains. What is told may be older than the pass: the little that
    /// the pass before left, without what was found since.
    fn remaining(&self, look: &Look) -> Bytes {
        let (Some(round), Some((at, left))) = (look.last_round, self.left_over) else {
            return look.remaining;
        };
        if look.in_pass >= STALE {
            return look.remaining;
        }
        let held = look.in_force.rate;
        let rate = held.map_or(self.link, |held| ByteRate(held.0.min(self.link.0)));
        let left = left.saturating_sub(rate * (look.now - look.in_pass).saturating_sub(at));
        let reckoned = (left + round.dirtied).saturating_sub(rate * look.in_pass);
        look.remaining.max(reckoned)
    }

    fn dirt(&self) -> Sized<'_> {
        Sized {
            curve: &self.curve,
            size: self.answer.size(),
        }
    }
}

/// So many times what the first pass takes at most.
fn first_passes(observation: &Observation, link: &LinkSpeed) -> Duration {
    let all = observation.page_mix.total_pages.bytes();
    (all / link.stream_rate()) * FIRST_PASSES
}

/// The least that must be foreseen: a deadline that nobody stated leaves a large
/// guest on a slow link its time.
pub(super) fn unhurried(
    promise: &Promise,
    observation: &Observation,
    link: &LinkSpeed,
) -> Duration {
    match promise.deadline_ms {
        Some(_) => Duration::ZERO,
        None => first_passes(observation, link),
    }
}

/// The observed curve, and where a fit goes on beyond its window.
fn beyond_the_window(observation: &Observation) -> DirtyCurve {
    let mut curve = observation.dirty_curve.clone();
    let total = observation.page_mix.total_pages.bytes();
    let last = curve.points.last().copied();
    if let (Some(last), Some(fitted)) = (last, extended(&curve, total)) {
        let window = last.window_ms.0;
        let at = |ms: f64| fitted.dirtied_in(Millis(ms).duration()).0 as f64;
        let scale = last.dirtied_bytes.0 as f64 / at(window).max(1.0);
        curve.points.extend(BEYOND.map(|times| CurvePoint {
            window_ms: Millis(window * times),
            dirtied_bytes: Bytes((at(window * times) * scale) as u64).min(total),
            standard_error_bytes: last.standard_error_bytes,
        }));
    }
    curve
}

impl Outlook for ObservedOutlook {
    fn ahead(&self, look: &Look, course: &Course, downtime_limit: Duration) -> Ahead {
        let full = self.pace(Ratio(1.0));
        let state = AmountUnderway {
            elapsed: look.now,
            remaining: self.remaining(look),
            never_sent: look.pass <= 1,
            guest_since_sync: self.clock.since_sync().mul_f64(full),
            guest_last_pass: self.clock.last_pass().map(|span| span.mul_f64(full)),
        };
        let paced = |settings: Settings| Settings {
            rate: settings.rate.or(self.rules.max_bandwidth),
            speed: Ratio(self.pace(settings.speed)),
        };
        let rules = Rules {
            downtime_limit,
            ..self.rules
        };
        let replay = replay_amount_from(
            &self.dirt(),
            &rules,
            &self.costs,
            self.link,
            &state,
            &Course {
                first: paced(course.first),
                passes: course.passes,
                after: paced(course.after),
            },
            self.horizon,
        );
        let stopped = replay.switchover.map_or(replay.total_time, |s| s.start);
        let turn = replay
            .passes
            .get(course.passes.max(1) as usize)
            .map_or(stopped, |pass| pass.start);
        let lost_at = |share: Ratio| (1.0 - share.0).clamp(0.0, 1.0);
        let here = turn.saturating_sub(look.now);
        let later = stopped.saturating_sub(turn);
        let downtime = replay.switchover.map(|s| s.downtime);
        Ahead {
            ends_at: downtime.map(|_| replay.total_time),
            downtime,
            lost: here.mul_f64(lost_at(course.first.speed))
                + later.mul_f64(lost_at(course.after.speed))
                + downtime.unwrap_or_default(),
        }
    }

    fn learn(&mut self, look: &Look) {
        if let Some((pass, at, remaining)) = self.told
            && pass < look.pass
        {
            self.left_over = (pass + 1 == look.pass).then_some((at, remaining));
        }
        self.told = Some((look.pass, look.now, look.remaining));
        let elasticity = self.answer.elasticity();
        let over = self.clock.advance(look, elasticity);
        let (Some(pass), Some(round)) = (over, look.last_round) else {
            return;
        };
        let held = round.settings.rate;
        if let Some(rate) = round.send_rate()
            && round.length >= TELLING_ROUND
            && held.is_none_or(|held| rate.0 < 0.95 * held.0)
        {
            self.link = ByteRate((self.link.0 * rate.0).sqrt());
        }
        // What a pass leaves behind lies in the same memory: a look that finds it written again
        // does not count it.
        let left =
            round.send_rate().unwrap_or(self.link).0 * self.rules.downtime_limit.as_secs_f64();
        self.answer.learn(&self.curve, &pass, round.dirtied, left);
    }

    fn overdue(&mut self) {
        self.answer.overdue();
    }

    fn link_rate(&self) -> ByteRate {
        self.link
    }

    fn outside(&self) -> Duration {
        self.beyond_plan.over(self.link)
    }
}

/// What a pause takes beyond what the hypervisor plans for, its parts independent of each other.
#[derive(Clone, Copy, Debug)]
struct BeyondPlan {
    /// The hosts' part, in the middle of what is assumed.
    hosts: Duration,
    /// How much longer than that one in twenty takes, seconds.
    hosts_more_s: f64,
    /// What has yet to cross the link: the devices' state, and what the sockets hold, in the middle.
    bytes: Bytes,
    /// How much more than that the sockets hold one time in twenty.
    bytes_more: Bytes,
}

impl BeyondPlan {
    fn of(assumptions: &Assumptions, rate: ByteRate) -> Self {
        let ranges = [assumptions.device_save, assumptions.destination_start];
        let middles = ranges.map(|(least, most)| (least + most) / 2);
        let [save, start] = ranges
            .map(|(least, most)| NINETEEN_IN_TWENTY_OF_RANGE * (most - least).as_secs_f64() / 2.0);
        let sockets = assumptions.socket_fill.at(rate);
        let more = (NINETEEN_IN_TWENTY * assumptions.socket_fill.log_sd).exp() - 1.0;
        Self {
            hosts: assumptions.costs.stop + middles.iter().sum::<Duration>(),
            hosts_more_s: save.hypot(start),
            bytes: assumptions.costs.device_state + sockets,
            bytes_more: sockets * Ratio(more),
        }
    }

    /// What about nineteen in twenty pauses stay below (ranges add up like normal spreads here, two
    /// alike to 18.7 of 20). The greatest of each part would come together hardly ever: added up
    /// they leave nothing of a short pause that can well be kept.
    fn over(&self, link: ByteRate) -> Duration {
        let link_more_s = (self.bytes_more / link).as_secs_f64();
        let more = Duration::from_secs_f64(self.hosts_more_s.hypot(link_more_s));
        self.hosts + self.bytes / link + more
    }
}

/// A curve whose sets turned out larger or smaller than observed.
struct Sized<'a> {
    curve: &'a CurveAmount,
    size: f64,
}

impl AggregateDirt for Sized<'_> {
    fn total(&self) -> PageCount {
        self.curve.total()
    }

    fn dirtied(&self, since: f64, until: f64) -> PageCount {
        let found = self.curve.dirtied(since, until).pages() * self.size;
        PageCount {
            normal: found.min(self.curve.total().pages()),
            zero: 0.0,
        }
    }

    fn is_stationary(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rare_parts_of_a_pause_do_not_come_together() {
        let ms = Duration::from_millis;
        let mut assumptions = Assumptions::tcg();
        assumptions.device_save = (ms(0), ms(60));
        assumptions.destination_start = (ms(0), ms(80));
        let link = ByteRate(47.6e6);
        let beyond = BeyondPlan::of(&assumptions, link);
        let middle = beyond.hosts + beyond.bytes / link;
        let most = middle + ms(30 + 40) + beyond.bytes_more / link;
        let over = beyond.over(link);
        assert!(middle + ms(40) < over && over + ms(20) < most, "{over:?}");
        // A slower link carries what is left more slowly.
        assert!(beyond.over(ByteRate(link.0 / 2.0)) > over + ms(30));
    }
}
