//! QEMU's pre-copy loop (`migration/migration.c`, `migration/ram.c`, 8.2 to 10).
//!
//! The migration thread sends for at most 50 ms, then estimates what remains.
//! Below the *threshold* (bandwidth of the last window times the downtime
//! limit) it looks at the dirty log; if the sum is still below, it switches
//! over, else it goes on. So passes leave just under a threshold behind, and
//! the end is reached when what one short pass dirties fits into the gap.

mod amount;
mod run;
mod start;
mod stepped;

use std::time::Duration;

use vmferry_core::ByteRate;

use crate::dirt::{AggregateDirt, Dirt};
use crate::host_costs::HostCosts;
use crate::replay::Replay;
pub use start::{AmountUnderway, Course, Start, Underway};
pub use stepped::Stepped;

/// When a page's dirty log is cleared: writes before that are not seen as new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogClear {
    /// With every look (TCG: the look resets the soft TLB).
    AtSync,
    /// When the first page of a chunk of 256 Ki pages is sent (KVM's manual
    /// protect, `clear-bitmap-shift` 18).
    ChunkOnSend,
}

/// What QEMU is set to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    /// `downtime-limit`.
    pub downtime_limit: Duration,
    /// `max-bandwidth`, bytes of stream per second; `None` is unlimited (0).
    pub max_bandwidth: Option<ByteRate>,
    /// `avail-switchover-bandwidth`, where set.
    pub switchover_bandwidth: Option<ByteRate>,
    /// When the dirty log is cleared.
    pub log_clear: LogClear,
    /// Capability `return-path`: the source's clocks stop when the destination
    /// has loaded the guest, not when the last byte is in its socket. vmferry
    /// turns it on, so that a failing destination costs no guest.
    pub return_path: bool,
}

impl Default for Rules {
    /// QEMU's defaults: 300 ms, 128 MiB/s; the dirty log as under TCG.
    fn default() -> Self {
        Self {
            downtime_limit: Duration::from_millis(300),
            max_bandwidth: Some(ByteRate::from_mib_per_s(128.0)),
            switchover_bandwidth: None,
            log_clear: LogClear::AtSync,
            return_path: true,
        }
    }
}

/// Replays a migration over a link that carries `rate` bytes of stream per
/// second, until it ends or `deadline` has passed since the command.
pub fn replay<D: Dirt>(
    dirt: &D,
    rules: &Rules,
    costs: &HostCosts,
    rate: ByteRate,
    start: &Start,
    deadline: Duration,
) -> Replay {
    run::Run::new(dirt, rules, costs, rate, start).until_done(deadline)
}

/// Replays a migration from its beginning where only amounts are known: pass by
/// pass instead of burst by burst, which takes microseconds whatever the size
/// of the guest. Differs from [`replay`] where pages' addresses matter: written
/// pages are taken to lie anywhere, the dirty log is cleared with every look.
pub fn replay_amount<D: AggregateDirt>(
    dirt: &D,
    rules: &Rules,
    costs: &HostCosts,
    rate: ByteRate,
    deadline: Duration,
) -> Replay {
    amount::AmountRun::new(dirt, rules, costs, rate).until_done(deadline)
}

/// As [`replay_amount`], taking up a move under way: its passes are those from
/// the one now running on. A rate in the course stands for
/// [`Rules::max_bandwidth`]; bytes are counted from here.
pub fn replay_amount_from<D: AggregateDirt>(
    dirt: &D,
    rules: &Rules,
    costs: &HostCosts,
    rate: ByteRate,
    state: &AmountUnderway,
    course: &Course,
    deadline: Duration,
) -> Replay {
    let mut run = amount::AmountRun::new(dirt, rules, costs, rate);
    run.resume(state, course);
    run.until_done(deadline)
}
