//! From observations to forecasts. Pure: no clock, no I/O; the same inputs and
//! seed give the same forecast.
//!
//! ```text
//! Observation, LinkSpeed, MoveLimits, Assumptions, seed
//!    └─> Sampler: many replays of vmferry-precopy, each with its own draw of what is not known
//!          ├─> forecast()    before a move, with remedies where it does not converge
//!          └─> reforecast()  at every pass of a move
//! Observation ─> analyse(): working set, stationarity, period, the curve beyond the window
//! Forecast, Outcome ─> Accuracy
//! Pasts ─> learned::Learned ─> Predictor; leaderboard::compare() ─> Leaderboard
//! the same draws ─> DrawnMoves ─> trials of whatever steers a move
//! MoveRecords of a route ─> Experience ─> Assumptions::with()
//! Past moves ─> predictor::Fit ─> predictor::Predictor: the papers' models beside ours
//! Observation, sweep::Grid ─> sweep::sweep() ─> what a move would cost at every point, and the boundary
//! Page histories and moves by time of day ─> schedule: when to move, how often, whether it pays
//! Profiles, weights ─> choice::rank() ─> choice::choose(): which guests to move, at what cost, and what would change that
//! Profiling migrations under CPU caps ─> cpu_profile: time, rate and least CPU by cap
//! Power samples around moves ─> energy::energy_of_move ─> energy::EnergyFit ─> energy::forecast()
//! Past errors ─> conformal, drift: intervals that keep their coverage, guests that changed
//! chance: Student's t and F, for intervals of few values
//! ```

pub mod accuracy;
pub mod analysis;
pub mod assumptions;
pub mod chance;
pub mod choice;
pub mod conformal;
pub mod cpu_profile;
mod cycle;
pub mod drawn_moves;
mod draws;
pub mod drift;
pub mod energy;
mod error;
pub mod experience;
mod forecast;
pub mod leaderboard;
pub mod learned;
mod merged_history;
pub mod predictor;
mod reforecast;
mod remedies;
mod sampler;
pub mod schedule;
pub mod sweep;
mod threads;

pub use accuracy::{Accuracy, QuantityAccuracy};
pub use analysis::analyse;
pub use assumptions::{Assumptions, Factor, NINETEEN_IN_TWENTY, SocketFill};
pub use drawn_moves::DrawnMoves;
pub use error::ModelError;
pub use experience::{Estimate, Experience};
pub use forecast::{MODEL_VERSION, forecast};
pub use merged_history::at_one_pace;
pub use reforecast::{Progress, Reforecast, reforecast};
pub use remedies::SUFFICIENT_PROBABILITY;
