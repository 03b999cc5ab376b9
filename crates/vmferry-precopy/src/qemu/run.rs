//! The loop itself.

use std::ops::Range;
use std::time::Duration;

use vmferry_core::{ByteRate, Bytes, PAGE_SIZE, Pages};

use super::{LogClear, Rules, Start};
use crate::dirt::{Dirt, Piece, Unsent};
use crate::host_costs::HostCosts;
use crate::replay::{Pass, Replay, Switchover, bytes, duration};
use crate::stream::{PageCost, Stream};

/// `MAX_WAIT` in ram.c: a burst ends when more than 50 whole ms have passed.
pub(super) const BURST: f64 = 0.051;
/// The clock is read once in so many pages.
pub(super) const CLOCK_EVERY: f64 = 64.0;
/// `BUFFER_DELAY` in migration.c: length of a bandwidth window.
pub(super) const WINDOW: f64 = 0.1;
/// What a QEMUFile gathers before it writes and counts: 64 pieces, which are
/// 32 pages with their headers. `max-bandwidth` is overrun by up to as much in
/// every window (5 % at 20 MB/s, measured).
const FLUSH_BYTES: f64 = 32.0 * (4096.0 + 8.0);
/// Pages that share one clearing of KVM's dirty log.
const CHUNK: Pages = Pages(1 << 18);
/// Less than a byte of a page is nothing.
const NEGLIGIBLE_PAGES: f64 = 1e-4;
/// Buffers that differ by less are filled alike.
const NEGLIGIBLE_BYTES: f64 = 1e-3;

/// Memory that shares one clearing of the dirty log.
struct Chunk {
    positions: Range<usize>,
    /// Writes before this instant are known already.
    cleared: f64,
    /// Whether the next page sent from it clears the log.
    to_clear: bool,
}

/// A bandwidth window that is over.
#[derive(Clone, Copy)]
struct Window {
    seconds: f64,
    sent: f64,
}

/// Where a bandwidth window left off.
#[derive(Clone, Copy)]
struct WindowEnd {
    /// What is sent next.
    unit: Piece,
    left_in_all: f64,
    queued: f64,
    dirty_syncs: u64,
}

pub(super) struct Run<'a, U> {
    rules: Rules,
    costs: &'a HostCosts,
    stream: Stream,
    now: f64,
    unsent: U,
    chunks: Vec<Chunk>,
    /// The chunk last sent from.
    chunk: usize,
    last_sync: f64,
    dirty_syncs: u64,
    threshold: f64,
    window_start: f64,
    window_sent: f64,
    window_end: Option<WindowEnd>,
    passes: Vec<Pass>,
    pass_sent: f64,
}

