//! What a host is to be rid of.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vmferry_core::Bytes;

use super::error::ChoiceError;
use super::profile::Profile;

/// Processor time in use, in cores: 1 is one core all the time.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, PartialOrd, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct Cores(pub f64);

impl fmt::Display for Cores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} cores", self.0)
    }
}

/// What a host is to be rid of.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Demand {
    /// So many guests.
    Count(u32),
    /// Guests that have at least so much memory.
    #[serde(rename = "memory_bytes")]
    Memory(Bytes),
    /// Guests that use at least so much processor time.
    #[serde(rename = "cpu_cores")]
    Cpu(Cores),
}

impl Demand {
    /// How much is asked for, in its own unit.
    pub fn amount(&self) -> f64 {
        match self {
            Self::Count(count) => f64::from(*count),
            Self::Memory(bytes) => bytes.0 as f64,
            Self::Cpu(cores) => cores.0,
        }
    }

    /// How much a guest frees, in the same unit; `None` where that is unknown.
    pub fn freed_by(&self, profile: &Profile) -> Option<f64> {
        match self {
            Self::Count(_) => Some(1.0),
            Self::Memory(_) => profile.memory.map(|memory| memory.0 as f64),
            Self::Cpu(_) => profile.cpu.map(|cpu| cpu.0),
        }
    }

    /// An amount in this unit, for people.
    pub fn shown(&self, amount: f64) -> String {
        match self {
            Self::Count(_) if amount == 1.0 => "1 guest".to_owned(),
            Self::Count(_) => format!("{amount:.0} guests"),
            Self::Memory(_) => Bytes(amount.max(0.0).round() as u64).to_string(),
            Self::Cpu(_) => Cores(amount).to_string(),
        }
    }

    pub(super) fn check(&self) -> Result<(), ChoiceError> {
        let amount = self.amount();
        if amount.is_finite() && amount > 0.0 {
            return Ok(());
        }
        Err(ChoiceError::Demand {
            what: self.to_string(),
        })
    }
}

impl fmt::Display for Demand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown(self.amount()))
    }
}
