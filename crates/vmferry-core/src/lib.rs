//! The vocabulary of vmferry. No I/O, no clock, no async: plain values that
//! travel from observation to history.
//!
//! ```text
//! Observation ──> DirtyCurve, PageMix, PageHistory ─┐
//! LinkSpeed, Plan ──────────────────────────────────┴─> Forecast ──> Event ... ──> Outcome ──> MoveRecord
//! ```
//!
//! # Glossary
//! | term | meaning here |
//! |---|---|
//! | *guest* | the virtual machine that moves; named by a [`GuestUri`] |
//! | *source*, *destination* | the two ends of a move |
//! | *pre-copy* | memory is sent while the guest runs, in *passes* |
//! | *pass* (*round*, *iteration*) | what is sent between two synchronisations of the dirty bitmap |
//! | *dirty rate* | unique bytes written per second within a window; falls with the window's length |
//! | *dirty curve* U(t) | unique bytes dirtied within a window of length t ([`DirtyCurve`]) |
//! | *writable working set* | the memory that is written again and again |
//! | *page mix* | shares of zero and other pages ([`PageMix`]) |
//! | *convergence* | what remains fits within the downtime limit, so pre-copy ends by itself |
//! | *switchover* | source stops, the rest is sent, destination resumes |
//! | *downtime* | from STOP at the source to RESUME at the destination ([`Outcome::downtime_ms`]) |
//! | *total migration time* | from the command to its completion (QEMU's `total-time`) |
//! | *transferred bytes* | what the hypervisor counts as sent (QEMU's `ram.transferred`) |
//! | *wire bytes* | what the network interface counted, frames included |
//! | *slowdown* | share of the guest's work lost during the move, 0..1 |
//! | *technique* | how memory is moved: pre-copy and its variants, post-copy ([`Technique`]) |
//! | *imported migration* | one that somebody else made and measured ([`ImportedMigration`]) |
//! | *place* | where the guest runs after a move ([`Place`]) |
//! | *promise* | what the operator was promised that a move costs at most ([`Promise`]) |
//! | *throttle* | who slows the guest down so that its move keeps to a promise ([`Throttle`]) |
//! | *cap* | share of the CPU time it uses that a guest gets |
//! | *relaxation* | the least change to a promise with which it can be kept ([`Relaxation`]) |
//! | *remedy* | the least change that makes a move converge ([`Remedy`]) |

pub mod analysis;
pub mod dirty_curve;
pub mod energy;
pub mod event;
pub mod exit_code;
pub mod fitted_curve;
pub mod forecast;
pub mod guest;
pub mod guest_uri;
pub mod imported;
pub mod interval;
pub mod link;
pub mod observation;
pub mod outcome;
pub mod page_history;
pub mod page_mix;
pub mod phase;
pub mod plan;
pub mod promise;
pub mod promise_forecast;
pub mod quantity;
pub mod record;
pub mod remedy;
pub mod scatter;
pub mod stream_uri;
pub mod technique;
pub mod units;

pub use analysis::{Analysis, Stationarity};
pub use dirty_curve::{CurvePoint, DirtyCurve};
pub use energy::{Joules, MOST_POWER, PowerSample, Watts};
pub use event::MoveEvent;
pub use exit_code::ExitCode;
pub use fitted_curve::{FittedCurve, FittedSet};
pub use forecast::{Forecast, ModelInfo, Uncorrected};
pub use guest::{GuestInfo, HostInfo, RamBlock};
pub use guest_uri::GuestUri;
pub use imported::ImportedMigration;
pub use interval::Interval;
pub use link::{LinkSource, LinkSpeed};
pub use observation::{Observation, ObservationCost, ObservationMethod, ObservationSummary};
pub use outcome::{DowntimeClock, Outcome, OutcomeStatus, PassRecord, Place};
pub use page_history::{COUNTED_WEIGHT, PageHistory, SampledPage, set_bits};
pub use page_mix::PageMix;
pub use phase::MigrationStatus;
pub use plan::Plan;
pub use promise::{Missed, Preset, Promise, Throttle};
pub use promise_forecast::{Change, MovedBy, PromiseForecast, Relaxation};
pub use record::MoveRecord;
pub use remedy::{Remedy, RemedyKind};
pub use scatter::scattered;
pub use stream_uri::StreamUri;
pub use technique::Technique;
pub use units::{ByteRate, Bytes, Millis, PAGE_SIZE, Pages, Ratio};

/// Version of every JSON document vmferry writes. Raised when a field changes
/// its meaning or goes away; new fields do not raise it.
pub const SCHEMA_VERSION: u32 = 1;
