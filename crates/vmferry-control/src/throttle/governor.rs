//! From what a controller wants to what is done: limits, changes only, undo.

use std::time::Duration;

use vmferry_core::{ByteRate, Ratio};

use super::look::{Look, Stage};
use super::promise::{Promises, Reason};

/// What a controller wants to hold from a look on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wish {
    /// Share of the CPU it uses that the guest gets, above 0, at most 1.
    pub share: Ratio,
    /// `max-bandwidth`; `None` for as much as is promised.
    pub max_bandwidth: Option<ByteRate>,
    /// `downtime-limit`; `None` for as much as is promised.
    pub downtime_limit: Option<Duration>,
    /// A way to end pre-copy now.
    pub ending: Option<Ending>,
}

impl Default for Wish {
    /// A guest at full speed, and the promised limits.
    fn default() -> Self {
        Self {
            share: Ratio(1.0),
            max_bandwidth: None,
            downtime_limit: None,
            ending: None,
        }
    }
}

/// A way to end pre-copy that is not its own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ending {
    /// Go on by post-copy.
    PostCopy,
    /// Cancel; the guest stays where it is.
    GiveUp(Reason),
}

/// What is to be done, in order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Action {
    /// Hold the guest to a share of the CPU it uses.
    CapCpu {
        /// Above 0, below 1.
        share: Ratio,
    },
    /// Give the guest its CPU back.
    LiftCap,
    /// Set `max-bandwidth`.
    SetMaxBandwidth(ByteRate),
    /// Set `max-bandwidth` back to what it was before the move.
    RestoreMaxBandwidth,
    /// Set `downtime-limit`.
    SetDowntimeLimit(Duration),
    /// Set `downtime-limit` back to what it was before the move.
    RestoreDowntimeLimit,
    /// Start post-copy.
    StartPostCopy,
    /// Cancel the migration.
    GiveUp(Reason),
}

/// A policy for one move. No clock, no I/O: the same code steers a live QEMU,
/// a recorded trace and a replay.
pub trait Controller {
    /// Says what should hold from this look on. `lost` is the guest's work lost
    /// so far, in time at full speed. Asked while pre-copy lasts only.
    fn decide(&mut self, look: &Look, lost: Duration) -> Wish;

    /// The end it plans for, from the command; `None` where nothing keeps the
    /// promises, or it does not plan.
    fn foreseen_end(&self) -> Option<Duration> {
        None
    }

    /// From now on the guest cannot be capped: the host refuses, or somebody
    /// took the cap off. A controller that goes on asking for caps does no
    /// harm; one that plans should plan without.
    fn cannot_cap(&mut self) {}
}

impl<C: Controller + ?Sized> Controller for Box<C> {
    fn decide(&mut self, look: &Look, lost: Duration) -> Wish {
        (**self).decide(look, lost)
    }

    fn foreseen_end(&self) -> Option<Duration> {
        (**self).foreseen_end()
    }

    fn cannot_cap(&mut self) {
        (**self).cannot_cap();
    }
}

/// No controller: the promised limits and nothing else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Off;

impl Controller for Off {
    fn decide(&mut self, _: &Look, _: Duration) -> Wish {
        Wish::default()
    }
}

/// Stands between a controller and the hosts: keeps what it wants within the
/// promises, turns it into actions, only where something changes, and undoes
/// everything in the end, whatever the controller says.
#[derive(Clone, Debug)]
pub struct Governor<C> {
    controller: C,
    promises: Promises,
    /// Greatest `downtime-limit`.
    most_limit: Duration,
    lost: Duration,
    seen: Duration,
    share: Ratio,
    bandwidth: Option<ByteRate>,
    limit: Option<Duration>,
    /// When `max-bandwidth` was last raised.
    raised_at: Option<Duration>,
    /// Whether the guest cannot be capped.
    uncapped: bool,
    /// Whether post-copy was refused.
    no_post_copy: bool,
    ended: bool,
}

/// After `max-bandwidth` was raised, QEMU's next windows of 100 ms hold what the
/// empty sockets take at once as well (2 MB: 40 % at 50 MB/s). It takes that for
/// the link's rate, and would stop the guest for longer than it was told.
const SOCKETS_FILL: Duration = Duration::from_millis(350);
/// Share of the downtime limit that is set meanwhile.
const WHILE_FILLING: f64 = 0.65;
/// Shares closer than this are the same cap.
const SHARE_STEP: f64 = 0.005;
/// Rates closer than this share are the same.
const RATE_STEP: f64 = 0.002;

impl<C: Controller> Governor<C> {
    /// `outside` is what a pause takes beyond what QEMU plans for: devices, what
    /// the sockets hold, the destination's start.
    pub fn new(controller: C, promises: Promises, outside: Duration) -> Self {
        Self {
            controller,
            promises,
            most_limit: promises.downtime_limit(outside),
            lost: Duration::ZERO,
            seen: Duration::ZERO,
            share: Ratio(1.0),
            bandwidth: None,
            limit: None,
            raised_at: None,
            uncapped: false,
            no_post_copy: false,
            ended: false,
        }
    }

