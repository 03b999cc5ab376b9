//! The loop step by step, for whoever changes its settings on the way.

use std::time::Duration;

use vmferry_core::{ByteRate, Bytes};

use super::run::Run;
use super::{Rules, Start};
use crate::dirt::Dirt;
use crate::host_costs::HostCosts;
use crate::replay::{Pass, Replay, Switchover};

/// A replay of QEMU's loop that stops to be looked at, and whose settings may
/// be changed between two looks. Without changes it is [`super::replay`].
///
/// ```text
/// advance(until) ─> passes(), remaining() ─> set_max_bandwidth(), PacedDirt::set_speed() ─> advance(until) ...
/// ```
pub struct Stepped<'a, D: Dirt + 'a> {
    run: Run<'a, D::Unsent<'a>>,
    switchover: Option<Switchover>,
}

impl<'a, D: Dirt + 'a> Stepped<'a, D> {
    /// A move whose command was just given, over a link that carries `rate`
    /// bytes of stream per second.
    pub fn new(dirt: &'a D, rules: &Rules, costs: &'a HostCosts, rate: ByteRate) -> Self {
        Self {
            run: Run::new(dirt, rules, costs, rate, &Start::Command),
            switchover: None,
        }
    }

    /// Goes on until just past an instant (by less than a burst), or to the
    /// end of the move, and tells the switchover once it was made. QEMU itself
    /// notices a new setting as late as it does here: the threshold when its
    /// bandwidth window ends.
    pub fn advance(&mut self, until: Duration) -> Option<Switchover> {
        let until = until.as_secs_f64();
        while self.switchover.is_none() && self.run.now() < until {
            self.switchover = self.run.step(until);
        }
        self.switchover
    }

    /// Stops the guest now, whatever remains: what a downtime limit without
    /// bound makes of it. The switchover made already, if there was one.
    pub fn force_switchover(&mut self) -> Switchover {
        let run = &mut self.run;
        *self.switchover.get_or_insert_with(|| run.switch_over())
    }

    /// Time since the command.
    pub fn now(&self) -> Duration {
        crate::replay::duration(self.run.now())
    }

    /// Memory yet to be sent, as far as QEMU knows.
    pub fn remaining(&self) -> Bytes {
        crate::replay::bytes(self.run.remaining())
    }

    /// Bytes of stream so far.
    pub fn transferred(&self) -> Bytes {
        self.run.transferred()
    }

    /// The passes so far. What the last one has sent is not filled in before
    /// it is over.
    pub fn passes(&self) -> &[Pass] {
        self.run.passes()
    }

    /// Looks at the dirty log so far (`dirty-sync-count`).
    pub fn dirty_syncs(&self) -> u64 {
        self.run.dirty_syncs()
    }

    /// Sets `max-bandwidth`; `None` lifts it.
    pub fn set_max_bandwidth(&mut self, rate: Option<ByteRate>) {
        self.run.rules_mut().max_bandwidth = rate;
    }

    /// Sets `downtime-limit`.
    pub fn set_downtime_limit(&mut self, limit: Duration) {
        self.run.rules_mut().downtime_limit = limit;
    }

    /// The link carries another rate from now on.
    pub fn set_link_rate(&mut self, rate: ByteRate) {
        self.run.set_link_rate(rate);
    }

    /// The replay as far as it went.
    pub fn into_replay(self) -> Replay {
        self.run.into_replay(self.switchover)
    }
}
