//! Sources of dirt: which memory a guest writes between two instants.
//!
//! Two grains. [`UnitDirt`] says it unit by unit, a unit being a page or a run
//! of pages that a sampled one stands for: needed where a rule set works
//! through memory by address. [`AggregateDirt`] says only how much: enough for
//! formulas.

mod aggregate;
mod curve;
mod recorded;
mod unit_set;

pub use aggregate::{AggregateDirt, CurveAmount, PageCount};
pub use curve::CurveDirt;
pub use recorded::{RecordedDirt, Recording};
pub use unit_set::UnitSet;

use std::ops::Range;

use vmferry_core::Pages;

/// A run of pages treated as one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Unit {
    /// Position of its first page in the order in which the hypervisor sends
    /// pages.
    pub index: Pages,
    /// Number of pages it stands for; above 0.
    pub pages: f64,
    /// Share of them that are zero pages until written, 0..1.
    pub zero: f64,
}

/// A source that knows which units of memory are dirtied when. Instants are
/// seconds on the replay's clock: 0 is the migration command.
pub trait UnitDirt {
    /// The units, in sending order.
    fn units(&self) -> &[Unit];

    /// Calls `mark(unit, share)` for the units of a range that were written in
    /// `since..until`, by growing position; `share` (above 0, at most 1) is
    /// the share of the unit's pages that were. A unit may be left out where
    /// its share is 0.
    fn visit_dirtied(
        &self,
        units: Range<usize>,
        since: f64,
        until: f64,
        mark: &mut impl FnMut(usize, f64),
    );
}
