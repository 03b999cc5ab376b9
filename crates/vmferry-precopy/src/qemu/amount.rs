//! The loop in closed form: one step a pass, for sources that know amounts.

use std::time::Duration;

use vmferry_core::{ByteRate, PAGE_SIZE};

use super::run::{BURST, CLOCK_EVERY, WINDOW, slice};
use super::{AmountUnderway, Course, Rules};
use crate::dirt::{AggregateDirt, Found};
use crate::host_costs::HostCosts;
use crate::replay::{Pass, Replay, Switchover, bytes, duration};
use crate::stream::{PageCost, Stream};
use crate::tuning::Settings;

/// Pages after which the sockets are as full as they get: zero pages, 9 bytes
/// each, fill 4 MiB.
const FILLING_PAGES: f64 = 1e6;

pub(super) struct AmountRun<'a, D> {
    dirt: &'a D,
    rules: Rules,
    costs: &'a HostCosts,
    stream: Stream,
    now: f64,
    /// The guest's own clock, which a cap slows down.
    guest: f64,
    /// Guest seconds a second.
    speed: f64,
    /// What holds once so many passes are over.
    turn: Option<(u32, Settings)>,
    /// Pages yet to be sent, and the share of zero pages among them.
    pages: f64,
    zero: f64,
    all: f64,
    /// The guest's clock at the last look.
    last_sync: f64,
    /// What the last look found; `None` before the first.
    found: Option<Found>,
    passes: Vec<Pass>,
}

/// How QEMU sends at a mean cost per page.
struct Pace {
    /// Pages between two looks at what remains.
    step: f64,
    /// Seconds these take at least.
    step_seconds: f64,
    /// Bytes of memory below which it looks at the dirty log.
    threshold: f64,
}

impl<'a, D: AggregateDirt> AmountRun<'a, D> {
    pub(super) fn new(dirt: &'a D, rules: &'a Rules, costs: &'a HostCosts, rate: ByteRate) -> Self {
        let total = dirt.total();
        let all = total.pages();
        let setup = costs.setup.as_secs_f64();
        Self {
            dirt,
            rules: *rules,
            costs,
            stream: Stream::new(rate, costs),
            now: setup,
            guest: setup,
            speed: 1.0,
            turn: None,
            pages: all,
            zero: if all > 0.0 { total.zero / all } else { 0.0 },
            all,
            last_sync: setup,
            found: None,
            passes: Vec::new(),
        }
    }

    /// Takes up a move under way.
    pub(super) fn resume(&mut self, state: &AmountUnderway, course: &Course) {
        self.now = state.elapsed.as_secs_f64();
        self.pages = (state.remaining.0 as f64 / PAGE_SIZE.0 as f64).min(self.all);
        if !state.never_sent {
            self.zero = 0.0;
        }
        self.last_sync = 0.0;
        self.guest = state.guest_since_sync.as_secs_f64();
        self.found = state.guest_last_pass.map(|length| {
            let since = -length.as_secs_f64();
            self.dirt.found(since, 0.0)
        });
        // What the sockets hold was handed over before.
        self.stream.fill();
        self.settle(course.first);
        self.turn = Some((course.passes.max(1), course.after));
    }

    fn settle(&mut self, settings: Settings) {
        self.rules.max_bandwidth = settings.rate;
        self.speed = settings.speed.0.max(0.0);
    }

    /// Comes a pass nearer to the turn of the course, or turns.
    fn pass_over(&mut self) {
        match self.turn.take() {
            Some((1, after)) => self.settle(after),
            Some((passes, after)) => self.turn = Some((passes - 1, after)),
            None => {}
        }
    }

    fn advance(&mut self, seconds: f64) {
        self.now += seconds;
        self.guest += seconds * self.speed;
    }

    pub(super) fn until_done(mut self, deadline: Duration) -> Replay {
        let deadline = deadline.as_secs_f64();
        let mut switchover = None;
        self.begin_pass(self.pages);
        while self.now <= deadline {
            let before = self.pages;
            let threshold = self.pass(deadline);
            if self.now > deadline {
                break;
            }
            let found = self.look();
            self.begin_pass(found);
            let turns = self.turn.is_some();
            self.pass_over();
            if self.pages <= 0.0 || self.remaining() < threshold {
                switchover = Some(self.switch_over());
                break;
            }
            // The same at every instant: an equal pass repeats for ever.
            if self.dirt.is_stationary()
                && !turns
                && self.passes.len() > 2
                && (self.pages - before).abs() < 1e-6 * before
            {
                break;
            }
        }
        Replay {
            dirty_syncs: self.passes.len() as u64 + u64::from(switchover.is_some()),
            passes: self.passes,
            switchover,
            total_time: duration(self.now),
            transferred: bytes(self.stream.sent),
        }
    }

