//! Replays of each hypervisor's pre-copy rules. Pure: dirt, link and
//! parameters in, passes out; time is an argument.
//!
//! ```text
//! PageHistory ─> dirt::Recording ─┐
//! dirt::PageTrace ────────────────┤               ┌─> qemu, xen_legacy ─┐
//! DirtyCurve, constant rate ──────┴─> dirt::Dirt ─┤                     ├─> Replay
//! DirtyCurve alone ─────────────> AggregateDirt ──┴─> xen, textbook ────┘
//! ```
//!
//! A *source of dirt* says which memory is written between two instants; a
//! *rule set* says what a hypervisor does about it, [`RuleSet`] is any of them.
//! [`qemu`] follows QEMU's own loop page by page, [`xen`] that of libxc,
//! [`xen_legacy`] that of the papers' Xen 3; [`textbook`] is the formula of the
//! papers ("send everything, then look"), kept for comparison; [`postcopy`] is
//! QEMU's way out where pre-copy does not converge. Where only amounts are
//! known, each has a closed form.

pub mod dirt;
pub mod host_costs;
pub mod postcopy;
pub mod qemu;
pub mod replay;
mod rounds;
pub mod rule_set;
mod stream;
pub mod textbook;
pub mod tuning;
pub mod xen;
pub mod xen_legacy;

pub use host_costs::HostCosts;
pub use replay::{Pass, Replay, Switchover};
pub use rule_set::RuleSet;
pub use stream::{PAGE_ON_STREAM, ZERO_PAGE_ON_STREAM};
