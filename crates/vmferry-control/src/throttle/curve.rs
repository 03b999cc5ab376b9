//! Our controller: the least cap that makes the forecast meet the promise.

use std::time::Duration;

use vmferry_core::Ratio;
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
/// Downtime limits that are tried, over the greatest.
const LIMITS: [f64; 8] = [1.0, 0.75, 0.55, 0.4, 0.28, 0.2, 0.12, 0.07];
/// As many of them are tried with a cap as well.
const CAPPED_LIMITS: usize = 4;
/// Steps of the search between two shares.
const REFINEMENTS: usize = 4;
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

/// Plans on the dirty curve instead of the last round's rate.
///
/// A plan says what share of its CPU the guest gets in the pass now running,
/// what share afterwards, and which downtime limit is set. Of all that keep the
/// promises it takes the one that costs least: work lost to cap and pause, plus
/// the time still to go at the policy's weight. From this follow:
/// - a cap is as mild as it can be, and as short: one that bites deeper may be
///   over sooner and lose less;
/// - the cap waits for the next pass where this one is spoilt already (a set
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
    planned_at: Duration,
    planned_in: u64,
    stuck: Stuck,
}

/// What is to hold until the end.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Plan {
    this_pass: Ratio,
    after: Ratio,
    limit: Duration,
    made_at: Duration,
    ends_at: Duration,
    /// Seconds of the guest's work.
    cost: f64,
}

impl<O: Outlook> Curve<O> {
    /// A controller for one move.
    pub fn new(outlook: O, promises: Promises, policy: Policy) -> Self {
        Self {
            outlook,
            promises,
            policy,
            plan: None,
            planned_at: Duration::ZERO,
            planned_in: 0,
            stuck: Stuck::default(),
        }
    }

    /// The end the plan in force foresees, from the command; `None` where
    /// nothing keeps the promises.
    pub fn foreseen_end(&self) -> Option<Duration> {
        self.plan.map(|plan| plan.ends_at)
    }

    /// What it plans with.
    pub fn outlook(&self) -> &O {
        &self.outlook
    }

    fn replan(&mut self, look: &Look, lost: Duration) -> Wish {
        let mut search = Search {
            curve: self,
            look,
            lost,
            shortfall: Shortfall::default(),
            best: None,
        };
        // The plan in force first: it stays unless another is clearly better.
        let kept = self
            .plan
            .and_then(|plan| search.plan(plan.this_pass, plan.after, plan.limit));
        search.best = None;
        search.all();
        let (best, shortfall) = (search.best, search.shortfall);
        self.plan = match (kept, best) {
            (Some(kept), Some(best)) if best.cost >= WORTH_CHANGING * kept.cost => Some(kept),
            (_, best) => best,
        };
        self.planned_at = look.now;
        self.planned_in = look.pass;
        match self.plan {
            Some(plan) => {
                self.stuck.resolved();
                wish(&plan)
            }
            None => {
                let link = self.outlook.link_rate();
                self.stuck
                    .wish(look, &self.promises, &self.policy, link, &shortfall)
            }
        }
    }
}

fn wish(plan: &Plan) -> Wish {
    Wish {
        share: plan.this_pass,
        downtime_limit: Some(plan.limit),
        ..Wish::default()
    }
}

impl<O: Outlook> Controller for Curve<O> {
    fn decide(&mut self, look: &Look, lost: Duration) -> Wish {
        self.outlook.learn(look);
        let since = look.now.saturating_sub(self.planned_at);
        let passed = look.pass != self.planned_in;
        if let Some(plan) = &mut self.plan {
            if passed {
                plan.this_pass = plan.after;
            }
            let foreseen = plan.ends_at.saturating_sub(plan.made_at);
            let grace = foreseen.mul_f64(LATE).max(LATE_AT_LEAST);
            if look.now > plan.ends_at + grace {
                self.outlook.overdue();
                self.plan = None;
            }
        }
        match &self.plan {
            Some(plan) if since < REPLAN_AT_PASS || (!passed && since < REPLAN) => wish(plan),
            _ => self.replan(look, lost),
        }
    }
}

/// Goes through the courses there are.
struct Search<'a, O> {
    curve: &'a Curve<O>,
    look: &'a Look,
    lost: Duration,
    shortfall: Shortfall,
    best: Option<Plan>,
}

impl<O: Outlook> Search<'_, O> {
    fn all(&mut self) {
        let most = self
            .curve
            .promises
            .downtime_limit(self.curve.outlook.outside());
        let limits = LIMITS.map(|share| most.mul_f64(share).max(Duration::from_millis(1)));
        let full = Ratio(1.0);
        for limit in limits {
            self.plan(full, full, limit);
        }
        let least = self.curve.policy.least_share.0;
        for limit in limits.into_iter().take(CAPPED_LIMITS) {
            for share in SHARES.into_iter().filter(|share| *share >= least) {
                self.plan(full, Ratio(share), limit);
                self.plan(Ratio(share), Ratio(share), limit);
            }
        }
        self.refine();
    }

    /// Tries milder caps than the best.
    fn refine(&mut self) {
        let Some(best) = self.best.filter(|best| best.after.0 < 1.0) else {
            return;
        };
        let milder = SHARES.into_iter().rev().find(|share| *share > best.after.0);
        let (mut low, mut high) = (best.after.0, milder.unwrap_or(1.0));
        for _ in 0..REFINEMENTS {
            let middle = Ratio((low + high) / 2.0);
            let this_pass = if best.this_pass.0 < 1.0 {
                middle
            } else {
                best.this_pass
            };
            let before = self.best.map_or(f64::INFINITY, |best| best.cost);
            match self.plan(this_pass, middle, best.limit) {
                Some(plan) if plan.cost <= before => low = middle.0,
                _ => high = middle.0,
            }
        }
    }

    /// What a course costs; `None` where it breaks a promise.
    fn plan(&mut self, this_pass: Ratio, after: Ratio, limit: Duration) -> Option<Plan> {
        let (promises, policy) = (&self.curve.promises, &self.curve.policy);
        let settings = |speed| Settings {
            rate: promises.max_bandwidth,
            speed,
        };
        let course = Course {
            this_pass: settings(this_pass),
            after: settings(after),
        };
        let ahead = self.curve.outlook.ahead(self.look, &course, limit);
        let deadline = promises.deadline.mul_f64(BY);
        if !self.shortfall.keeps(&ahead, promises, deadline, self.lost) {
            return None;
        }
        let ends_at = ahead.ends_at?;
        let to_go = ends_at.saturating_sub(self.look.now).as_secs_f64();
        let plan = Plan {
            this_pass,
            after,
            limit,
            made_at: self.look.now,
            ends_at,
            cost: ahead.lost.as_secs_f64() + policy.time_weight.0 * to_go,
        };
        if self.best.is_none_or(|best| plan.cost < best.cost) {
            self.best = Some(plan);
        }
        Some(plan)
    }
}

#[cfg(test)]
mod tests;
