//! Pre-copy as papers simulate it: send everything, then look.
//!
//! Each round sends all that remains and then learns what was dirtied
//! meanwhile; it ends when the rest fits within the downtime limit (AVG and
//! HIST of `akoush2010`; `liu2011` eq. 1-8 with T_i from the source of dirt;
//! Gudkov's `predict_migration`, qemu-devel 2023). QEMU does not work like
//! this: see [`crate::qemu`].

use std::time::Duration;

use vmferry_core::{ByteRate, Bytes, PAGE_SIZE};

use crate::dirt::AggregateDirt;
use crate::replay::{Pass, Replay, Switchover, bytes, duration};

/// What the formula needs to know.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    /// The rest may be sent with the guest stopped when it takes no longer
    /// than this; `None` stops the guest at once.
    pub downtime_limit: Option<Duration>,
    /// Bytes of the stream for a zero page.
    pub zero_page: Bytes,
    /// Most rounds.
    pub max_rounds: u64,
}

impl Default for Rules {
    /// 300 ms, 8 bytes a zero page, 10,000 rounds.
    fn default() -> Self {
        Self {
            downtime_limit: Some(Duration::from_millis(300)),
            zero_page: Bytes(8),
            max_rounds: 10_000,
        }
    }
}

/// Replays a migration at `rate` bytes per second of stream, until `deadline`.
pub fn replay<D: AggregateDirt>(
    dirt: &D,
    rules: &Rules,
    rate: ByteRate,
    deadline: Duration,
) -> Replay {
    let total = dirt.total();
    let mut now = 0.0;
    let mut remaining = total;
    let mut transferred = 0.0;
    let mut passes = Vec::new();
    let mut switchover = None;
    let limit = rules
        .downtime_limit
        .map_or(f64::INFINITY, |limit| limit.as_secs_f64());
    for round in 0..rules.max_rounds {
        let amount = remaining.on_stream(rules.zero_page);
        let time = amount / rate.0.max(1.0);
        if time <= limit {
            switchover = Some(Switchover {
                start: duration(now),
                downtime: duration(time),
                qemu_downtime: duration(time),
                sent: bytes(amount),
            });
            now += time;
            transferred += amount;
            break;
        }
        let memory = bytes((remaining.normal + remaining.zero) * PAGE_SIZE.0 as f64);
        passes.push(Pass {
            start: duration(now),
            dirtied: memory,
            remaining: memory,
            sent: bytes(amount),
        });
        transferred += amount;
        let next = dirt.dirtied(now, now + time);
        now += time;
        // The same at every instant: an equal round repeats for ever.
        let stuck = dirt.is_stationary()
            && round > 0
            && (next.normal - remaining.normal).abs() < 1e-9 * remaining.normal;
        remaining = next;
        if stuck || duration(now) > deadline {
            break;
        }
    }
    Replay {
        dirty_syncs: passes.len() as u64 + u64::from(switchover.is_some()),
        passes,
        switchover,
        total_time: duration(now),
        transferred: bytes(transferred),
    }
}
