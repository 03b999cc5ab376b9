//! A fitted form of the dirty curve U(t), which goes on beyond the window.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::{ByteRate, Bytes, Millis};

/// One set of pages, each written at random with the same mean time between
/// writes: it adds A (1 - exp(-t / tau)) to the curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FittedSet {
    /// Size A of the set; above 0.
    pub size_bytes: Bytes,
    /// Time constant tau; above 0.
    pub time_constant_ms: Millis,
}

/// U(t) as a sum of sets and a straight line, never above the memory there
/// is. It starts at the origin, never falls and is concave.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FittedCurve {
    /// The sets, by growing time constant.
    pub sets: Vec<FittedSet>,
    /// Slope of the line: writes to pages that were not written before, at
    /// least 0.
    pub line_bytes_per_s: ByteRate,
    /// The memory there is: the curve's upper bound.
    pub bound_bytes: Bytes,
}

impl FittedCurve {
    /// Unique bytes dirtied within `window`.
    pub fn dirtied_in(&self, window: Duration) -> Bytes {
        let seconds = window.as_secs_f64();
        let of_sets: f64 = self
            .sets
            .iter()
            .map(|set| {
                let tau = set.time_constant_ms.0 / 1e3;
                set.size_bytes.0 as f64 * -(-seconds / tau).exp_m1()
            })
            .sum();
        let all = of_sets + self.line_bytes_per_s.0 * seconds;
        Bytes(all.round().max(0.0) as u64).min(self.bound_bytes)
    }

    /// Mean dirty rate U(t)/t within a window of that length, above 0.
    pub fn rate_over(&self, window: Duration) -> ByteRate {
        self.dirtied_in(window) / window
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_up_sets_and_line_until_memory_ends() {
        let curve = FittedCurve {
            sets: vec![FittedSet {
                size_bytes: Bytes(1_000_000),
                time_constant_ms: Millis(2000.0),
            }],
            line_bytes_per_s: ByteRate(1000.0),
            bound_bytes: Bytes(1_005_000),
        };
        let at = |s| curve.dirtied_in(Duration::from_secs(s)).0;
        // 1 MB (1 - e^-1) + 2 kB.
        assert_eq!([at(0), at(2), at(600)], [0, 634_121, 1_005_000]);
        assert_eq!(FittedCurve::default().dirtied_in(Duration::MAX), Bytes(0));
    }
}
