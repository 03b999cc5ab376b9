//! Power and energy as types, with only the operators that make physical sense.

use std::fmt;
use std::ops::{Add, Div, Mul, Sub};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A power, in watts.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, PartialOrd, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct Watts(pub f64);

/// An energy, in joules.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, PartialOrd, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct Joules(pub f64);

impl Watts {
    /// Whether a host can draw that: more than nothing, [`MOST_POWER`] at most.
    pub fn is_of_a_host(self) -> bool {
        self.0 > 0.0 && self.0 <= MOST_POWER.0
    }
}

impl Mul<Duration> for Watts {
    type Output = Joules;
    fn mul(self, rhs: Duration) -> Joules {
        Joules(self.0 * rhs.as_secs_f64())
    }
}
/// The time in which a power makes up an energy; no power takes for ever:
/// [`Duration::MAX`].
impl Div<Watts> for Joules {
    type Output = Duration;
    fn div(self, rhs: Watts) -> Duration {
        Duration::try_from_secs_f64(self.0 / rhs.0).unwrap_or(Duration::MAX)
    }
}
impl Add for Joules {
    type Output = Self;
    fn add(self, rhs: Self) -> Self {
        Self(self.0 + rhs.0)
    }
}
impl Mul<f64> for Joules {
    type Output = Self;
    fn mul(self, rhs: f64) -> Self {
        Self(self.0 * rhs)
    }
}

/// What one power is above the other; negative where it is below.
impl Sub for Watts {
    type Output = Self;
    fn sub(self, rhs: Self) -> Self {
        Self(self.0 - rhs.0)
    }
}

/// A host's power over a span of time: its mean as an energy counter tells it,
/// or what a meter read at the end of the span.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PowerSample {
    /// When the span began: the reading before. Since the series began.
    pub from: Duration,
    /// When it ended: this reading.
    pub until: Duration,
    /// The power.
    pub power: Watts,
}

impl PowerSample {
    /// Length of the span.
    pub fn span(&self) -> Duration {
        self.until.saturating_sub(self.from)
    }
}

/// No host takes more: a reading above it is a fault of the meter. The
/// largest servers (eight accelerators) take some 10 kW.
pub const MOST_POWER: Watts = Watts(50_000.0);

impl fmt::Display for Watts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.0} W", self.0)
    }
}
impl fmt::Display for Joules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 >= 10_000.0 {
            write!(f, "{:.1} kJ", self.0 / 1e3)
        } else {
            write!(f, "{:.0} J", self.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn power_over_time_is_energy() {
        assert_eq!(Watts(180.0) * Duration::from_secs(60), Joules(10_800.0));
        assert_eq!(Joules(10_800.0) / Watts(180.0), Duration::from_secs(60));
        assert_eq!(Joules(1.0) / Watts(0.0), Duration::MAX);
        assert_eq!(Joules(10_800.0).to_string(), "10.8 kJ");
    }
}
