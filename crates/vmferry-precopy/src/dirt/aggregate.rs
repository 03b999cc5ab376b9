//! How much is dirtied, without saying where.

use std::time::Duration;

use vmferry_core::{Bytes, DirtyCurve, PAGE_SIZE, Pages, Ratio};

use super::UnitDirt;
use crate::stream::{PAGE_ON_STREAM, ZERO_PAGE_ON_STREAM};

/// An amount of pages by what they cost on the stream.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PageCount {
    /// Pages with content.
    pub normal: f64,
    /// Zero pages.
    pub zero: f64,
}

impl PageCount {
    /// Bytes of the migration stream that these pages take, when a zero page
    /// takes `zero_cost`.
    pub fn on_stream(self, zero_cost: Bytes) -> f64 {
        self.normal * PAGE_ON_STREAM.0 as f64 + self.zero * zero_cost.0 as f64
    }

    /// Bytes of the migration stream that these pages take in QEMU.
    pub fn on_qemu_stream(self) -> f64 {
        self.on_stream(ZERO_PAGE_ON_STREAM)
    }
}

/// A source that knows how much memory is dirtied between two instants
/// (seconds on the replay's clock).
pub trait AggregateDirt {
    /// All that a first pass sends.
    fn total(&self) -> PageCount;

    /// Unique pages dirtied in `since..until`.
    fn dirtied(&self, since: f64, until: f64) -> PageCount;
}

/// Every unit source knows amounts too. Dirtied pages count as having
/// content: a page that was written is rarely zero.
impl<D: UnitDirt> AggregateDirt for D {
    fn total(&self) -> PageCount {
        self.units()
            .iter()
            .fold(PageCount::default(), |sum, u| PageCount {
                normal: sum.normal + u.pages * (1.0 - u.zero),
                zero: sum.zero + u.pages * u.zero,
            })
    }

    fn dirtied(&self, since: f64, until: f64) -> PageCount {
        let units = self.units();
        let mut normal = 0.0;
        self.visit_dirtied(0..units.len(), since, until, &mut |unit, share| {
            normal += units[unit].pages * share;
        });
        PageCount { normal, zero: 0.0 }
    }
}

/// A dirty curve as it stands: U(t) whatever the instant, linear between its
/// points, never more than the whole memory.
#[derive(Clone, Debug)]
pub struct CurveAmount {
    curve: DirtyCurve,
    total: PageCount,
}

impl CurveAmount {
    /// A guest of `total` pages with `zero` of them zero pages.
    pub fn new(curve: DirtyCurve, total: Pages, zero: Ratio) -> Self {
        let pages = total.0 as f64;
        Self {
            curve,
            total: PageCount {
                normal: pages * (1.0 - zero.0),
                zero: pages * zero.0,
            },
        }
    }
}

impl AggregateDirt for CurveAmount {
    fn total(&self) -> PageCount {
        self.total
    }

    fn dirtied(&self, since: f64, until: f64) -> PageCount {
        let window = Duration::try_from_secs_f64((until - since).max(0.0)).unwrap_or(Duration::MAX);
        let pages = self.curve.dirtied_in(window).0 as f64 / PAGE_SIZE.0 as f64;
        PageCount {
            normal: pages.min(self.total.normal + self.total.zero),
            zero: 0.0,
        }
    }
}
