//! Our controller: the least cap that makes the forecast meet the promise.

use std::time::Duration;

use vmferry_core::{ByteRate, Ratio};
use vmferry_precopy::qemu::Course;
use vmferry_precopy::tuning::Settings;

use super::governor::{Controller, Wish};
use super::look::Look;
use super::outlook::Outlook;
use super::promise::{Policy, Promises};
use super::stuck::{Shortfall, Stuck};

/// Shares of the CPU that are tried, beside all of it.
const SHARES: [f64; 16] = [
    0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.25, 0.2, 0.15, 0.1, 0.07, 0.05, 0.03, 0.02, 0.01,
];
/// Downtime limits that are tried, over the greatest; caps are sought under that
/// one, which they need least.
const LIMITS: [f64; 8] = [1.0, 0.75, 0.55, 0.4, 0.28, 0.2, 0.12, 0.07];
/// Passes at full speed before a cap that are tried: with every one less
/// remains, until what a pass dirties is what it sends.
const DELAYS: [u32; 6] = [0, 1, 2, 3, 5, 8];
/// Steps of the search between two shares.
const REFINEMENTS: usize = 4;
/// A plan may cost so much more of the guest's work than the one that costs
/// least, whatever time it saves: a share of it, and seconds.
const MORE_WORK: f64 = 0.1;
const LITTLE_WORK: f64 = 0.05;
/// A throttle that costs more seconds of work than this
const CHEAP_WORK: f64 = 3.0;
/// is not begun at less than this times the least share.
const RESERVED_SHARE: f64 = 1.1;
/// Shares above this are full speed.
const FULL_SPEED: f64 = 0.99;
/// A plan is looked over this often,
const REPLAN: Duration = Duration::from_millis(500);
/// and when a pass begins, but not before this.
const REPLAN_AT_PASS: Duration = Duration::from_millis(200);
/// A plan is left for one that costs less than this share of it.
const WORTH_CHANGING: f64 = 0.97;
/// Share of the deadline by which a plan ends, so that what is not foreseen
/// does not miss it.
const BY: f64 = 0.98;
/// A plan that is this much late, as a share of the time it foresaw, was wrong.
const LATE: f64 = 0.1;
const LATE_AT_LEAST: Duration = Duration::from_millis(500);
/// Work lost over what was foreseen that is too much, and so much more.
const DEAR: f64 = 1.5;
const DEAR_AT_LEAST: Duration = Duration::from_secs(1);
/// After so many ends that did not come under a cap no other is tried: the guest
/// is not what was observed, and would be starved for nothing.
const TRIES: u32 = 2;

/// Plans on the dirty curve instead of the last round's rate.
///
/// A plan says for how many passes the guest keeps its speed, what share of its
/// CPU it gets afterwards, and which downtime limit is set. Of all that keep the
/// promises it takes the one that costs least: work lost to cap and pause, plus
/// the time still to go at the policy's weight. From this follow:
/// - a cap is as mild as it can be, and as short: one that bites deeper may be
///   over sooner and lose less;
/// - the cap waits until just before the next pass where this one is spoilt already (a set
///   written over and over is dirty whether the guest runs slower for the rest
///   of the pass or not);
/// - it is lifted when it no longer pays;
/// - the downtime limit begins low and is raised, up to the promise, when what
///   remains is near its least and waiting longer costs more than it saves.
///
/// Where nothing keeps the promises the guest runs at full speed and the best
/// allowed alternative is taken: post-copy, or giving up with the reason.
#[derive(Clone, Debug)]
pub struct Curve<O> {
    outlook: O,
    promises: Promises,
    policy: Policy,
    plan: Option<Plan>,
    /// When the end was foreseen first, and for when. Plans made anew do not
    /// move it: else an end that is always a little ahead would never be late.
    foreseen: Option<Foreseen>,
    planned_at: Duration,
    planned_in: u64,
    /// Ends that did not come while a cap was in force.
    failed_caps: u32,
    /// Ends that did not come at all: each halves the limits that are tried, as
    /// a move that nearly ends under a low one may do so for ever.
    late_ends: u32,
    stuck: Stuck,
}

/// What is to hold until the end.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Plan {
    /// Passes at full speed first, the one now running included.
    delay: u32,
    /// Share of the CPU afterwards.
    share: Ratio,
    limit: Duration,
    ends_at: Duration,
    /// Seconds of the guest's work that it loses from here on.
    lost: f64,
    /// Seconds of the guest's work.
    cost: f64,
}

/// What was foreseen first.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Foreseen {
    made_at: Duration,
    ends_at: Duration,
    /// The guest's work lost by then, since the command.
    lost: Duration,
}

