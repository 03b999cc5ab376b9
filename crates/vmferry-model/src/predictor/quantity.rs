//! The quantities that predictors are compared and corrected in.

use std::fmt;

use serde::{Deserialize, Serialize};
use vmferry_core::{Bytes, Interval, Millis};

use super::{Measured, Predicted};

/// A quantity of a move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Quantity {
    /// Total migration time, in milliseconds.
    TotalTime,
    /// Downtime, in milliseconds.
    Downtime,
    /// Transferred bytes.
    Transferred,
}

impl Quantity {
    /// Every quantity.
    pub const ALL: [Self; 3] = [Self::TotalTime, Self::Downtime, Self::Transferred];
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::TotalTime => "total time",
            Self::Downtime => "downtime",
            Self::Transferred => "transferred bytes",
        })
    }
}

impl Predicted {
    /// What is said of a quantity, in its own unit; `None` where nothing.
    pub fn of(&self, quantity: Quantity) -> Option<Interval<f64>> {
        match quantity {
            Quantity::TotalTime => self.total_time_ms.map(|i| i.map(|ms| ms.0)),
            Quantity::Downtime => self.downtime_ms.map(|i| i.map(|ms| ms.0)),
            Quantity::Transferred => self.transferred_bytes.map(|i| i.map(|b| b.0 as f64)),
        }
    }

    /// Says something else of a quantity.
    pub fn set(&mut self, quantity: Quantity, said: Interval<f64>) {
        match quantity {
            Quantity::TotalTime => self.total_time_ms = Some(said.map(Millis)),
            Quantity::Downtime => self.downtime_ms = Some(said.map(Millis)),
            Quantity::Transferred => {
                self.transferred_bytes = Some(said.map(|b| Bytes(b.round().max(0.0) as u64)));
            }
        }
    }

    /// How wrong this was in a quantity: ln(measured / median), positive when
    /// too little was said; `None` where it was not said, not measured, or one
    /// of them is nothing.
    pub fn log_error(&self, quantity: Quantity, measured: &Measured) -> Option<f64> {
        let error = (measured.of(quantity)? / self.of(quantity)?.p50).ln();
        error.is_finite().then_some(error)
    }
}

impl Measured {
    /// What was measured of a quantity, in its own unit.
    pub fn of(&self, quantity: Quantity) -> Option<f64> {
        match quantity {
            Quantity::TotalTime => self.total_time.map(|ms| ms.0),
            Quantity::Downtime => self.downtime.map(|ms| ms.0),
            Quantity::Transferred => self.transferred.map(|bytes| bytes.0 as f64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of `akoush2010`: measured and predicted migration time (s)
    /// and downtime (ms) with the errors it publishes, in percent.
    const AKOUSH: [(&str, [f64; 3], [f64; 3]); 4] = [
        ("CPU", [5.8, 5.7, 2.4], [317.3, 314.1, 2.4]),
        ("WEB", [7.5, 7.4, 2.0], [449.5, 420.4, 6.4]),
        ("SFS", [14.8, 14.9, 1.5], [217.6, 217.7, 0.1]),
        ("MR", [14.9, 15.13, 1.4], [348.9, 348.1, 0.2]),
    ];

    #[test]
    fn errors_of_the_table_of_akoush() {
        let lines = AKOUSH.map(|(guest, time, downtime)| {
            let said = Predicted::of_formula(time[1], downtime[1] / 1e3, 0.0);
            let measured = Measured {
                total_time: Some(Millis(time[0] * 1e3)),
                downtime: Some(Millis(downtime[0])),
                ..Measured::default()
            };
            let percent = |quantity| {
                let error = said.log_error(quantity, &measured).unwrap();
                ((-error).exp() - 1.0).abs() * 100.0
            };
            let found = [percent(Quantity::TotalTime), percent(Quantity::Downtime)];
            // Unrounded values lie up to half of the last digit away on both sides,
            // and the errors may be cut rather than rounded.
            let slack = [0.05 * 2.0 / time[0] * 100.0, 0.1 / downtime[0] * 100.0];
            let agrees = |i: usize, published: f64| (found[i] - published).abs() <= slack[i] + 0.1;
            format!(
                "{guest:3} time {:.1} % ({}), downtime {:.1} % ({})",
                found[0],
                if agrees(0, time[2]) {
                    "as published"
                } else {
                    "published otherwise"
                },
                found[1],
                if agrees(1, downtime[2]) {
                    "as published"
                } else {
                    "published otherwise"
                },
            )
        });
        insta::assert_snapshot!(lines.join("\n"), @"
        CPU time 1.7 % (as published), downtime 1.0 % (published otherwise)
        WEB time 1.3 % (as published), downtime 6.5 % (as published)
        SFS time 0.7 % (published otherwise), downtime 0.0 % (as published)
        MR  time 1.5 % (as published), downtime 0.2 % (as published)
        ");
    }
}
