//! How often a guest may move within a downtime promised.

use std::str::FromStr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use vmferry_core::Millis;
use vmferry_core::quantity::{parse_ratio, parse_span};

/// A month as it is counted here.
const MONTH: Duration = Duration::from_secs(30 * 86_400);

/// The span over which a downtime is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Period {
    /// 24 hours.
    Day,
    /// 7 days.
    Week,
    /// 30 days.
    Month,
    /// 365 days.
    Year,
}

impl Period {
    /// Its length.
    pub const fn length(self) -> Duration {
        let days = match self {
            Self::Day => 1,
            Self::Week => 7,
            Self::Month => 30,
            Self::Year => 365,
        };
        Duration::from_secs(days * 86_400)
    }

    /// Its name, as in `10s/day`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Year => "year",
        }
    }
}

/// A downtime promised: at most so much within every period.
///
/// ```
/// use vmferry_model::schedule::Sla;
/// let sla: Sla = "99.9%".parse()?;
/// assert_eq!(sla.downtime_ms.0.round(), 43.2 * 60e3);
/// # Ok::<(), vmferry_model::schedule::SlaError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Sla {
    /// Most downtime within a period.
    pub downtime_ms: Millis,
    /// The period.
    pub period: Period,
}

/// Why a text is no [`Sla`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "`{text}` is no downtime promised: {reason}; write for example 99.9%, 43m/month or 10s/day"
)]
pub struct SlaError {
    text: String,
    reason: String,
}

/// How many moves fit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MovesWithin {
    /// Whole moves within one period.
    pub per_period: u64,
    /// The same for a month of 30 days.
    pub per_month: f64,
}

impl Sla {
    /// How many moves that cost `each` fit. What one period leaves over does
    /// not serve the next: 10 s a day allow one move of 6 s a day, 30 a month,
    /// and not 50. `None` of moves that cost nothing.
    pub fn moves(&self, each: Millis) -> Option<MovesWithin> {
        if each.0 <= 0.0 || each.0.is_nan() {
            return None;
        }
        // So that 300 ms fit ten times into 3 s.
        let per_period = (self.downtime_ms.0 / each.0 * (1.0 + 1e-9)).floor();
        let periods = MONTH.as_secs_f64() / self.period.length().as_secs_f64();
        Some(MovesWithin {
            per_period: per_period as u64,
            per_month: per_period * periods,
        })
    }
}

impl FromStr for Sla {
    type Err = SlaError;

    fn from_str(text: &str) -> Result<Self, SlaError> {
        let fail = |reason: String| SlaError {
            text: text.to_owned(),
            reason,
        };
        let trimmed = text.trim();
        let (amount, period) = match trimmed.split_once('/') {
            Some((amount, period)) => {
                let period = match period.trim().to_ascii_lowercase().as_str() {
                    "d" | "day" => Period::Day,
                    "w" | "week" => Period::Week,
                    "month" | "mo" => Period::Month,
                    "y" | "year" => Period::Year,
                    other => return Err(fail(format!("the period `{other}` is unknown"))),
                };
                (amount.trim(), period)
            }
            None => (trimmed, Period::Month),
        };
        let length = period.length();
        let downtime = if amount.ends_with('%') {
            let available = parse_ratio(amount).map_err(|error| fail(error.to_string()))?;
            let allowed = 1.0 - available.0;
            if allowed <= 0.0 {
                return Err(fail("it allows no downtime at all, so no move".to_owned()));
            }
            length.mul_f64(allowed)
        } else if trimmed.contains('/') {
            parse_span(amount).map_err(|error| fail(error.to_string()))?
        } else {
            return Err(fail("it says neither a share nor a period".to_owned()));
        };
        if downtime >= length {
            return Err(fail(
                "it allows more downtime than the period is long".to_owned(),
            ));
        }
        Ok(Self {
            downtime_ms: downtime.into(),
            period,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moves(sla: &str, each_ms: f64) -> (u64, f64) {
        let sla: Sla = sla.parse().unwrap();
        let within = sla.moves(Millis(each_ms)).unwrap();
        (within.per_period, (within.per_month * 1e3).round() / 1e3)
    }

    #[test]
    fn moves_by_hand() {
        // 99.9 % of 30 days leave 2592 s.
        assert_eq!(moves("99.9%", 300.0), (8640, 8640.0));
        assert_eq!(moves("99.9 %/month", 1000.0), (2592, 2592.0));
        // 43 minutes are 2580 s.
        assert_eq!(moves("43m/month", 2500.0), (1032, 1032.0));
        // What a day leaves over is lost.
        assert_eq!(moves("10s/day", 6000.0), (1, 30.0));
        assert_eq!(moves("3s/day", 300.0), (10, 300.0));
        assert_eq!(moves("10s/day", 11_000.0), (0, 0.0));
        // Five nines of a week: 6.048 s.
        assert_eq!(moves("99.999%/week", 2000.0), (3, 12.857));
        assert_eq!(moves("5m/year", 30_000.0), (10, 0.822));
        let sla: Sla = "10s/day".parse().unwrap();
        assert_eq!(sla.moves(Millis(0.0)), None);
    }

    #[test]
    fn what_is_no_promise_is_explained() {
        for (text, why) in [
            ("100%", "no downtime at all"),
            ("0%", "it is zero"),
            ("101%", "above 100 %"),
            ("10s", "neither a share nor a period"),
            ("10s/fortnight", "`fortnight` is unknown"),
            ("2d/day", "more downtime than"),
            ("often/day", "does not start with a number"),
            ("-1s/day", "negative"),
        ] {
            let error = text.parse::<Sla>().unwrap_err().to_string();
            assert!(
                error.contains(why) && error.contains("43m/month"),
                "{error}"
            );
        }
    }
}
