//! When to move a guest: what a move costs by the time of day, how many fit
//! within a downtime promised, and whether a consolidation pays. These are
//! what administrators ask in `akoush2010`.
//!
//! ```text
//! page histories ─> replayed() ─┐
//! recorded moves ───────────────┴─> TimedMove ─> Profile ─> start_times() ─> choose() ─> Choice
//!                                                  ├─────> Sla: moves a month
//!                                                  └─────> Consolidation: BreakEven
//! ```
//!
//! Moves are told apart by the local time of day alone, not by the day of the
//! week. A day counts as one observation however many moves were replayed in
//! it: moves of one evening resemble each other. Times of day without data are
//! unknown, never filled in from their neighbours.

mod choice;
mod consolidation;
mod day_clock;
mod profile;
mod replays;
mod sla;
mod spread;
mod timed_move;

pub use choice::{Advice, Choice, Preference, Saving, StartTime, choose, start_times};
pub use consolidation::{BreakEven, Consolidation, EnergyModel, LIU2011_ENERGY};
pub use day_clock::DayClock;
pub use profile::{CostOf, Profile, TimeCost};
pub use replays::replayed;
pub use sla::{MovesWithin, Period, Sla, SlaError};
pub use timed_move::{Origin, TimedMove};
