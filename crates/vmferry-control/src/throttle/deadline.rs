//! A move that ends when it should, with as little bandwidth and slowdown as
//! that takes.

use std::time::Duration;

use vmferry_core::{ByteRate, Ratio};
use vmferry_precopy::qemu::Course;
use vmferry_precopy::tuning::Settings;

use super::governor::{Controller, Wish};
use super::look::Look;
use super::outlook::Outlook;
use super::promise::{Policy, Promises};
use super::stuck::{Shortfall, Stuck};

/// Shares of the CPU that are tried, the mildest first: of equals it is taken.
const SHARES: [f64; 14] = [
    1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.15, 0.1, 0.05, 0.02, 0.01,
];
/// A plan is made anew this often,
const REPLAN: Duration = Duration::from_secs(1);
/// and when a pass begins, but not before this.
const REPLAN_AT_PASS: Duration = Duration::from_millis(200);
/// Shares of the deadline that are aimed at in turn: a little before it; ever
/// nearer, where what was not foreseen has used that up; and at worst so little
/// after it that giving up a move that is nearly there would help nobody.
const AIMS: [f64; 4] = [0.975, 0.985, 0.995, 1.05];
/// From this share of the time on nothing is saved by sending slower: a lower
/// rate lowers QEMU's threshold too, and passes go back and forth around it.
const ENDGAME: f64 = 0.98;
/// Until a pause would end after this share of the deadline the guest is not
/// stopped, where that can wait: a pass that happens to find little ends a move
/// early else.
const OPENS: f64 = 0.965;
/// Share of the downtime limit that is set until then.
const CLOSED: f64 = 0.01;
/// Share of the longest pause that a pass sent to its end is taken to cost the
/// fastest course.
const LEISURE: f64 = 0.3;
/// Share of the time that the fastest course takes which is kept in reserve: at
/// the least rate that converges a little more dirt is for ever.
const RESERVE: f64 = 0.15;
/// The same under a cap, which converges whatever a little more dirt.
const CAPPED_RESERVE: f64 = 0.08;
/// Steps of a search for the least rate.
const STEPS: usize = 10;
/// Least rate that is asked for where none is promised, as a share of the
/// link's.
const LEAST_RATE: f64 = 0.01;

/// Finishes by the deadline with the least bandwidth: no cap, or the one that
/// costs least, where not even the greatest rate reaches it; then the least rate
/// that still does from here to the end, then the least for the pass now
/// running. So a guest that
/// needs the whole link to converge is sent slowly first and fast in the end.
#[derive(Clone, Debug)]
pub struct Deadline<O> {
    outlook: O,
    promises: Promises,
    policy: Policy,
    /// The end that the plan foresaw when it was made.
    ends_at: Option<Duration>,
    plan: Option<Plan>,
    planned_at: Duration,
    planned_in: u64,
    stuck: Stuck,
}

/// What is to hold until the end.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Plan {
    course: Course,
    /// Whether there is time for the pass now running to be sent to its end, so
    /// that the guest need not be stopped before.
    leisure: bool,
}

impl<O: Outlook> Deadline<O> {
    /// A controller for one move.
    pub fn new(outlook: O, promises: Promises, policy: Policy) -> Self {
        Self {
            outlook,
            promises,
            policy,
            plan: None,
            ends_at: None,
            planned_at: Duration::ZERO,
            planned_in: 0,
            stuck: Stuck::default(),
        }
    }

    fn most_rate(&self) -> ByteRate {
        let link = self.outlook.link_rate();
        let promised = self.promises.max_bandwidth.unwrap_or(link);
        ByteRate(promised.0.min(link.0))
    }

    fn least_rate(&self) -> ByteRate {
        let least = Ratio(LEAST_RATE);
        let promised = self.promises.min_bandwidth;
        ByteRate(promised.map_or((self.most_rate() * least).0, |rate| rate.0))
    }

    /// What a course sets now: as it says, and the cap of the next pass a little
    /// before that begins.
    fn wish(&self, plan: &Plan, look: &Look) -> Wish {
        let (here, after) = (plan.course.first, plan.course.after);
        let rate = here.rate.unwrap_or(self.most_rate());
        let limit = self.promises.downtime_limit(self.outlook.outside());
        let pause = self.outlook.outside() + look.remaining / self.most_rate();
        let opens_at = self.promises.deadline.mul_f64(OPENS);
        let closed = plan.leisure && look.now + pause < opens_at;
        let limit = if closed { limit.mul_f64(CLOSED) } else { limit };
        let ending = look.pass_is_ending(rate, limit);
        Wish {
            share: if ending && after.speed < here.speed {
                after.speed
            } else {
                here.speed
            },
            max_bandwidth: here.rate,
            downtime_limit: closed.then_some(limit),
            ..Wish::default()
        }
    }

    fn replan(&mut self, look: &Look, lost: Duration) -> Wish {
        let mut search = Search {
            deadline: self,
            look,
            lost,
            aim: Duration::ZERO,
            hurried: false,
            shortfall: Shortfall::default(),
        };
        let found = AIMS.into_iter().find_map(|aim| {
            search.aim = self.promises.deadline.mul_f64(aim);
            search.hurried = aim > AIMS[2];
            let course = search.course()?;
            let leisure = search.leisure(&course);
            Some(Plan { course, leisure })
        });
        let shortfall = search.shortfall;
        self.plan = found;
        self.ends_at = found.and_then(|plan| {
            let limit = self.promises.downtime_limit(self.outlook.outside());
            self.outlook.ahead(look, &plan.course, limit).ends_at
        });
        self.planned_at = look.now;
        self.planned_in = look.pass;
        match found {
            Some(plan) => {
                self.stuck.resolved();
                self.wish(&plan, look)
            }
            None => {
                let link = self.outlook.link_rate();
                self.stuck
                    .wish(look, &self.promises, &self.policy, link, &shortfall)
            }
        }
    }
}

