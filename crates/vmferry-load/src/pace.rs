//! Pacing: how much to do at once, and when the next batch is due.
//!
//! Batches are at most 1 ms worth and at least one unit. Falling behind by more than [`DEBT`] is
//! forgiven: a guest that was paused or throttled does not come back with a burst, and the
//! work it missed shows as missing.

use vmferry_load::spec::Rate;

use crate::clock::{MILLISECOND, Nanos, SECOND};

/// The most that is made up for after being late: long enough for late wake-ups of a busy emulated
/// guest (up to some 10 ms), short against any pause worth measuring.
pub(crate) const DEBT: Nanos = 20 * MILLISECOND;

/// Units in one batch without a limit: short enough to look at the clock often (64 pages take
/// about 0.2 ms in an emulated guest), long enough that the look costs nothing.
const UNLIMITED_BATCH: u64 = 64;

/// The schedule of one stream of work.
pub(crate) struct Pacer {
    rate: Option<u64>,
    unit: u64,
    begin: Option<Nanos>,
    done: u64,
}

impl Pacer {
    /// A schedule for work in units of so many bytes.
    pub(crate) fn new(rate: Rate, unit: u64) -> Self {
        Self {
            rate: rate.limit(),
            unit,
            begin: None,
            done: 0,
        }
    }

    /// Bytes a second; none if not limited.
    pub(crate) fn limit(&self) -> Option<u64> {
        self.rate
    }

    /// Units to do at once.
    pub(crate) fn batch(&self) -> u64 {
        match self.rate {
            None => UNLIMITED_BATCH,
            Some(rate) => (rate / 1000 / self.unit).max(1),
        }
    }

    /// When the next batch is due; past or now if at once.
    pub(crate) fn due(&mut self, now: Nanos) -> Nanos {
        let Some(rate) = self.rate else { return now };
        let begin = *self.begin.get_or_insert(now);
        let length = u128::from(self.done) * u128::from(SECOND) / u128::from(rate);
        let due = begin.saturating_add(length as Nanos);
        let oldest = now.saturating_sub(DEBT);
        if due < oldest {
            self.begin = Some(oldest);
            self.done = 0;
            return oldest;
        }
        due
    }

    /// Tells that so many units were done.
    pub(crate) fn did(&mut self, units: u64) {
        self.done += units * self.unit;
    }

    /// Begins anew: nothing was missed.
    pub(crate) fn restart(&mut self) {
        self.begin = None;
        self.done = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: u64 = 4096;

    /// Bytes done from `from` to `to` by someone who is always ready.
    fn run(pacer: &mut Pacer, from: Nanos, to: Nanos) -> u64 {
        let (mut now, mut units) = (from, 0);
        loop {
            now = pacer.due(now).max(now);
            if now >= to {
                return units * pacer.unit;
            }
            pacer.did(pacer.batch());
            units += pacer.batch();
        }
    }

    #[test]
    fn holds_its_rate_in_small_batches() {
        for rate in [1_000, 1 << 20, 20 << 20, 1_000_003, 3 << 30] {
            let mut pacer = Pacer::new(Rate::BytesPerSecond(rate), PAGE);
            assert!(pacer.batch() == 1 || pacer.batch() * PAGE <= rate / 1000);
            let bytes = run(&mut pacer, 5 * SECOND, 15 * SECOND);
            let error = bytes.abs_diff(rate * 10);
            assert!(error <= pacer.batch() * PAGE, "{rate}: {error}");
        }
    }

    #[test]
    fn a_pause_is_not_made_up_for() {
        let rate = 20 << 20;
        let mut pacer = Pacer::new(Rate::BytesPerSecond(rate), PAGE);
        run(&mut pacer, SECOND, 2 * SECOND);
        let bytes = run(&mut pacer, 12 * SECOND, 13 * SECOND);
        let most = rate + rate * DEBT / SECOND + pacer.batch() * PAGE;
        assert!(bytes <= most, "{bytes} > {most}");
        assert!(bytes >= rate, "{bytes}");
    }

    #[test]
    fn small_delays_are_made_up_for() {
        let rate = 8 << 20;
        let mut pacer = Pacer::new(Rate::BytesPerSecond(rate), PAGE);
        let mut bytes = 0;
        for begin in 0..10 {
            let begin = SECOND + begin * 100 * MILLISECOND;
            bytes += run(
                &mut pacer,
                begin + 10 * MILLISECOND,
                begin + 100 * MILLISECOND,
            );
        }
        assert!(bytes.abs_diff(rate) <= rate / 50, "{bytes}");
    }

    #[test]
    fn without_a_limit_always_due() {
        let mut pacer = Pacer::new(Rate::Unlimited, PAGE);
        pacer.did(1_000_000);
        assert_eq!(pacer.due(7), 7);
        assert_eq!(pacer.batch(), 64);
    }

    #[test]
    fn restarting_forgets_the_debt() {
        let mut pacer = Pacer::new(Rate::BytesPerSecond(PAGE), PAGE);
        pacer.due(SECOND);
        pacer.restart();
        assert_eq!(pacer.due(9 * SECOND), 9 * SECOND);
    }
}
