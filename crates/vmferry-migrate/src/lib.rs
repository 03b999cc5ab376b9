//! The driver of a supervised move: a plan, two hypervisors and a supervisor
//! meet; events come out; whatever was changed is undone.
//!
//! ```text
//! Plan ──check──> CheckedPlan ──start──> RunningMigration ──supervise──> Ended ──> Outcome
//!                     │ nothing changed yet      │ every change is in the journal first
//! guard: waits beside it; takes over when vmferry dies
//! ```
//!
//! | module | what lives there |
//! |---|---|
//! | [`preflight`] | checks before anything is changed |
//! | [`journal`], [`identity`], [`undo`] | how every change is undone, and on which QEMU |
//! | [`cpu_cap`] | caps on the CPU of a guest's virtual CPUs |
//! | [`migration_threads`] | the same for the threads that send and load the stream |
//! | [`guard`], [`takeover`] | the process that stays when vmferry dies |
//! | [`place`] | asking both ends where the guest is |
//! | [`running`], [`finish`] | following a move, and its outcome |
//! | [`steering`], `postcopy` | caps, rates and pauses while it runs; post-copy |
//! | [`event_log`] | one event stream, many readers |
//! | [`watching`] | following a migration that others started |

mod alone;
mod change;
pub mod checked;
pub mod cpu_cap;
mod crossing;
pub mod ends;
mod error;
pub mod event_log;
mod facts;
mod fence;
pub mod finish;
pub mod guard;
pub mod identity;
pub mod journal;
pub mod meters;
pub mod migration_threads;
pub mod place;
mod poller;
mod postcopy;
pub mod preflight;
mod reach;
mod reconnect;
pub mod running;
mod stall;
pub mod stamps;
pub mod state_dir;
pub mod steering;
pub mod takeover;
pub mod undo;
pub mod watching;

pub use checked::{Beginning, CheckedPlan};
pub use ends::Ends;
pub use error::{End, MigrateError, PreflightFailure};
pub use event_log::EventSink;
pub use journal::Journal;
pub use meters::Baseline;
pub use preflight::Check;
pub use running::{Ended, RunningMigration};
pub use state_dir::{MoveDir, StateDir};
pub use steering::{Steering, SteeringCost};
pub use vmferry_control::EndKind;

/// How long a stream may stand still before a move is given up.
pub const DEFAULT_STALL_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(30);
