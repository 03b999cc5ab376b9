//! How much is dirtied, without saying where.

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
    /// Pages of both kinds.
    pub fn pages(self) -> f64 {
        self.normal + self.zero
    }

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

    /// Whether [`Self::dirtied`] depends on the length of the span alone.
    fn is_stationary(&self) -> bool {
        false
    }

    /// What a look at `until` finds when the one before was at `since`.
    fn found(&self, since: f64, until: f64) -> Found {
        Found {
            since,
            until,
            pages: self.dirtied(since, until).pages(),
        }
    }

    /// Share of the pages that one look found that the next finds again, 0..1:
    /// by inclusion and exclusion, whatever the source.
    fn found_again(&self, before: &Found, after: &Found) -> f64 {
        if before.pages <= 0.0 || after.pages <= 0.0 {
            return 0.0;
        }
        let either = self.dirtied(before.since, after.until).pages();
        ((before.pages + after.pages - either) / before.pages).clamp(0.0, 1.0)
    }
}

/// Unique pages dirtied in a span between two looks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Found {
    /// The look before.
    pub since: f64,
    /// The look.
    pub until: f64,
    /// What it found.
    pub pages: f64,
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
        PageCount {
            normal: self.dirtied_pages(since, until),
            zero: 0.0,
        }
    }

    fn is_stationary(&self) -> bool {
        UnitDirt::is_stationary(self)
    }
}

/// A dirty curve as it stands: U(t) whatever the instant, linear between its
/// points, beyond the last with the last slope, never more than the whole
/// memory. A look-up takes as long as finding the point: replays of large
/// guests take no longer than those of small ones.
#[derive(Clone, Debug)]
pub struct CurveAmount {
    /// Seconds and pages, from the origin on, by growing time.
    points: Vec<(f64, f64)>,
    total: PageCount,
}

impl CurveAmount {
    /// A guest of `total` pages with `zero` of them zero pages.
    pub fn new(curve: DirtyCurve, total: Pages, zero: Ratio) -> Self {
        let pages = total.0 as f64;
        let mut points = vec![(0.0, 0.0)];
        for point in &curve.points {
            let at = point.window_ms.0 / 1e3;
            if at > points[points.len() - 1].0 {
                points.push((at, point.dirtied_bytes.0 as f64 / PAGE_SIZE.0 as f64));
            }
        }
        Self {
            points,
            total: PageCount {
                normal: pages * (1.0 - zero.0),
                zero: pages * zero.0,
            },
        }
    }

    /// U(t) in pages, not held by the size of memory.
    fn written_in(&self, seconds: f64) -> f64 {
        let next = self.points.partition_point(|point| point.0 < seconds);
        let end = next.min(self.points.len() - 1);
        if end == 0 {
            return 0.0;
        }
        let (a, b) = (self.points[end - 1], self.points[end]);
        a.1 + (b.1 - a.1) * (seconds - a.0) / (b.0 - a.0)
    }
}

impl AggregateDirt for CurveAmount {
    fn total(&self) -> PageCount {
        self.total
    }

    fn dirtied(&self, since: f64, until: f64) -> PageCount {
        PageCount {
            normal: self
                .written_in(until - since)
                .clamp(0.0, self.total.pages()),
            zero: 0.0,
        }
    }

    fn is_stationary(&self) -> bool {
        true
    }
}
