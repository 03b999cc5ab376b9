//! Paced touching of pages: what most memory patterns are made of.

use vmferry_load::spec::PAGE;

use super::Run;
use super::order::Order;
use crate::clock::{self, Nanos};
use crate::memory::{Region, Touch};
use crate::pace::Pacer;
use crate::tally::Tally;

/// One set, touched in one order at one rate.
pub(crate) struct Stream {
    set: Region,
    order: Order,
    touch: Touch,
    pub(crate) pacer: Pacer,
}

impl Stream {
    pub(crate) fn new(set: Region, order: Order, touch: Touch, pacer: Pacer) -> Self {
        Self {
            set,
            order,
            touch,
            pacer,
        }
    }

    /// Touches the next batch among the first `pages` of the set, at most `most`; returns how many.
    pub(crate) fn batch(&mut self, pages: u64, most: u64, tally: &Tally) -> u64 {
        let batch = self.pacer.batch().min(most);
        for _ in 0..batch {
            let page = self.order.next(pages);
            self.touch.touch(self.set, page);
        }
        self.pacer.did(batch);
        tally.add(batch, batch * PAGE);
        batch
    }

    pub(crate) fn pages(&self) -> u64 {
        self.set.pages()
    }
}

/// Streams in one thread; the one due first goes first, those due at once take turns.
pub(crate) struct Streams {
    streams: Vec<Stream>,
    last: usize,
}

impl Streams {
    pub(crate) fn new(streams: Vec<Stream>) -> Self {
        Self { streams, last: 0 }
    }

    /// The stream due first, and when.
    fn next(&mut self, now: Nanos) -> Option<(Nanos, usize)> {
        let count = self.streams.len();
        (1..=count)
            .map(|step| (self.last + step) % count)
            .map(|index| (self.streams[index].pacer.due(now).max(now), index))
            .min_by_key(|(due, _)| *due)
    }
}

impl Run for Streams {
    fn run(&mut self, until: Option<Nanos>, tally: &Tally) {
        tally.set_aim(self.streams.iter().map(|stream| stream.pacer.limit()).sum());
        for stream in &mut self.streams {
            stream.pacer.restart();
        }
        loop {
            let now = clock::now();
            if until.is_some_and(|until| now >= until) {
                return;
            }
            let Some((due, index)) = self.next(now) else {
                return;
            };
            if due > now {
                clock::sleep_until(until.map_or(due, |until| due.min(until)));
                continue;
            }
            self.last = index;
            let stream = &mut self.streams[index];
            stream.batch(stream.pages(), u64::MAX, tally);
        }
    }
}
