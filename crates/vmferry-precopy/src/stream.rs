//! The migration stream: what a page costs on it, in bytes and in time.

use vmferry_core::{ByteRate, Bytes, PAGE_SIZE};

use crate::host_costs::HostCosts;

/// A page with content on QEMU's stream: its address and flags, and itself.
pub const PAGE_ON_STREAM: Bytes = Bytes(PAGE_SIZE.0 + 8);
/// A zero page on QEMU's stream: its address and flags, and the fill byte.
pub const ZERO_PAGE_ON_STREAM: Bytes = Bytes(9);

/// A sender in front of a link, with the sockets' buffer between them.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    /// Bytes per second that the link carries.
    link: f64,
    /// Bytes per second that cross the link now.
    rate: f64,
    /// Its reciprocal: a replay asks for times far more often than the rate changes.
    seconds_per_byte: f64,
    /// Bytes the sockets take.
    sockets: f64,
    /// Bytes the sockets take now: below the link's speed they are empty.
    buffer: f64,
    /// Bytes that have to leave a full buffer before a waiting sender goes on.
    wake: f64,
    seconds_per_page: f64,
    seconds_per_zero_page: f64,
    /// Bytes in the buffer.
    queued: f64,
    /// Bytes handed over so far.
    pub(crate) sent: f64,
}

/// Pages of one kind: mean cost of each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PageCost {
    pub(crate) bytes: f64,
    pub(crate) cpu: f64,
}

impl Stream {
    pub(crate) fn new(rate: ByteRate, costs: &HostCosts) -> Self {
        let page = PAGE_SIZE.0 as f64;
        let (rate, sockets) = (rate.0.max(1.0), costs.socket_buffer.0 as f64);
        Self {
            link: rate,
            rate,
            seconds_per_byte: rate.recip(),
            sockets,
            buffer: sockets,
            // No more can leave the sockets than they hold.
            wake: costs.socket_wake.min(costs.socket_buffer).0 as f64,
            seconds_per_page: costs.send_rate.map_or(0.0, |rate| page / rate.0.max(1.0)),
            seconds_per_zero_page: page / costs.zero_scan_rate.0.max(1.0),
            queued: 0.0,
            sent: 0.0,
        }
    }

    /// Holds the sender to a rate; `None` lets it use the link.
    pub(crate) fn hold_to(&mut self, limit: Option<ByteRate>) {
        let limit = limit.map_or(f64::INFINITY, |limit| limit.0.max(1.0));
        self.send_at(self.link.min(limit));
        self.buffer = if limit < self.link { 0.0 } else { self.sockets };
    }

    /// The link carries another rate from now on; what holds the sender stays.
    pub(crate) fn set_link(&mut self, rate: ByteRate) {
        let held = (self.rate < self.link).then_some(self.rate);
        self.link = rate.0.max(1.0);
        self.send_at(held.map_or(self.link, |held| held.min(self.link)));
    }

    fn send_at(&mut self, rate: f64) {
        self.rate = rate;
        self.seconds_per_byte = rate.recip();
    }

    /// Mean cost of pages of which a share `zero` is zero.
    pub(crate) fn cost(&self, zero: f64) -> PageCost {
        let mix = |normal: f64, z: f64| normal * (1.0 - zero) + z * zero;
        PageCost {
            bytes: mix(PAGE_ON_STREAM.0 as f64, ZERO_PAGE_ON_STREAM.0 as f64),
            cpu: mix(self.seconds_per_page, self.seconds_per_zero_page),
        }
    }

    /// Bytes in the buffer after `pages` pages, if it took all there are and could owe some.
    fn level_after(&self, pages: f64, cost: PageCost) -> f64 {
        self.queued + pages * (cost.bytes - self.rate * cost.cpu)
    }

    /// Seconds it takes to hand over `pages` pages.
    pub(crate) fn time_for(&self, pages: f64, cost: PageCost) -> f64 {
        let backlog = self.level_after(pages, cost) - self.buffer;
        pages * cost.cpu + backlog.max(0.0) * self.seconds_per_byte
    }

    /// Pages handed over within `seconds`.
    pub(crate) fn pages_within(&self, seconds: f64, cost: PageCost) -> f64 {
        let link = self.link_takes(seconds, cost);
        if link * cost.cpu <= seconds {
            link.max(0.0)
        } else {
            seconds / cost.cpu
        }
    }

    /// Pages that buffer and link take within `seconds`.
    fn link_takes(&self, seconds: f64, cost: PageCost) -> f64 {
        (seconds * self.rate + self.buffer - self.queued) / cost.bytes
    }

    /// Pages handed over when a sender that looks at the clock finds `seconds` passed, after
    /// `already` bytes since it last looked. A sender that waits for the link sees time pass in
    /// jumps: it waits until enough has left the buffer, and hands that much over at once.
    pub(crate) fn pages_at_least(&self, seconds: f64, cost: PageCost, already: f64) -> f64 {
        let link = self.link_takes(seconds, cost);
        if self.wake <= 0.0 || cost.bytes <= 0.0 || link * cost.cpu >= seconds {
            return self.pages_within(seconds, cost);
        }
        let bytes = already + link.max(0.0) * cost.bytes;
        ((bytes / self.wake).ceil() * self.wake - already) / cost.bytes
    }

    /// Hands over `pages` pages and tells the seconds it took.
    pub(crate) fn send(&mut self, pages: f64, cost: PageCost) -> f64 {
        let time = self.time_for(pages, cost);
        // Beyond the buffer's size the sender waited.
        self.queued = self.level_after(pages, cost).max(0.0).min(self.buffer);
        self.sent += pages * cost.bytes;
        time
    }

    /// The sockets have taken all they take.
    pub(crate) fn fill(&mut self) {
        self.queued = self.buffer;
    }

    /// Lets the link work for `seconds` while nothing is handed over.
    pub(crate) fn rest(&mut self, seconds: f64) {
        self.queued = (self.queued - self.rate * seconds).max(0.0);
    }

    /// Bytes in the buffer.
    pub(crate) fn queued(&self) -> f64 {
        self.queued
    }

    /// Seconds until all that was handed over has crossed the link.
    pub(crate) fn drain_time(&self) -> f64 {
        self.queued / self.rate
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_fits_in_a_time_takes_that_time(
            rate in 1e6f64..1e10,
            buffer in 0u64..4 << 20,
            send in prop::option::of(1e7f64..1e10),
            zero in 0f64..1.0,
            before in 0f64..1000.0,
            seconds in 1e-3f64..1.0,
        ) {
            let costs = HostCosts {
                socket_buffer: Bytes(buffer),
                send_rate: send.map(ByteRate),
                ..HostCosts::default()
            };
            let mut stream = Stream::new(ByteRate(rate), &costs);
            let cost = stream.cost(zero);
            stream.send(before, cost);
            let pages = stream.pages_within(seconds, cost);
            let time = stream.time_for(pages, cost);
            prop_assert!((time - seconds).abs() < 1e-6 || (pages == 0.0 && time <= seconds) || time < seconds);
            prop_assert!(stream.time_for(pages * 1.01 + 1.0, cost) > seconds - 1e-9);
        }
    }
}
