//! A working set that grows: new pages are written as they come, pages of the set again and again.

use vmferry_load::spec::{PAGE, Rate, Writing};

use super::order::Order;
use super::stream::Stream;
use super::{Run, pacer};
use crate::clock::{self, Nanos};
use crate::memory::{Region, Touch};
use crate::random::Random;
use crate::tally::Tally;

/// The set and how it grows. Growth is paced like writing: a paused guest does not catch up.
pub(crate) struct Growing {
    growth: Stream,
    writing: Stream,
    pages: u64,
}

impl Growing {
    /// `region` has the limit's size, its first `writing.set` bytes are written.
    pub(crate) fn new(region: Region, writing: &Writing, grow: Rate, seed: u64) -> Self {
        let pages = writing.set / PAGE;
        let touch = |seed| Touch::write(writing.grain, writing.compress, Random::new(seed));
        let new = Touch::write(
            vmferry_load::spec::Grain::Page,
            writing.compress,
            Random::new(seed ^ 0x960),
        );
        Self {
            growth: Stream::new(region, Order::Sequential { next: pages }, new, pacer(grow)),
            writing: Stream::new(
                region,
                Order::uniform(seed),
                touch(!seed),
                pacer(writing.rate),
            ),
            pages,
        }
    }

    fn limit(&self) -> u64 {
        self.growth.pages()
    }
}

impl Run for Growing {
    fn run(&mut self, until: Option<Nanos>, tally: &Tally) {
        self.growth.pacer.restart();
        self.writing.pacer.restart();
        let mut grows = None;
        loop {
            let left = self.limit() - self.pages;
            if grows != Some(left > 0) {
                grows = Some(left > 0);
                let growth = if left > 0 {
                    self.growth.pacer.limit()
                } else {
                    Some(0)
                };
                let both = self.writing.pacer.limit().zip(growth);
                tally.set_aim(both.map(|(writing, growth)| writing + growth));
            }
            let now = clock::now();
            if until.is_some_and(|until| now >= until) {
                return;
            }
            let mut due = self.writing.pacer.due(now);
            if left > 0 {
                let growth_due = self.growth.pacer.due(now);
                if growth_due <= now {
                    self.pages += self.growth.batch(self.limit(), left, tally);
                }
                due = due.min(growth_due);
            }
            if due > now {
                clock::sleep_until(until.map_or(due, |until| due.min(until)));
            } else if self.writing.pacer.due(now) <= now {
                self.writing.batch(self.pages, u64::MAX, tally);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use vmferry_load::spec::Grain;

    use super::*;

    #[test]
    fn grows_up_to_its_limit_and_stays_within() {
        let region = Region::map(64 * PAGE).unwrap();
        let writing = Writing {
            at: 0,
            set: 16 * PAGE,
            rate: Rate::BytesPerSecond(PAGE),
            grain: Grain::Page,
            compress: 0.0,
        };
        let rate = Rate::BytesPerSecond(100 * PAGE);
        let mut growing = Growing::new(region, &writing, rate, 1);
        let tally = Tally::default();
        growing.run(Some(clock::now() + 100 * clock::MILLISECOND), &tally);
        assert!(
            growing.pages > 16 && growing.pages <= 27,
            "{}",
            growing.pages
        );
        assert_eq!(tally.aim(), Some(101 * PAGE));
        assert!((growing.pages..64).all(|page| region.read(page, 512) == 0));
        while growing.pages < 64 {
            growing.run(Some(clock::now() + 20 * clock::MILLISECOND), &tally);
        }
        growing.run(Some(clock::now() + clock::MILLISECOND), &tally);
        assert_eq!((growing.pages, tally.aim()), (64, Some(PAGE)));
        assert!((16..64).all(|page| region.read(page, 512) != 0));
    }
}
