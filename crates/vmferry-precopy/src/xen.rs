//! Pre-copy of today's libxc (`tools/libs/guest/xg_sr_save.c`, since the
//! stream's version 2 of Xen 4.6).
//!
//! Rounds that send all that the look before found. The policy is a constant:
//! fewer than 50 pages, or the fifth round, and the guest is stopped. Neither
//! the link nor a downtime limit has a say. The round of fewer than 50 pages is
//! still sent while the guest runs, and what is written in it is looked up with
//! the guest stopped. Pages without content are sent like all others: libxc
//! does not look for them. Where a page lies does not matter, so amounts are
//! all that is needed.

use std::time::Duration;

use vmferry_core::{ByteRate, Pages};

use crate::dirt::AggregateDirt;
use crate::host_costs::HostCosts;
use crate::replay::Replay;
use crate::rounds::{AmountToSend, Limits, Rounds};
use crate::tuning::Tuning;

/// `SPP_MAX_ITERATIONS` and `SPP_TARGET_DIRTY_COUNT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Most rounds with the guest running, the first of all memory included.
    pub max_rounds: u64,
    /// A round of fewer pages is the last.
    pub few_pages: Pages,
}

impl Default for Rules {
    /// 5 rounds, 50 pages.
    fn default() -> Self {
        Self {
            max_rounds: 5,
            few_pages: Pages(50),
        }
    }
}

/// Replays a migration over a link that carries `rate` bytes of stream per
/// second; gives up when a round ends after `deadline`. `tuning` decides
/// before each round; [`crate::tuning::Untuned`] leaves things as they are.
pub fn replay<D: AggregateDirt>(
    dirt: &D,
    rules: &Rules,
    costs: &HostCosts,
    rate: ByteRate,
    tuning: &mut impl Tuning,
    deadline: Duration,
) -> Replay {
    let limits = Limits {
        max_rounds: Some(rules.max_rounds),
        few_pages: Some(rules.few_pages),
        ..Limits::default()
    };
    let to_send = AmountToSend::new(dirt);
    Rounds::new(dirt, to_send, limits, costs, rate).until_done(tuning, deadline)
}