impl Plan {
    /// Whether a guest at full speed may be throttled for it. Long throttling at
    /// the least share would have no way left if it wrote a little more than
    /// thought.
    fn may_begin(&self, policy: &Policy) -> bool {
        self.share.0 >= policy.least_share.0 * RESERVED_SHARE || self.lost <= CHEAP_WORK
    }
}

impl<O: Outlook> Curve<O> {
    /// A controller for one move.
    pub fn new(outlook: O, promises: Promises, policy: Policy) -> Self {
        Self {
            outlook,
            promises,
            policy,
            plan: None,
            foreseen: None,
            planned_at: Duration::ZERO,
            planned_in: 0,
            failed_caps: 0,
            late_ends: 0,
            stuck: Stuck::default(),
        }
    }

    /// What it plans with.
    pub fn outlook(&self) -> &O {
        &self.outlook
    }

    /// What a plan sets now: as it says, and the cap of the next pass a little
    /// before that begins.
    fn wish(&self, plan: &Plan, look: &Look) -> Wish {
        let link = self.outlook.link_rate().0;
        let rate = self
            .promises
            .max_bandwidth
            .map_or(link, |most| most.0.min(link));
        let ending = look.pass_is_ending(ByteRate(rate), plan.limit);
        Wish {
            share: if plan.delay == 0 || (plan.delay == 1 && ending) {
                plan.share
            } else {
                Ratio(1.0)
            },
            downtime_limit: Some(plan.limit),
            ..Wish::default()
        }
    }

    /// Whether the end that was foreseen should have come, or the throttling for
    /// it has cost far more than thought.
    fn is_late(&self, look: &Look, lost: Duration) -> bool {
        let Some(foreseen) = self.foreseen else {
            return false;
        };
        let grace = foreseen.ends_at.saturating_sub(foreseen.made_at);
        let latest = foreseen.ends_at + grace.mul_f64(LATE).max(LATE_AT_LEAST);
        look.now > latest || lost > foreseen.lost.mul_f64(DEAR) + DEAR_AT_LEAST
    }

    fn replan(&mut self, look: &Look, lost: Duration) -> Wish {
        let mut search = Search {
            curve: self,
            look,
            lost,
            shortfall: Shortfall::default(),
            best: None,
            capped: look.in_force.speed.0 < FULL_SPEED,
            found: Vec::new(),
            least: f64::INFINITY,
        };
        // The plan in force first: it stays unless another is clearly better.
        let kept = self
            .plan
            .and_then(|plan| search.plan(plan.delay, plan.share, plan.limit));
        search.best = None;
        search.all();
        let kept = kept.filter(|plan| search.is_affordable(plan));
        let (best, shortfall) = (search.affordable(), search.shortfall);
        self.plan = match (kept, best) {
            (Some(kept), Some(best)) if best.cost >= WORTH_CHANGING * kept.cost => Some(kept),
            (_, best) => best,
        };
        self.planned_at = look.now;
        self.planned_in = look.pass;
        match self.plan {
            Some(plan) => {
                self.stuck.resolved();
                self.foreseen.get_or_insert(Foreseen {
                    made_at: look.now,
                    ends_at: plan.ends_at,
                    lost: lost + Duration::from_secs_f64(plan.lost),
                });
                self.wish(&plan, look)
            }
            None => {
                self.foreseen = None;
                let link = self.outlook.link_rate();
                self.stuck
                    .wish(look, &self.promises, &self.policy, link, &shortfall)
            }
        }
    }
}

impl<O: Outlook> Controller for Curve<O> {
    fn foreseen_end(&self) -> Option<Duration> {
        self.plan.map(|plan| plan.ends_at)
    }

    fn cannot_cap(&mut self) {
        self.policy.least_share = Ratio(1.0);
        self.plan = None;
        self.foreseen = None;
    }

    fn decide(&mut self, look: &Look, lost: Duration) -> Wish {
        self.outlook.learn(look);
        let since = look.now.saturating_sub(self.planned_at);
        let passed = look.pass != self.planned_in;
        if let Some(plan) = &mut self.plan {
            let passes = look.pass.saturating_sub(self.planned_in);
            plan.delay = plan
                .delay
                .saturating_sub(u32::try_from(passes).unwrap_or(u32::MAX));
            self.planned_in = look.pass;
        }
        if self.is_late(look, lost) {
            self.outlook.overdue();
            self.late_ends += 1;
            let capped = self
                .plan
                .is_some_and(|plan| plan.delay == 0 && plan.share.0 < 1.0);
            self.failed_caps += u32::from(capped);
            self.foreseen = None;
            self.plan = None;
        }
        let fresh = since < REPLAN_AT_PASS || (!passed && since < REPLAN);
        let again = match &self.plan {
            Some(plan) if fresh => Some(self.wish(plan, look)),
            None if fresh => {
                let link = self.outlook.link_rate();
                self.stuck
                    .wish_again(look, &self.promises, &self.policy, link)
            }
            _ => None,
        };
        again.unwrap_or_else(|| self.replan(look, lost))
    }
}