    /// Takes a look in and says what to do about it. Nothing more than undoing
    /// after an ending.
    pub fn input(&mut self, look: &Look) -> Vec<Action> {
        let mut actions = Vec::new();
        if !self.ended {
            let passed = look.now.saturating_sub(self.seen);
            self.lost += passed.mul_f64((1.0 - look.in_force.speed.0).clamp(0.0, 1.0));
        }
        self.seen = self.seen.max(look.now);
        // A guest that somebody stops and continues is steered on.
        if look.stage > Stage::Stopped {
            self.ended = true;
        }
        if self.ended || look.stage == Stage::Stopped {
            self.lift(&mut actions);
            if look.stage == Stage::Over {
                self.restore(&mut actions);
            }
            return actions;
        }
        let wish = self.controller.decide(look, self.lost);
        if let Some(ending) = wish.ending {
            let ending = match ending {
                Ending::PostCopy if self.no_post_copy => Ending::GiveUp(Reason::NotConverging {
                    least_share: self.share,
                }),
                possible => possible,
            };
            self.end(ending, &mut actions);
            return actions;
        }
        self.settle(&wish, look.now, &mut actions);
        actions
    }

    /// The guest's work lost to caps so far, in time at full speed.
    pub fn lost(&self) -> Duration {
        self.lost
    }

    /// The controller, as it now stands.
    pub fn controller(&self) -> &C {
        &self.controller
    }

    /// An action was refused, or nobody answered: what was asked for does not
    /// hold, and is asked for again. Post-copy that was refused is not; a move
    /// that has no other way is given up.
    pub fn not_done(&mut self, action: &Action) {
        match action {
            Action::SetMaxBandwidth(_) => self.bandwidth = None,
            Action::SetDowntimeLimit(_) => self.limit = None,
            Action::StartPostCopy => {
                self.no_post_copy = true;
                self.ended = false;
            }
            _ => {}
        }
    }

    /// The guest cannot be capped from now on; what was asked for is void.
    pub fn cannot_cap(&mut self) {
        self.share = Ratio(1.0);
        self.uncapped = true;
        self.controller.cannot_cap();
    }

    fn settle(&mut self, wish: &Wish, now: Duration, actions: &mut Vec<Action>) {
        let share = if self.uncapped {
            1.0
        } else {
            wish.share.0.clamp(0.01, 1.0)
        };
        if share > 1.0 - SHARE_STEP {
            self.lift(actions);
        } else if (share - self.share.0).abs() > SHARE_STEP {
            self.share = Ratio(share);
            actions.push(Action::CapCpu { share: self.share });
        }
        let asked = wish.max_bandwidth.or(self.promises.max_bandwidth);
        match asked.map(|rate| self.promises.bounded(rate)) {
            Some(rate) => {
                let near = |set: ByteRate| (rate.0 - set.0).abs() <= RATE_STEP * set.0;
                if !self.bandwidth.is_some_and(near) {
                    if self.bandwidth.is_some_and(|before| rate > before) {
                        self.raised_at = Some(now);
                    }
                    self.bandwidth = Some(rate);
                    actions.push(Action::SetMaxBandwidth(rate));
                }
            }
            None => {
                if self.bandwidth.is_some() {
                    self.raised_at = Some(now);
                }
                self.restore_bandwidth(actions);
            }
        }
        let filling = self
            .raised_at
            .is_some_and(|at| now.saturating_sub(at) < SOCKETS_FILL);
        let most = if filling {
            self.most_limit.mul_f64(WHILE_FILLING)
        } else {
            self.most_limit
        };
        let limit = wish
            .downtime_limit
            .unwrap_or(most)
            .min(most)
            .max(Duration::from_millis(1));
        if self.limit != Some(limit) {
            self.limit = Some(limit);
            actions.push(Action::SetDowntimeLimit(limit));
        }
    }

    fn end(&mut self, ending: Ending, actions: &mut Vec<Action>) {
        self.ended = true;
        self.lift(actions);
        match ending {
            Ending::PostCopy => actions.push(Action::StartPostCopy),
            Ending::GiveUp(reason) => {
                self.restore(actions);
                actions.push(Action::GiveUp(reason));
            }
        }
    }

    fn lift(&mut self, actions: &mut Vec<Action>) {
        if self.share.0 < 1.0 {
            self.share = Ratio(1.0);
            actions.push(Action::LiftCap);
        }
    }

    fn restore_bandwidth(&mut self, actions: &mut Vec<Action>) {
        if self.bandwidth.take().is_some() {
            actions.push(Action::RestoreMaxBandwidth);
        }
    }

    fn restore(&mut self, actions: &mut Vec<Action>) {
        self.restore_bandwidth(actions);
        if self.limit.take().is_some() {
            actions.push(Action::RestoreDowntimeLimit);
        }
    }
}

#[cfg(test)]
mod tests;
