//! Replays of each hypervisor's pre-copy rules. Pure: dirt, link and
//! parameters in, passes out; time is an argument.
//!
//! ```text
//! PageHistory ─> dirt::Recording ──┐
//! DirtyCurve, constant rate ───────┴─> dirt::UnitDirt ──────> qemu::replay ─────┐
//!                          └─────────> dirt::AggregateDirt ─> textbook::replay ─┴─> Replay
//! ```
//!
//! A *source of dirt* says which memory is written between two instants; a
//! *rule set* says what a hypervisor does about it. [`qemu`] follows QEMU's
//! own loop page by page; [`textbook`] is the formula of the papers ("send
//! everything, then look"), kept for comparison; [`postcopy`] is QEMU's way
//! out where pre-copy does not converge.

pub mod dirt;
pub mod host_costs;
pub mod postcopy;
pub mod qemu;
pub mod replay;
mod stream;
pub mod textbook;

pub use host_costs::HostCosts;
pub use replay::{Pass, Replay, Switchover};
pub use stream::{PAGE_ON_STREAM, ZERO_PAGE_ON_STREAM};