impl<O: Outlook> Controller for Deadline<O> {
    fn cannot_cap(&mut self) {
        self.policy.least_share = Ratio(1.0);
        self.plan = None;
    }

    fn foreseen_end(&self) -> Option<Duration> {
        self.plan.and(self.ends_at)
    }

    fn decide(&mut self, look: &Look, lost: Duration) -> Wish {
        self.outlook.learn(look);
        let since = look.now.saturating_sub(self.planned_at);
        let passed = look.pass != self.planned_in;
        if let Some(plan) = self.plan.as_mut().filter(|_| passed) {
            plan.course.first = plan.course.after;
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

/// Looks for the cheapest course that ends in time.
struct Search<'a, O> {
    deadline: &'a Deadline<O>,
    look: &'a Look,
    lost: Duration,
    /// By when the move is to end.
    aim: Duration,
    /// Whether the first aim is out of reach: the end comes first then.
    hurried: bool,
    shortfall: Shortfall,
}

impl<O: Outlook> Search<'_, O> {
    fn course(&mut self) -> Option<Course> {
        let (least, most) = (self.deadline.least_rate(), self.deadline.most_rate());
        let (fastest, this_pass, after) = self.shares(most)?;
        let course = |here: f64, later: f64| Course {
            passes: 1,
            first: Settings {
                rate: Some(ByteRate(here)),
                speed: this_pass,
            },
            after: Settings {
                rate: Some(ByteRate(later)),
                speed: after,
            },
        };
        if self.hurried || self.look.now >= self.aim.mul_f64(ENDGAME) {
            return Some(course(most.0, most.0));
        }
        let to_go = fastest.saturating_sub(self.look.now);
        let reserve = if after.0 < 1.0 {
            CAPPED_RESERVE
        } else {
            RESERVE
        };
        let slack = self.aim.saturating_sub(fastest);
        self.aim = self.aim.saturating_sub(to_go.mul_f64(reserve).min(slack));
        // Under a cap the guest's work is saved first: the link does what it can.
        let later = if after.0 < 1.0 {
            most.0
        } else {
            self.least(least.0, most.0, |rate| course(rate, rate))
        };
        let here = if this_pass.0 < 1.0 {
            later
        } else {
            self.least(least.0, later, |rate| course(rate, later))
        };
        Some(course(here, later))
    }

    /// Whether a course can still be left for the fastest once this pass was
    /// sent to its end, with nothing left for the pause.
    fn leisure(&mut self, course: &Course) -> bool {
        if self.hurried || course.after.speed.0 < 1.0 {
            return false;
        }
        let most = self.deadline.most_rate();
        let limit = self.deadline.promises.max_downtime;
        let look = Look {
            remaining: self.look.remaining + most * limit.mul_f64(LEISURE),
            ..*self.look
        };
        let settings = Settings {
            rate: Some(most),
            speed: Ratio(1.0),
        };
        let fastest = Course {
            first: settings,
            passes: 1,
            after: settings,
        };
        self.in_time_from(&look, &fastest).is_some()
    }

    /// The shares that cost least of those with which the move ends in time at
    /// the greatest rate: in the pass now running, and afterwards; and when that
    /// is. A deep cap may
    /// be over so much sooner that it costs less than a mild one, and where
    /// a mild one just converges nobody knows when.
    fn shares(&mut self, most: ByteRate) -> Option<(Duration, Ratio, Ratio)> {
        let settings = |speed| Settings {
            rate: Some(most),
            speed,
        };
        let floor = self.deadline.policy.least_share.0;
        let mut best: Option<(Duration, (Duration, Ratio, Ratio))> = None;
        for share in SHARES.into_iter().filter(|share| *share >= floor) {
            for here in [1.0, share] {
                let course = Course {
                    first: settings(Ratio(here)),
                    passes: 1,
                    after: settings(Ratio(share)),
                };
                let Some((end, lost)) = self.in_time(&course) else {
                    continue;
                };
                let cost = if self.hurried { end } else { lost };
                if best.is_none_or(|(least, _)| cost < least) {
                    best = Some((cost, (end, Ratio(here), Ratio(share))));
                }
            }
            if share >= 1.0 && best.is_some() && !self.hurried {
                // Nothing costs less than no cap, and it saves most bandwidth.
                break;
            }
        }
        best.map(|(_, found)| found)
    }

    /// The least rate of a course that ends in time, `most` being known to.
    fn least(&mut self, least: f64, most: f64, course: impl Fn(f64) -> Course) -> f64 {
        if least >= most || self.in_time(&course(least)).is_some() {
            return least.min(most);
        }
        let (mut fails, mut works) = (least, most);
        for _ in 0..STEPS {
            let middle = (fails * works).sqrt();
            if self.in_time(&course(middle)).is_some() {
                works = middle;
            } else {
                fails = middle;
            }
        }
        works
    }

    /// When a course ends and what it costs of the guest's work; `None` where it
    /// does not end in time or breaks another promise.
    fn in_time(&mut self, course: &Course) -> Option<(Duration, Duration)> {
        self.in_time_from(self.look, course)
    }

    fn in_time_from(&mut self, look: &Look, course: &Course) -> Option<(Duration, Duration)> {
        let promises = &self.deadline.promises;
        let outlook = &self.deadline.outlook;
        let limit = promises.downtime_limit(outlook.outside());
        let ahead = outlook.ahead(look, course, limit);
        let kept = self.shortfall.keeps(&ahead, promises, self.aim, self.lost);
        ahead.ends_at.filter(|_| kept).map(|end| (end, ahead.lost))
    }
}

#[cfg(test)]
mod tests;
