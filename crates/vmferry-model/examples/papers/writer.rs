//! A guest that writes evenly, moved under Xen 3's rules.

use std::time::Duration;

use vmferry_core::{ByteRate, Bytes, PAGE_SIZE, Ratio};
use vmferry_precopy::dirt::{AggregateDirt, ConstantDirt, Dirt, Writes};
use vmferry_precopy::tuning::{Tuning, Untuned};
use vmferry_precopy::xen_legacy::{Rules, replay, replay_amount};
use vmferry_precopy::{HostCosts, PAGE_ON_STREAM, Replay};

/// No move on the page takes longer.
const DEADLINE: Duration = Duration::from_secs(86_400);

/// Hosts that cost nothing but a pause at the end of every move.
pub(crate) fn hosts(pause: Duration) -> HostCosts {
    HostCosts {
        setup: Duration::ZERO,
        zero_scan_rate: ByteRate(1e15),
        send_rate: None,
        socket_buffer: Bytes(0),
        socket_wake: Bytes(0),
        stop: Duration::ZERO,
        device_state: Bytes(0),
        device_save: Duration::ZERO,
        destination_start: pause,
    }
}

/// A link that carries `mbit` Mbit/s of memory; the headers of pages come on top.
pub(crate) fn of_memory(mbit: f64) -> ByteRate {
    ByteRate::from_mbit_per_s(mbit) * Ratio(PAGE_ON_STREAM.0 as f64 / PAGE_SIZE.0 as f64)
}

/// A guest that writes pages of a set in turn, at a constant rate.
#[derive(Clone, Copy)]
pub(crate) struct Writer {
    pub(crate) memory: Bytes,
    /// What it writes; the rest of its memory it never does.
    pub(crate) set: Bytes,
    pub(crate) mbit: f64,
    pub(crate) writes: Writes,
}

impl Writer {
    /// Writes all its memory, page after page: the guest of AVG.
    pub(crate) const fn all(memory: Bytes, mbit: f64) -> Self {
        Self {
            memory,
            set: memory,
            mbit,
            writes: Writes::Sequential,
        }
    }

    pub(crate) fn dirt(&self) -> ConstantDirt {
        let rate = ByteRate::from_mbit_per_s(self.mbit);
        let (set, all) = (self.set.pages(), self.memory.pages());
        ConstantDirt::new(rate, set, self.writes, all, Ratio(0.0))
    }
}

/// What a move came to.
#[derive(Clone, Copy)]
pub(crate) struct Move {
    pub(crate) total_s: f64,
    pub(crate) downtime_s: f64,
    /// Bytes of stream over bytes of memory.
    pub(crate) sent: f64,
    /// Rounds with the guest running.
    pub(crate) rounds: usize,
}

impl Move {
    fn of(replay: &Replay, all: f64) -> Self {
        Self {
            total_s: replay.total_time.as_secs_f64(),
            downtime_s: replay
                .switchover
                .map_or(f64::NAN, |end| end.downtime.as_secs_f64()),
            sent: replay.transferred.0 as f64 / (all * PAGE_ON_STREAM.0 as f64),
            rounds: replay.passes.len(),
        }
    }

    /// Page by page.
    pub(crate) fn by_pages(dirt: &impl Dirt, rules: &Rules, link: ByteRate, pause: f64) -> Self {
        Self::tuned(dirt, rules, link, pause, &mut Untuned)
    }

    /// The same with a rate set before every round.
    pub(crate) fn tuned(
        dirt: &impl Dirt,
        rules: &Rules,
        link: ByteRate,
        pause: f64,
        tuning: &mut impl Tuning,
    ) -> Self {
        let costs = hosts(Duration::from_secs_f64(pause));
        let found = replay(dirt, rules, &costs, link, tuning, DEADLINE);
        Self::of(&found, dirt.total().pages())
    }

    /// From amounts alone, as AVG does.
    pub(crate) fn by_amount(
        dirt: &impl AggregateDirt,
        rules: &Rules,
        link: ByteRate,
        pause: f64,
    ) -> Self {
        let costs = hosts(Duration::from_secs_f64(pause));
        let found = replay_amount(dirt, rules, &costs, link, &mut Untuned, DEADLINE);
        Self::of(&found, dirt.total().pages())
    }
}
