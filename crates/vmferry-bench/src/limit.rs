//! Limits of gates, as they are written.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vmferry_core::Ratio;

use crate::metric::Metric;

/// A limit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Limit {
    /// In the metric's unit (ms, ms, bytes, a share), or a score.
    Absolute(f64),
    /// So much more than the baseline: 0.1 of `+10%`, a tenth above it. An overhead is in per cent
    /// itself, and may be 0 or below: of that, ten points above the baseline's.
    AboveBaseline(Ratio),
}

/// Reads what stands behind the `>`.
pub(crate) fn read_limit(text: &str, metric: Metric, of_score: bool) -> Result<Limit, String> {
    let units: &[(&str, f64)] = match metric {
        _ if of_score => &[("", 1.0)],
        Metric::Downtime | Metric::TotalTime => &[("ms", 1.0), ("s", 1e3), ("min", 60e3)],
        Metric::MigratedData => &[
            ("B", 1.0),
            ("kB", 1e3),
            ("MB", 1e6),
            ("GB", 1e9),
            ("KiB", 1024.0),
            ("MiB", 1_048_576.0),
            ("GiB", 1_073_741_824.0),
        ],
        Metric::Overhead => &[("%", 0.01)],
    };
    let end = text
        .find(|c: char| !(c.is_ascii_digit() || matches!(c, '+' | '-' | '.')))
        .unwrap_or(text.len());
    let (number, unit) = (&text[..end], text[end..].trim());
    let value: f64 = number
        .parse()
        .ok()
        .filter(|value: &f64| value.is_finite())
        .ok_or_else(|| format!("`{text}` does not begin with a number"))?;
    if value < 0.0 {
        return Err(format!(
            "`{text}` is below 0; what gets better needs no gate"
        ));
    }
    if number.starts_with('+') {
        return match unit {
            "%" => Ok(Limit::AboveBaseline(Ratio(value / 100.0))),
            _ => Err(format!(
                "`{text}` begins with `+`, which compares with the baseline in per cent: `+10%`"
            )),
        };
    }
    if let Some((_, factor)) = units.iter().find(|(known, _)| *known == unit) {
        return Ok(Limit::Absolute(value * factor));
    }
    if unit == "%" {
        return Err(format!("to compare with the baseline, write `+{text}`"));
    }
    Err(if of_score {
        format!("scores have no unit, and `{unit}` is none")
    } else {
        let known: Vec<&str> = units.iter().map(|(unit, _)| *unit).collect();
        format!(
            "a limit of {metric} has one of the units {}, or is a per cent above the baseline: `+10%`",
            known.join(", ")
        )
    })
}
