//! The quantities that a move is forecast and measured in, as cells.

use std::fmt::Display;

use vmferry::core::{Forecast, Interval, Outcome};

use super::{cells, or_dash};

/// One of them.
pub(crate) struct Quantity {
    pub(crate) name: &'static str,
    /// p5, p50, p95.
    pub(crate) forecast: [String; 3],
    pub(crate) outcome: String,
}

/// All of them, in the order of the tables; dashes where nothing is known.
pub(crate) fn quantities(forecast: Option<&Forecast>, outcome: Option<&Outcome>) -> [Quantity; 7] {
    fn quantity<F: Display, O: Display>(
        name: &'static str,
        forecast: Option<Interval<F>>,
        outcome: Option<O>,
    ) -> Quantity {
        Quantity {
            name,
            forecast: cells(forecast),
            outcome: or_dash(outcome),
        }
    }
    let (f, o) = (forecast, outcome);
    let passes = f.and_then(|f| f.passes).map(|i| i.map(f64::round));
    [
        quantity(
            "total time",
            f.and_then(|f| f.total_time_ms),
            o.and_then(|o| o.total_time_ms),
        ),
        quantity(
            "downtime",
            f.and_then(|f| f.downtime_ms),
            o.and_then(|o| o.downtime_ms),
        ),
        quantity(
            "QEMU's downtime",
            f.and_then(|f| f.qemu_downtime_ms),
            o.and_then(|o| o.qemu_downtime_ms),
        ),
        quantity(
            "transferred",
            f.and_then(|f| f.transferred_bytes),
            o.and_then(|o| o.transferred_bytes),
        ),
        quantity(
            "on the wire",
            f.and_then(|f| f.wire_bytes),
            o.and_then(|o| o.wire_bytes),
        ),
        quantity(
            "slowdown",
            f.and_then(|f| f.slowdown),
            o.and_then(|o| o.slowdown),
        ),
        quantity("passes", passes, o.and_then(|o| o.passes)),
    ]
}
