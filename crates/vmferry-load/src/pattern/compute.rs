//! CPU only.

use std::hint::black_box;

use super::Run;
use crate::clock::{self, MILLISECOND, Nanos};
use crate::random::Random;
use crate::tally::Tally;

/// Short against anything a person or a forecast looks at, long against a wake-up.
const SLOT: Nanos = 10 * MILLISECOND;

/// Steps of one work unit.
const STEPS: u32 = 1024;

/// Busy for a share of every slot of 10 ms, by the clock.
pub(crate) struct Compute {
    busy: Nanos,
    random: Random,
}

impl Compute {
    pub(crate) fn new(duty: f64, seed: u64) -> Self {
        Self {
            busy: (SLOT as f64 * duty / 100.0) as Nanos,
            random: Random::new(seed),
        }
    }

    fn block(&mut self) {
        for _ in 0..STEPS {
            black_box(self.random.word());
        }
    }
}

impl Run for Compute {
    fn run(&mut self, until: Option<Nanos>, tally: &Tally) {
        tally.set_aim(Some(0));
        let mut slot = clock::now();
        loop {
            let mut now = clock::now();
            if until.is_some_and(|until| now >= until) {
                return;
            }
            // A slot that has passed while the guest was paused is lost.
            if now >= slot + 2 * SLOT {
                slot = now;
            }
            while now < slot + self.busy {
                self.block();
                tally.add(1, 0);
                now = clock::now();
            }
            slot += SLOT;
            if now < slot {
                clock::sleep_until(until.map_or(slot, |until| slot.min(until)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn works_only_when_on_duty() {
        let tally = Tally::default();
        Compute::new(0.0, 1).run(Some(clock::now() + 20 * MILLISECOND), &tally);
        assert_eq!(tally.work(), 0);
        Compute::new(50.0, 1).run(Some(clock::now() + 20 * MILLISECOND), &tally);
        assert!(tally.work() > 0);
        assert_eq!((tally.bytes(), tally.aim()), (0, Some(0)));
    }
}