impl<'a, U: Unsent> Run<'a, U> {
    pub(super) fn new<D: Dirt<Unsent<'a> = U>>(
        dirt: &'a D,
        rules: &Rules,
        costs: &'a HostCosts,
        rate: ByteRate,
        start: &Start,
    ) -> Self {
        let unsent = dirt.unsent();
        let chunks = chunks(&unsent, rules.log_clear);
        let mut run = Self {
            rules: *rules,
            costs,
            stream: Stream::new(rate, costs),
            now: costs.setup.as_secs_f64(),
            unsent,
            chunks,
            chunk: 0,
            last_sync: costs.setup.as_secs_f64(),
            dirty_syncs: 1,
            threshold: 0.0,
            window_start: costs.setup.as_secs_f64(),
            window_sent: 0.0,
            window_end: None,
            passes: Vec::new(),
            pass_sent: 0.0,
        };
        if let Start::Underway(state) = start {
            run.now = state.elapsed.as_secs_f64();
            run.dirty_syncs = state.dirty_syncs;
            run.last_sync = state.last_sync.as_secs_f64();
            run.window_start = run.now;
            run.stream.sent = state.transferred.0 as f64;
            run.unsent
                .resume(&state.pending, state.cursor, state.never_sent);
            run.threshold = run.threshold_at(state.measured_rate.0);
            // Chunks the first pass has not reached are not cleared yet.
            for chunk in &mut run.chunks {
                chunk.cleared = run.last_sync;
                chunk.to_clear &= !state.never_sent || chunk.positions.end > state.cursor;
            }
        }
        run.window_sent = run.stream.sent;
        run.pass_sent = run.stream.sent;
        let all = run.remaining();
        run.passes.push(run.new_pass(all));
        run
    }

    /// Runs until the switchover or the deadline.
    pub(super) fn until_done(mut self, deadline: Duration) -> Replay {
        let deadline = deadline.as_secs_f64();
        let mut switchover = None;
        while switchover.is_none() && self.now <= deadline {
            switchover = self.step(deadline);
        }
        self.into_replay(switchover)
    }

    /// Goes round the loop once: looks where it is time to, then switches over
    /// or sends a burst; windows alike up to `until` at once.
    pub(super) fn step(&mut self, until: f64) -> Option<Switchover> {
        if self.remaining() < self.threshold {
            let found = self.look();
            self.end_pass();
            let pass = self.new_pass(found);
            self.passes.push(pass);
        }
        if self.unsent.pages() <= 0.0 || self.remaining() < self.threshold {
            return Some(self.switch_over());
        }
        self.burst();
        if let Some(window) = self.wait_for_the_rate() {
            self.repeat(window, until);
        }
        None
    }

    pub(super) fn into_replay(mut self, switchover: Option<Switchover>) -> Replay {
        if switchover.is_none() {
            self.end_pass();
        }
        Replay {
            passes: self.passes,
            switchover,
            total_time: duration(self.now),
            transferred: bytes(self.stream.sent),
            dirty_syncs: self.dirty_syncs,
        }
    }

    pub(super) fn now(&self) -> f64 {
        self.now
    }

    pub(super) fn transferred(&self) -> Bytes {
        bytes(self.stream.sent)
    }

    pub(super) fn passes(&self) -> &[Pass] {
        &self.passes
    }

    pub(super) fn dirty_syncs(&self) -> u64 {
        self.dirty_syncs
    }

    pub(super) fn rules_mut(&mut self) -> &mut Rules {
        // Windows to come are not like those that were.
        self.window_end = None;
        &mut self.rules
    }

    pub(super) fn set_link_rate(&mut self, rate: ByteRate) {
        self.stream.set_link(rate);
        self.window_end = None;
    }

    pub(super) fn remaining(&self) -> f64 {
        self.unsent.pages() * PAGE_SIZE.0 as f64
    }

    fn new_pass(&self, dirtied: f64) -> Pass {
        Pass {
            start: duration(self.now),
            dirtied: bytes(dirtied),
            remaining: bytes(self.remaining()),
            sent: bytes(0.0),
        }
    }

    fn end_pass(&mut self) {
        if let Some(pass) = self.passes.last_mut() {
            pass.sent = bytes(self.stream.sent - self.pass_sent);
        }
        self.pass_sent = self.stream.sent;
    }

    /// Looks at the dirty log and tells the bytes of memory newly dirtied.
    fn look(&mut self) -> f64 {
        let mut added = 0.0;
        for chunk in &mut self.chunks {
            let since = if chunk.to_clear {
                self.last_sync
            } else {
                chunk.cleared
            };
            added += self.unsent.look(chunk.positions.clone(), since, self.now);
            match self.rules.log_clear {
                LogClear::AtSync => chunk.cleared = self.now,
                LogClear::ChunkOnSend => chunk.to_clear = true,
            }
        }
        self.last_sync = self.now;
        self.dirty_syncs += 1;
        added * PAGE_SIZE.0 as f64
    }

    /// Sends until the slice's bytes or the burst's time are used up, or
    /// nothing is left.
    fn burst(&mut self) {
        let (started, sent_before) = (self.now, self.stream.sent);
        // Pages after which the clock is read and found past the limit.
        let mut count = 0.0;
        let mut last_page = f64::INFINITY;
        while let Some(piece) = self.unsent.next() {
            self.clear_chunk_of(piece.position);
            let cost = self.stream.cost(piece.zero);
            if last_page.is_infinite() {
                let left = (started + BURST - self.now).max(0.0);
                // Most pieces are sent long before the burst ends.
                let fits = self.stream.time_for(piece.pages, cost) < left;
                if fits && piece.pages * cost.bytes < self.slice_left() - 1.0 {
                    self.now += self.stream.send(piece.pages, cost);
                    self.unsent.take(piece.pages);
                    count += piece.pages;
                    continue;
                }
                let already = self.stream.sent - sent_before;
                let fits = self.stream.pages_at_least(left, cost, already);
                if fits < piece.pages {
                    last_page = ((count + fits) / CLOCK_EVERY).floor() * CLOCK_EVERY + CLOCK_EVERY;
                }
            }
            let pages = piece
                .pages
                .min(last_page - count)
                .min(self.slice_left() / cost.bytes);
            self.now += self.stream.send(pages, cost);
            self.unsent.take(pages);
            count += pages;
            if count >= last_page - NEGLIGIBLE_PAGES || self.slice_left() < 1.0 {
                break;
            }
        }
    }

    fn clear_chunk_of(&mut self, position: usize) {
        if self.rules.log_clear == LogClear::AtSync {
            return;
        }
        if !self.chunks[self.chunk].positions.contains(&position) {
            self.chunk = self
                .chunks
                .partition_point(|chunk| chunk.positions.end <= position);
        }
        let chunk = &mut self.chunks[self.chunk];
        if chunk.to_clear {
            chunk.cleared = self.now;
            chunk.to_clear = false;
        }
    }

    /// Bytes that `max-bandwidth` still allows in this window.
    fn slice_left(&self) -> f64 {
        match self.rules.max_bandwidth {
            Some(rate) => (slice(rate) - (self.stream.sent - self.window_sent)).max(0.0),
            None => f64::INFINITY,
        }
    }

    /// `migration_rate_limit`: sleeps off the rest of a window whose bytes are
    /// used up, and takes the threshold anew where a window has ended, which it
    /// returns.
    fn wait_for_the_rate(&mut self) -> Option<Window> {
        let end = self.window_start + WINDOW;
        if self.now < end && self.slice_left() < 1.0 {
            self.stream.rest(end - self.now);
            self.now = end;
        }
        if self.now < end {
            return None;
        }
        let window = Window {
            seconds: self.now - self.window_start,
            sent: self.stream.sent - self.window_sent,
        };
        self.threshold = self.threshold_at(window.sent / window.seconds);
        self.window_start = self.now;
        self.window_sent = self.stream.sent;
        Some(window)
    }

    /// Goes through windows alike at once. Within a large unit nothing tells
    /// one window from the next: where the last one sent from one unit only and
    /// left the buffers as it found them, all that follow do the same until the
    /// unit, what lies above the threshold, or the time comes to its end. (A
    /// guest of 1 TiB takes thousands of windows and differs in hundreds.)
    fn repeat(&mut self, window: Window, deadline: f64) {
        let Some(unit) = self.unsent.coming_unit() else {
            return;
        };
        let here = WindowEnd {
            unit,
            left_in_all: self.unsent.pages(),
            queued: self.stream.queued(),
            dirty_syncs: self.dirty_syncs,
        };
        let Some(before) = self.window_end.replace(here) else {
            return;
        };
        let pages = before.unit.pages - unit.pages;
        let alike = before.unit.position == unit.position
            && before.dirty_syncs == here.dirty_syncs
            && pages > 0.0
            && (before.left_in_all - here.left_in_all - pages).abs() < NEGLIGIBLE_PAGES
            && (before.queued - here.queued).abs() < NEGLIGIBLE_BYTES;
        if !alike {
            return;
        }
        // The window that ends with another unit's pages is left to be gone
        // through.
        let in_unit = unit.pages / pages;
        let above = (self.remaining() - self.threshold) / (pages * PAGE_SIZE.0 as f64);
        let in_time = (deadline - self.now) / window.seconds;
        let times = in_unit.min(above).min(in_time).floor();
        if times < 1.0 {
            return;
        }
        self.now += times * window.seconds;
        self.stream.sent += times * window.sent;
        // The scan stands at the unit: part of it is sent.
        self.unsent.take(times * pages);
        self.window_start = self.now;
        self.window_sent = self.stream.sent;
        self.window_end = self.unsent.coming_unit().map(|unit| WindowEnd {
            unit,
            left_in_all: self.unsent.pages(),
            ..here
        });
    }

    fn threshold_at(&self, rate: f64) -> f64 {
        let rate = self
            .rules
            .switchover_bandwidth
            .map_or(rate, |given| given.0);
        rate * self.rules.downtime_limit.as_secs_f64()
    }

    /// `migration_completion`: stops the guest, looks once more, sends the
    /// rest and the devices without a rate limit.
    pub(super) fn switch_over(&mut self) -> Switchover {
        let began = self.now;
        let sent_before = self.stream.sent;
        let stop = self.costs.stop.as_secs_f64();
        self.stream.rest(stop);
        self.now += stop;
        let stopped = self.now;
        self.look();
        while let Some(piece) = self.unsent.next() {
            let cost = self.stream.cost(piece.zero);
            self.now += self.stream.send(piece.pages, cost);
            self.unsent.take(piece.pages);
        }
        let devices = PageCost {
            bytes: self.costs.device_state.0 as f64,
            cpu: self.costs.device_save.as_secs_f64(),
        };
        self.now += self.stream.send(1.0, devices);
        self.pass_sent = self.stream.sent;
        let destination = self.stream.drain_time() + self.costs.destination_start.as_secs_f64();
        let resumed = self.now + destination;
        if self.rules.return_path {
            // The source waits until the destination says that it has the guest.
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

/// Bytes that a rate allows in one window, whole writes only.
pub(super) fn slice(rate: ByteRate) -> f64 {
    (rate.0 * WINDOW / FLUSH_BYTES).ceil() * FLUSH_BYTES
}

/// Cuts memory into chunks that share one clearing of the dirty log.
fn chunks(unsent: &impl Unsent, clear: LogClear) -> Vec<Chunk> {
    let ranges = match clear {
        LogClear::AtSync => std::iter::once(0..unsent.positions()).collect(),
        LogClear::ChunkOnSend => unsent.chunks(CHUNK),
    };
    let chunk = |positions| Chunk {
        positions,
        cleared: 0.0,
        to_clear: true,
    };
    ranges.into_iter().map(chunk).collect()
}
