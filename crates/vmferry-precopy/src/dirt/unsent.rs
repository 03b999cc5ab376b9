//! What is yet to be sent, in the order of sending.

use std::ops::Range;

use vmferry_core::Pages;

use super::{AggregateDirt, UnitDirt, UnitsUnsent};

/// A source of dirt that every rule set can be replayed over.
pub trait Dirt: AggregateDirt {
    /// The memory of one move.
    type Unsent<'a>: Unsent
    where
        Self: 'a;

    /// All memory, nothing of it sent.
    fn unsent(&self) -> Self::Unsent<'_>;
}

impl<D: UnitDirt> Dirt for D {
    type Unsent<'a>
        = UnitsUnsent<'a, D>
    where
        D: 'a;

    fn unsent(&self) -> UnitsUnsent<'_, D> {
        UnitsUnsent::new(self)
    }
}

/// Pages that follow each other in the order of sending.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Piece {
    /// Position of the first of them.
    pub position: usize,
    /// Number of pages; above 0.
    pub pages: f64,
    /// Share of zero pages among them, 0..1.
    pub zero: f64,
}

/// Memory under way: which pages are yet to be sent. A scan goes through it by
/// position, round and round, and continues where it stopped. Instants are
/// those of the source.
pub trait Unsent {
    /// Number of positions: units, or pages.
    fn positions(&self) -> usize;

    /// Positions that share one clearing of the dirty log, when it is cleared
    /// in chunks of that many pages: ranges that together are all positions.
    fn chunks(&self, chunk: Pages) -> Vec<Range<usize>>;

    /// Pages yet to be sent.
    fn pages(&self) -> f64;

    /// Takes up a move under way: the share of each position's pages that is
    /// yet to be sent (0..1; positions beyond the list keep all), where the
    /// scan stands, and whether zero pages are still to be sent as such.
    fn resume(&mut self, pending: &[f64], cursor: usize, never_sent: bool);

    /// Adds what was written in `since..until` at some positions, and tells
    /// how many pages were not yet to be sent before.
    fn look(&mut self, positions: Range<usize>, since: f64, until: f64) -> f64;

    /// Moves the scan to the next pages to be sent; `None` when there are none.
    fn next(&mut self) -> Option<Piece>;

    /// What [`Self::next`] would find, the scan staying where it is, if that is
    /// a unit: the same piece, shrinking, until all of it is sent. `None` where
    /// nothing is left, or pieces are cut anew as they are sent.
    fn coming_unit(&self) -> Option<Piece>;

    /// The first `pages` pages of the piece that [`Self::next`] found have been
    /// sent; at most all of it.
    fn take(&mut self, pages: f64);

    /// Gives up sending pages written since `cleaned` as seen at `now`, from
    /// the scan's place on until about `batch` others have been passed or the
    /// end is reached. Tells the pages given up and those passed. `cleaned` is
    /// the instant of the last look; `now` never goes back.
    fn skip_redirtied(&mut self, cleaned: f64, now: f64, batch: f64) -> (f64, f64);
}