/// Goes through the courses there are.
struct Search<'a, O> {
    curve: &'a Curve<O>,
    look: &'a Look,
    lost: Duration,
    shortfall: Shortfall,
    best: Option<Plan>,
    /// Whether the guest is throttled already.
    capped: bool,
    /// All that keep the promises and may begin, and the least work that any of
    /// them costs.
    found: Vec<Plan>,
    least: f64,
}

impl<O: Outlook> Search<'_, O> {
    /// Whether a plan buys its time with little work.
    fn is_affordable(&self, plan: &Plan) -> bool {
        plan.lost <= self.least * (1.0 + MORE_WORK) + LITTLE_WORK
    }

    /// The best of those that do.
    fn affordable(&self) -> Option<Plan> {
        let affordable = |plan: &&Plan| self.is_affordable(plan);
        let plans = self.found.iter().filter(affordable);
        plans.min_by(|a, b| a.cost.total_cmp(&b.cost)).copied()
    }

    fn all(&mut self) {
        let most = self
            .curve
            .promises
            .downtime_limit(self.curve.outlook.outside());
        let limits = LIMITS.map(|share| most.mul_f64(share).max(Duration::from_millis(1)));
        let allowed = LIMITS.len().checked_shr(self.curve.late_ends).unwrap_or(0);
        let limits = &limits[..allowed.max(1)];
        for limit in limits {
            self.plan(0, Ratio(1.0), *limit);
        }
        if self.curve.failed_caps >= TRIES {
            return;
        }
        let least = self.curve.policy.least_share.0;
        for share in SHARES.into_iter().filter(|share| *share >= least) {
            // Waiting longer pays up to a point.
            let mut cost = f64::INFINITY;
            for delay in DELAYS {
                match self.plan(delay, Ratio(share), limits[0]) {
                    Some(plan) if plan.cost > cost => break,
                    Some(plan) => cost = plan.cost,
                    None => {}
                }
            }
        }
        self.refine(limits);
    }

    /// Tries other limits with the best cap, and milder caps.
    fn refine(&mut self, limits: &[Duration]) {
        let Some(best) = self.best.filter(|best| best.share.0 < 1.0) else {
            return;
        };
        for limit in limits.iter().skip(1) {
            self.plan(best.delay, best.share, *limit);
        }
        let best = self.best.unwrap_or(best);
        let milder = SHARES.into_iter().rev().find(|share| *share > best.share.0);
        let (mut low, mut high) = (best.share.0, milder.unwrap_or(1.0));
        for _ in 0..REFINEMENTS {
            let middle = Ratio((low + high) / 2.0);
            let before = self.best.map_or(f64::INFINITY, |best| best.cost);
            match self.plan(best.delay, middle, best.limit) {
                Some(plan) if plan.cost <= before => low = middle.0,
                _ => high = middle.0,
            }
        }
    }

    /// What a course costs; `None` where it breaks a promise.
    fn plan(&mut self, delay: u32, share: Ratio, limit: Duration) -> Option<Plan> {
        let (promises, policy) = (&self.curve.promises, &self.curve.policy);
        let settings = |speed| Settings {
            rate: promises.max_bandwidth,
            speed,
        };
        let course = Course {
            first: settings(if delay == 0 { share } else { Ratio(1.0) }),
            passes: delay.max(1),
            after: settings(share),
        };
        let ahead = self.curve.outlook.ahead(self.look, &course, limit);
        let deadline = promises.deadline.mul_f64(BY);
        if !self.shortfall.keeps(&ahead, promises, deadline, self.lost) {
            return None;
        }
        let ends_at = ahead.ends_at?;
        let to_go = ends_at.saturating_sub(self.look.now).as_secs_f64();
        let plan = Plan {
            delay,
            share,
            limit,
            ends_at,
            lost: ahead.lost.as_secs_f64(),
            cost: ahead.lost.as_secs_f64() + policy.time_weight.0 * to_go,
        };
        if self.capped || plan.may_begin(policy) {
            self.least = self.least.min(plan.lost);
            self.found.push(plan);
        }
        if self.best.is_none_or(|best| plan.cost < best.cost) {
            self.best = Some(plan);
        }
        Some(plan)
    }
}

#[cfg(test)]
mod tests;
