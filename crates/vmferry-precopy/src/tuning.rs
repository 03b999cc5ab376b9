//! What is set anew before every round: the sender's rate, the guest's speed.

use std::time::Duration;

use vmferry_core::{ByteRate, Bytes, Ratio};

/// What holds for one round.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Most bytes of stream per second; `None` where only the link limits.
    pub rate: Option<ByteRate>,
    /// Speed of the guest: 1 as measured, 0.5 under a CPU cap of half of what
    /// it uses. What it writes shrinks alike (`jin2011` eq. 8).
    pub speed: Ratio,
}

impl Default for Settings {
    /// No limit, full speed.
    fn default() -> Self {
        Self {
            rate: None,
            speed: Ratio(1.0),
        }
    }
}

/// A round as the sender saw it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Round {
    /// 1 for the first, which sends all memory.
    pub number: u64,
    /// How long it took.
    pub length: Duration,
    /// Memory sent in it.
    pub sent: Bytes,
    /// Memory left out because it was dirty again before its turn.
    pub skipped: Bytes,
    /// Memory dirtied while it lasted, what was skipped included.
    pub dirtied: Bytes,
    /// What held.
    pub settings: Settings,
    /// Whether the guest is stopped now: what follows is the stop-and-copy.
    pub last: bool,
}

impl Round {
    /// B of `jin2011` Algorithm 1; `None` for a round that took no time.
    pub fn send_rate(&self) -> Option<ByteRate> {
        self.per_second(self.sent)
    }

    /// P of `jin2011` Algorithm 1, D of `liu2011`; `None` for a round that took
    /// no time.
    pub fn dirty_rate(&self) -> Option<ByteRate> {
        self.per_second(self.dirtied)
    }

    fn per_second(&self, amount: Bytes) -> Option<ByteRate> {
        (!self.length.is_zero()).then(|| amount / self.length)
    }
}

/// Decides what holds in the next round from what the last one showed.
pub trait Tuning {
    /// For the first round.
    fn first(&mut self) -> Settings {
        Settings::default()
    }

    /// For the round after the one seen, or for the stop-and-copy.
    fn next(&mut self, seen: &Round) -> Settings;

    /// Whether a faster rate is out of the question: Xen 3 gives up on a guest
    /// that outruns the link only then.
    fn rate_is_max(&self) -> bool {
        true
    }
}

/// Nothing is ever changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Untuned;

impl Tuning for Untuned {
    fn next(&mut self, seen: &Round) -> Settings {
        seen.settings
    }
}

/// A rate just above what the guest dirties: R = D + delta within bounds, a
/// courtesy to the neighbours on the link (`liu2011` section 6; Clark et al.,
/// NSDI 2005; `ADAPTIVE_SAVE` in Xen 3's `xc_domain_save.c`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdaptiveRate {
    /// What is added to the dirty rate seen.
    pub delta: ByteRate,
    /// Least rate, and that of the first round.
    pub least: ByteRate,
    /// Most.
    pub most: ByteRate,
    /// Whether a rate once reached is kept.
    pub only_rises: bool,
    /// Whether the guest, once stopped, is copied at the link's speed.
    pub lifted_at_stop: bool,
    now: ByteRate,
}

impl AdaptiveRate {
    /// A rate from `least` to `most` that follows the guest both ways, lifted
    /// at the stop.
    pub fn new(delta: ByteRate, least: ByteRate, most: ByteRate) -> Self {
        Self {
            delta,
            least,
            most,
            only_rises: false,
            lifted_at_stop: true,
            now: least,
        }
    }

    /// As `liu2011` ran it: 100 Mbit/s above, from 400 to 800 Mbit/s.
    pub fn liu2011() -> Self {
        let mbit = ByteRate::from_mbit_per_s;
        Self::new(mbit(100.0), mbit(400.0), mbit(800.0))
    }

    /// As Xen 3 is written: 50 Mbit/s above, from 100 to 500 Mbit/s, never
    /// falling, held at the stop too.
    pub fn xen3() -> Self {
        let mbit = ByteRate::from_mbit_per_s;
        Self {
            only_rises: true,
            lifted_at_stop: false,
            ..Self::new(mbit(50.0), mbit(100.0), mbit(500.0))
        }
    }

