//! What moves cost in energy (`liu2011` section 3.3).
//!
//! ```text
//! PowerSamples ─> Background::of() ─> energy_of_move()      E = sum (P_t - P_0) dt        eq. 16
//! (traffic, energy) of several moves ─> EnergyFit::of()     E = alpha V + beta            eq. 15
//! fits of both hosts, forecast traffic ─> forecast()        alpha_s + alpha_d, beta_s + beta_d   eq. 14
//! ```

mod background;
mod error;
mod fit;
mod forecast;
mod moved;

pub use background::{Background, Stability};
pub use error::EnergyError;
pub use fit::{EnergyFit, FittedPoint, LEAST_POINTS};
pub use forecast::forecast;
pub use moved::{MoveEnergy, energy_above, energy_of_move};
