//! The dirty curve U(t): unique bytes dirtied within a window of length t.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::{ByteRate, Bytes, Millis};

/// One point of a [`DirtyCurve`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CurvePoint {
    /// Length of the window.
    pub window_ms: Millis,
    /// Mean of the unique bytes dirtied within windows of that length.
    pub dirtied_bytes: Bytes,
    /// Standard error of that mean.
    pub standard_error_bytes: Bytes,
}

/// U(t): concave, growing, zero at zero. Its slope is not a rate to be
/// extrapolated: U(t)/t falls several-fold between 0.5 s and 30 s.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DirtyCurve {
    /// Points by growing window.
    pub points: Vec<CurvePoint>,
}

impl DirtyCurve {
    /// Unique bytes dirtied within `window`: linear between points, from the
    /// origin to the first, and beyond the last with the last segment's slope.
    pub fn dirtied_in(&self, window: Duration) -> Bytes {
        let t = Millis::from(window).0;
        let mut before = (0.0, 0.0);
        let mut slope = 0.0;
        for point in &self.points {
            let here = (point.window_ms.0, point.dirtied_bytes.0 as f64);
            if here.0 > before.0 {
                slope = (here.1 - before.1) / (here.0 - before.0);
            }
            if t <= here.0 {
                break;
            }
            before = here;
        }
        Bytes((before.1 + slope * (t - before.0)).round().max(0.0) as u64)
    }

    /// Mean dirty rate U(t)/t within a window of that length.
    pub fn rate_over(&self, window: Duration) -> ByteRate {
        self.dirtied_in(window) / window
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interpolates_and_goes_on_with_the_last_slope() {
        let point = |t, b| CurvePoint {
            window_ms: Millis(t),
            dirtied_bytes: Bytes(b),
            standard_error_bytes: Bytes(0),
        };
        let curve = DirtyCurve {
            points: vec![point(100.0, 1000), point(200.0, 1500)],
        };
        let at = |ms| curve.dirtied_in(Duration::from_millis(ms)).0;
        assert_eq!(
            [at(0), at(50), at(100), at(150), at(200), at(400)],
            [0, 500, 1000, 1250, 1500, 2500]
        );
        assert_eq!(
            DirtyCurve::default().dirtied_in(Duration::from_secs(1)),
            Bytes(0)
        );
    }
}
