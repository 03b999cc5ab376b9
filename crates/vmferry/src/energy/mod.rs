//! What moves cost in energy: measured, fitted, forecast.
//!
//! [`measure_next_move`] and [`measure_logged_moves`] append a measurement to
//! the history for every move; [`fit`] makes profiles of them; forecasts of
//! later moves look up the profile of their hosts. A measurement that fails
//! loses none that came before.

mod fitting;
mod forecast;
mod logged;
mod measurement;
mod measuring;
mod profile;
mod report;
mod table;

pub use fitting::{HostFilter, fit, fit_table};
pub use forecast::{EnergyForecast, MeteredHosts};
pub(crate) use forecast::{HostNames, energy_forecast};
pub use logged::measure_logged_moves;
pub use measurement::{EnergyMeasurement, HostEnergy};
pub(crate) use measuring::Series;
pub use measuring::{MeterOptions, MeterPair, check_meters, measure_next_move, meter_next_move};
pub use profile::{EnergyProfile, ProfiledSide};
pub use report::{EnergyReport, MeterCheck, list};
pub use vmferry_measure::power::SampleOptions;
pub use vmferry_measure::power::{MeterSpec, PowerError};
pub use vmferry_model::energy::{Background, EnergyError, EnergyFit, MoveEnergy, Stability};
