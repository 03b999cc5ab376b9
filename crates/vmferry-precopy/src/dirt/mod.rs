//! Sources of dirt: which memory a guest writes between two instants.
//!
//! [`Dirt`] is what every rule set can be replayed over: it says how much is
//! written ([`AggregateDirt`]) and keeps what is yet to be sent in the order of
//! sending ([`Unsent`]). Sources that tell memory unit by unit, a unit being a
//! page or a run of pages that a sampled one stands for, implement [`UnitDirt`]
//! and get the rest: [`ConstantDirt`], [`CurveDirt`], [`RecordedDirt`]. A
//! [`PageTrace`] of the whole guest brings bitsets of its own. Where nothing
//! but amounts is known ([`CurveAmount`]), the rule sets have closed forms.

mod aggregate;
mod constant;
mod curve;
mod even_time;
mod interval_part;
mod paced;
mod page_trace;
mod recorded;
mod recorded_dirt;
mod trace_builder;
mod trace_dirt;
mod unit_intervals;
mod unit_set;
mod units_unsent;
mod unsent;

pub use aggregate::{AggregateDirt, CurveAmount, Found, PageCount};
pub use constant::{ConstantDirt, Writes};
pub use curve::CurveDirt;
pub use paced::{PacedDirt, PacedUnsent};
pub use page_trace::PageTrace;
pub use recorded::Recording;
pub use recorded_dirt::RecordedDirt;
pub use trace_builder::{PageTraceBuilder, PageTraceError};
pub use trace_dirt::{TraceDirt, TraceUnsent};
pub use unit_set::UnitSet;
pub use units_unsent::UnitsUnsent;
pub use unsent::{Dirt, Piece, Unsent};

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

    /// Share of one unit that was written in `since..until`, 0..1. To be
    /// overridden where it is known without going through everything written.
    fn dirtied_share(&self, unit: usize, since: f64, until: f64) -> f64 {
        let mut found = 0.0;
        self.visit_dirtied(unit..unit + 1, since, until, &mut |_, share| found = share);
        found
    }

    /// Pages written in `since..until`, all units together. To be overridden
    /// where a formula knows it without going through the units.
    fn dirtied_pages(&self, since: f64, until: f64) -> f64 {
        let units = self.units();
        let mut pages = 0.0;
        self.visit_dirtied(0..units.len(), since, until, &mut |unit, share| {
            pages += units[unit].pages * share;
        });
        pages
    }

    /// Whether what is written depends on the length of a span alone, not on
    /// when it begins: a pass like the one before then repeats for ever.
    fn is_stationary(&self) -> bool {
        false
    }
}
