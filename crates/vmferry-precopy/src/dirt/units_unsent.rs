//! Memory under way, unit by unit.

use std::ops::Range;

use vmferry_core::Pages;

use super::{Piece, UnitDirt, UnitSet, Unsent};

/// Less than a byte of a page is nothing.
const NEGLIGIBLE_PAGES: f64 = 1e-4;

/// Which share of each unit is yet to be sent.
#[derive(Clone, Debug)]
pub struct UnitsUnsent<'a, D> {
    dirt: &'a D,
    /// Pages of each unit that are yet to be sent.
    pending: Vec<f64>,
    /// Share of zero pages among them.
    zero: Vec<f64>,
    /// Units with anything pending.
    dirty: UnitSet,
    pages: f64,
    cursor: usize,
    /// Unit at which the last skip ended, and the share of it that had been
    /// written then.
    skipped: Option<(usize, f64)>,
}

impl<'a, D: UnitDirt> UnitsUnsent<'a, D> {
    pub(super) fn new(dirt: &'a D) -> Self {
        let units = dirt.units();
        let pending: Vec<f64> = units.iter().map(|u| u.pages).collect();
        Self {
            dirt,
            pages: pending.iter().sum(),
            pending,
            zero: units.iter().map(|u| u.zero).collect(),
            dirty: UnitSet::full(units.len()),
            cursor: 0,
            skipped: None,
        }
    }

    fn sent(&mut self, unit: usize, pages: f64) {
        self.pending[unit] -= pages;
        self.pages -= pages;
        if self.pending[unit] <= NEGLIGIBLE_PAGES {
            self.pages -= self.pending[unit];
            self.pending[unit] = 0.0;
            self.dirty.remove(unit);
            if self.dirty.is_empty() {
                // No drift: what is sent is sent.
                self.pages = 0.0;
            }
        }
    }
}

impl<D: UnitDirt> Unsent for UnitsUnsent<'_, D> {
    fn positions(&self) -> usize {
        self.pending.len()
    }

    fn chunks(&self, chunk: Pages) -> Vec<Range<usize>> {
        let units = self.dirt.units();
        let number = |i: usize| units[i].index.0 / chunk.0;
        let mut chunks: Vec<Range<usize>> = Vec::new();
        for unit in 0..units.len() {
            match chunks.last_mut() {
                Some(last) if number(unit) == number(unit - 1) => last.end = unit + 1,
                _ => chunks.push(unit..unit + 1),
            }
        }
        chunks
    }

    fn pages(&self) -> f64 {
        self.pages
    }

    fn resume(&mut self, pending: &[f64], cursor: usize, never_sent: bool) {
        for (unit, share) in pending.iter().enumerate().take(self.pending.len()) {
            self.pending[unit] *= share;
            if *share <= 0.0 {
                self.dirty.remove(unit);
            }
            if !never_sent {
                self.zero[unit] = 0.0;
            }
        }
        self.cursor = cursor;
        self.pages = self.pending.iter().sum();
    }

    fn look(&mut self, positions: Range<usize>, since: f64, until: f64) -> f64 {
        let units = self.dirt.units();
        let (pending, zero, dirty) = (&mut self.pending, &mut self.zero, &mut self.dirty);
        let mut added = 0.0;
        self.dirt
            .visit_dirtied(positions, since, until, &mut |unit, share| {
                let clean = units[unit].pages - pending[unit];
                let untouched = pending[unit] * (1.0 - share);
                let new = clean * share;
                pending[unit] += new;
                added += new;
                // What was written holds something now.
                if zero[unit] > 0.0 && pending[unit] > 0.0 {
                    zero[unit] *= untouched / pending[unit];
                }
                dirty.insert(unit);
            });
        self.skipped = None;
        self.pages += added;
        added
    }

    fn next(&mut self) -> Option<Piece> {
        let piece = self.coming_unit()?;
        self.cursor = piece.position;
        Some(piece)
    }

    fn coming_unit(&self) -> Option<Piece> {
        let position = self.dirty.next_cyclic(self.cursor)?;
        Some(Piece {
            position,
            pages: self.pending[position],
            zero: self.zero[position],
        })
    }

    fn take(&mut self, pages: f64) {
        let unit = self.cursor;
        self.sent(unit, pages);
        if self.pending[unit] == 0.0 {
            self.cursor = unit + 1;
        }
    }

    fn skip_redirtied(&mut self, cleaned: f64, now: f64, batch: f64) -> (f64, f64) {
        let (mut given_up, mut passed) = (0.0, 0.0);
        if let Some(first) = self.dirty.next_cyclic(self.cursor) {
            self.cursor = first;
        }
        let mut at = self.cursor;
        while passed < batch
            && let Some(unit) = self.dirty.next_from(at)
        {
            let share = self.dirt.dirtied_share(unit, cleaned, now);
            // What is left of a unit seen before was not written by then.
            let before = match self.skipped {
                Some((seen, share)) if seen == unit => share,
                _ => 0.0,
            };
            let pages = if before < 1.0 {
                self.pending[unit] * ((share - before) / (1.0 - before)).clamp(0.0, 1.0)
            } else {
                0.0
            };
            self.sent(unit, pages);
            given_up += pages;
            passed += self.pending[unit];
            self.skipped = Some((unit, share));
            at = unit + 1;
        }
        (given_up, passed)
    }
}