    fn remaining(&self) -> f64 {
        self.pages * PAGE_SIZE.0 as f64
    }

    fn begin_pass(&mut self, dirtied: f64) {
        self.passes.push(Pass {
            start: duration(self.now),
            dirtied: bytes(dirtied * PAGE_SIZE.0 as f64),
            remaining: bytes(self.remaining()),
            sent: bytes(0.0),
        });
    }

    fn pace(&self, cost: PageCost) -> Pace {
        // What the sockets take at once is gone after the first burst.
        let mut filled = self.stream.clone();
        filled.send(FILLING_PAGES, cost);
        let per_page = filled.time_for(FILLING_PAGES, cost) / FILLING_PAGES;
        let per_page = per_page.max(f64::MIN_POSITIVE);
        let burst = filled.pages_at_least(BURST, cost, 0.0);
        let free = Pace {
            step: ((burst / CLOCK_EVERY).floor() + 1.0) * CLOCK_EVERY,
            step_seconds: 0.0,
            threshold: cost.bytes / per_page,
        };
        let held = self.rules.max_bandwidth.map(|rate| Pace {
            step: slice(rate) / cost.bytes,
            step_seconds: WINDOW,
            threshold: slice(rate) / WINDOW,
        });
        // `threshold` is a rate up to here.
        let mut pace = match held {
            Some(held) if held.threshold < free.threshold => {
                if held.step <= free.step {
                    held
                } else {
                    // More than one burst a window.
                    let share = (free.step / held.step).min(1.0);
                    Pace {
                        step: held.step * share,
                        step_seconds: WINDOW * share,
                        ..held
                    }
                }
            }
            _ => free,
        };
        if let Some(given) = self.rules.switchover_bandwidth {
            pace.threshold = given.0;
        }
        pace.threshold *= self.rules.downtime_limit.as_secs_f64();
        pace
    }

    /// Sends until less than the threshold remains, which it tells, or the
    /// deadline is passed.
    fn pass(&mut self, deadline: f64) -> f64 {
        let cost = self.stream.cost(self.zero);
        let pace = self.pace(cost);
        let above = self.pages - pace.threshold / PAGE_SIZE.0 as f64;
        let steps = (above / pace.step).floor() + 1.0;
        let mut pages = (steps * pace.step).clamp(0.0, self.pages);
        let seconds = |pages: f64| {
            let held = pages / pace.step * pace.step_seconds;
            self.stream.time_for(pages, cost).max(held)
        };
        let whole = seconds(pages);
        if self.now + whole > deadline && whole > 0.0 {
            pages *= ((deadline - self.now) / whole).clamp(0.0, 1.0);
        }
        let held = pages / pace.step * pace.step_seconds;
        let sent_before = self.stream.sent;
        let took = self.stream.send(pages, cost);
        self.stream.rest((held - took).max(0.0));
        self.advance(if self.now + whole > deadline {
            // Just past it.
            deadline - self.now + 1e-9
        } else {
            took.max(held)
        });
        self.pages -= pages;
        if let Some(pass) = self.passes.last_mut() {
            pass.sent = bytes(self.stream.sent - sent_before);
        }
        pace.threshold
    }

    /// Adds what was written since the last look and tells how much that is,
    /// without pages that were yet to be sent anyway.
    fn look(&mut self) -> f64 {
        let found = self.dirt.found(self.last_sync, self.guest);
        let again = match self.found {
            Some(before) => self.dirt.found_again(&before, &found),
            None if self.all > 0.0 => found.pages / self.all,
            None => 0.0,
        };
        let clean = self.all - self.pages;
        let new = (found.pages - self.pages * again).clamp(0.0, clean.max(0.0));
        let untouched = self.pages * (1.0 - again).max(0.0);
        self.pages += new;
        if self.pages > 0.0 {
            // What was written holds something now.
            self.zero *= untouched / self.pages;
        }
        self.found = Some(found);
        self.last_sync = self.guest;
        new
    }

    fn switch_over(&mut self) -> Switchover {
        let (began, sent_before) = (self.now, self.stream.sent);
        let stop = self.costs.stop.as_secs_f64();
        self.stream.rest(stop);
        self.advance(stop);
        let stopped = self.now;
        self.look();
        let cost = self.stream.cost(self.zero);
        self.now += self.stream.send(self.pages, cost);
        let devices = PageCost {
            bytes: self.costs.device_state.0 as f64,
            cpu: self.costs.device_save.as_secs_f64(),
        };
        self.now += self.stream.send(1.0, devices);
        let resumed =
            self.now + self.stream.drain_time() + self.costs.destination_start.as_secs_f64();
        if self.rules.return_path {
            self.now = resumed;
        }
        Switchover {
            start: duration(began),
            downtime: duration(resumed - stopped),
            qemu_downtime: duration(self.now - began),
            sent: bytes(self.stream.sent - sent_before),
        }
    }
}
