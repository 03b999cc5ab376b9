//! The guest's own clock within a pass.

use std::time::Duration;

use vmferry_core::Ratio;

use super::look::Look;

/// How long the guest ran in a pass, by what its dirt says: a second under a cap
/// that halves its dirt is half a second.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct PassClock {
    pass: u64,
    at: Duration,
    /// Of the pass now running.
    now: GuestPass,
    /// Of the one before.
    last: Option<GuestPass>,
}

/// A pass by both clocks, seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct GuestPass {
    /// How long it took.
    pub(super) length: f64,
    /// How long the guest ran, in time at full dirt.
    pub(super) ran: f64,
    /// Sum of its shares of the CPU over time.
    pub(super) share_seconds: f64,
}

impl GuestPass {
    fn add(&mut self, seconds: f64, share: Ratio, elasticity: f64) {
        self.length += seconds;
        self.ran += seconds * share.0.max(0.0).powf(elasticity);
        self.share_seconds += seconds * share.0;
    }

    /// Mean share of the CPU; `None` for a pass of no length.
    pub(super) fn share(&self) -> Option<Ratio> {
        (self.length > 0.0).then(|| Ratio(self.share_seconds / self.length))
    }
}

impl PassClock {
    /// Takes a look in, and tells the pass that ended since the look before.
    pub(super) fn advance(&mut self, look: &Look, elasticity: f64) -> Option<GuestPass> {
        let passed = look.now.saturating_sub(self.at).as_secs_f64();
        self.at = self.at.max(look.now);
        let share = look.in_force.speed;
        if look.pass <= self.pass || self.pass == 0 {
            self.pass = self.pass.max(look.pass);
            self.now.add(passed, share, elasticity);
            return None;
        }
        let begun = look.in_pass.as_secs_f64().min(passed);
        // Passes in between that nobody saw are counted with the first of them.
        self.now.add(passed - begun, share, elasticity);
        let single = look.pass == self.pass + 1;
        let over = std::mem::take(&mut self.now);
        self.now.add(begun, share, elasticity);
        self.pass = look.pass;
        self.last = Some(over);
        single.then_some(over)
    }

    /// How long the guest ran since the last look at the dirty log.
    pub(super) fn since_sync(&self) -> Duration {
        Duration::from_secs_f64(self.now.ran)
    }

    /// How long it ran in the pass before; `None` within the first.
    pub(super) fn last_pass(&self) -> Option<Duration> {
        self.last.map(|pass| Duration::from_secs_f64(pass.ran))
    }
}