    fn settings(&self, speed: Ratio) -> Settings {
        Settings {
            rate: Some(self.now),
            speed,
        }
    }
}

impl Tuning for AdaptiveRate {
    fn first(&mut self) -> Settings {
        self.now = self.least;
        self.settings(Ratio(1.0))
    }

    fn next(&mut self, seen: &Round) -> Settings {
        if let Some(dirty) = seen.dirty_rate() {
            let wanted = dirty.0 + self.delta.0;
            let least = if self.only_rises {
                self.now
            } else {
                self.least
            };
            self.now = ByteRate(wanted.min(self.most.0).max(least.0));
        }
        let mut settings = self.settings(seen.settings.speed);
        if seen.last && self.lifted_at_stop {
            settings.rate = None;
        }
        settings
    }

    fn rate_is_max(&self) -> bool {
        self.now.0 >= self.most.0
    }
}

/// A cap on the guest's CPU after every round: E <- C B E / P (`jin2011` eq. 9,
/// Algorithm 1), with the send rate B and the dirty rate P of that round, within
/// bounds; so a cap may rise again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CpuCap {
    /// C: dirty rate over send rate that it works towards, 0.6..0.9 in the
    /// paper.
    pub expectant: Ratio,
    /// Least cap; 20 % in section 4.3.
    pub least: Ratio,
    /// Most.
    pub most: Ratio,
}

impl CpuCap {
    /// Caps from 20 % to all of the CPU.
    pub const fn new(expectant: Ratio) -> Self {
        Self {
            expectant,
            least: Ratio(0.2),
            most: Ratio(1.0),
        }
    }

    /// Line 11 of the algorithm: the cap after a round that was made under the
    /// cap `now`. `None` after one without dirt, which changes nothing.
    pub fn after(&self, seen: &Round, now: Ratio) -> Option<Ratio> {
        let (sent, dirtied) = (seen.send_rate()?.0, seen.dirty_rate()?.0);
        let cap = self.expectant.0 * sent * now.0 / dirtied;
        (dirtied > 0.0).then(|| Ratio(cap.min(self.most.0).max(self.least.0)))
    }
}

impl Tuning for CpuCap {
    fn next(&mut self, seen: &Round) -> Settings {
        let now = seen.settings.speed;
        Settings {
            speed: self.after(seen, now).unwrap_or(now),
            ..seen.settings
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(dirty_mbit: f64, last: bool) -> Round {
        Round {
            number: 2,
            length: Duration::from_secs(2),
            sent: Bytes(100_000_000),
            skipped: Bytes(0),
            dirtied: Bytes((dirty_mbit * 250_000.0) as u64),
            settings: Settings::default(),
            last,
        }
    }

    fn mbit(settings: Settings) -> Option<f64> {
        settings.rate.map(|rate| rate.mbit_per_s().round())
    }

    #[test]
    fn follows_the_guest_within_bounds() {
        let mut rate = AdaptiveRate::liu2011();
        assert_eq!(mbit(rate.first()), Some(400.0));
        assert!(!rate.rate_is_max());
        let seen = [200.0, 550.0, 900.0, 350.0].map(|d| mbit(rate.next(&round(d, false))));
        assert_eq!(seen, [Some(400.0), Some(650.0), Some(800.0), Some(450.0)]);
        assert_eq!(mbit(rate.next(&round(350.0, true))), None);
    }

    #[test]
    fn xen_never_lowers_its_rate() {
        let mut rate = AdaptiveRate::xen3();
        let seen = [200.0, 100.0, 900.0, 10.0].map(|d| mbit(rate.next(&round(d, false))));
        assert_eq!(seen, [Some(250.0), Some(250.0), Some(500.0), Some(500.0)]);
        assert!(rate.rate_is_max());
        assert_eq!(mbit(rate.next(&round(10.0, true))), Some(500.0));
    }

    #[test]
    fn a_round_tells_its_rates() {
        let seen = round(300.0, false);
        assert_eq!(seen.send_rate(), Some(ByteRate(50e6)));
        assert_eq!(seen.dirty_rate().map(ByteRate::mbit_per_s), Some(300.0));
        let empty = Round {
            length: Duration::ZERO,
            ..seen
        };
        assert_eq!((empty.send_rate(), empty.dirty_rate()), (None, None));
    }
}
