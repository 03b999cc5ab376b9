//! Which guests to move: what moves cost beside each other, and the cheapest set
//! of them that frees enough (`liu2011` section 3.4).
//!
//! `C = a T_down + b T_mig + c V_mig + d E_mig`, with a + b + c + d = 1. Every
//! quantity is divided by its largest value over the guests that may move, as
//! the paper asks for: that makes seconds, bytes and joules shares of 0..1 that
//! can be added, needs no constant of anybody's, and keeps what matters, the
//! proportions. The price is that the scale depends on who is compared: a cost
//! is a rank among these guests today, and no absolute figure.
//!
//! The scale is one for all, so costs add up: guests that move one after another
//! cost the sum of what each costs. [`choose`] looks for the set of least cost
//! that meets a [`Demand`]. Moving nothing is one of the options.
//!
//! ```
//! use vmferry_core::{Bytes, Millis};
//! use vmferry_model::choice::{Demand, MoveCost, Preset, Profile, Verdict, choose, rank};
//!
//! let guest = |name: &str, downtime, seconds: f64, mib| Profile {
//!     name: name.into(),
//!     memory: Some(Bytes::from_mib(512)),
//!     cpu: None,
//!     converges_probability: 1.0,
//!     cost: Some(MoveCost {
//!         downtime: Millis(downtime),
//!         total_time: Millis(seconds * 1e3),
//!         transferred: Bytes::from_mib(mib),
//!         energy: None,
//!     }),
//! };
//! let guests = [guest("database", 900.0, 20.0, 900), guest("web", 60.0, 5.0, 220)];
//! let weights = Preset::Balanced.weights().without_energy();
//! let ranking = rank(&guests, weights)?;
//! let choice = choose(&guests, &ranking, Demand::Count(1), None)?;
//! assert_eq!(choice.verdict, Verdict::Move);
//! assert_eq!(choice.pick.members, [1]);
//! # Ok::<(), vmferry_model::choice::ChoiceError>(())
//! ```

mod change;
mod cover;
mod demand;
mod error;
mod pick;
mod profile;
mod ranking;
mod terms;
mod weights;

pub use change::{ForecastChange, WeightChange};
pub use cover::ALWAYS_EXACT;
pub use demand::{Cores, Demand};
pub use error::ChoiceError;
pub use pick::{Choice, Pick, Proof, Verdict, choose};
pub use profile::{MoveCost, Profile, Worth};
pub use ranking::{Exclusion, Ranked, Ranking, rank};
pub use terms::{Term, Terms};
pub use weights::{Preset, Weights};
