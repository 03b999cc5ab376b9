//! A constant rate of writes: AVG of `akoush2010`, memWriter of `jin2011`.

use std::ops::Range;

use vmferry_core::{ByteRate, PAGE_SIZE, Pages, Ratio};

use super::{Unit, UnitDirt};

/// Blocks of memory the writable set is dealt out to.
const BLOCKS: usize = 1024;
/// Block i is written as number i times this, modulo the blocks: where a
/// buffer lies in guest memory follows no order.
const SCATTER: usize = 633;

/// In which order the pages of a set are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writes {
    /// Every write goes to a page drawn anew.
    Random,
    /// Page after page, over and over.
    Sequential,
}

/// A guest that writes pages of a fixed set at a constant rate, from the
/// command on.
#[derive(Clone, Debug)]
pub struct ConstantDirt {
    units: Vec<Unit>,
    /// For each unit where its turn begins within the set, in pages; `None` for
    /// memory outside the set.
    turns: Vec<Option<f64>>,
    /// Pages written per second.
    rate: f64,
    /// Pages of the set.
    set: f64,
    writes: Writes,
}

impl ConstantDirt {
    /// A guest of `total` pages that writes `rate` bytes of whole pages per
    /// second within `writable` of them (at most all), spread over its memory;
    /// `zero` of all pages are zero pages, first those it never writes.
    pub fn new(rate: ByteRate, writable: Pages, writes: Writes, total: Pages, zero: Ratio) -> Self {
        let all = total.0 as f64;
        let set = (writable.0 as f64).min(all);
        let zero = all * zero.0.clamp(0.0, 1.0);
        let idle_zero = zero.min(all - set);
        let share = |part: f64, of: f64| if of > 0.0 { part / of } else { 0.0 };
        let kinds = [
            (set, share(zero - idle_zero, set)),
            (all - set, share(idle_zero, all - set)),
        ];
        let (mut units, mut turns) = (Vec::new(), Vec::new());
        let mut index = 0.0;
        for block in 0..BLOCKS {
            for (kind, (pages, zero)) in kinds.into_iter().enumerate() {
                let pages = pages / BLOCKS as f64;
                if pages <= 0.0 {
                    continue;
                }
                units.push(Unit {
                    index: Pages(index as u64),
                    pages,
                    zero,
                });
                let turn = (block * SCATTER % BLOCKS) as f64 * pages;
                turns.push((kind == 0).then_some(turn));
                index += pages;
            }
        }
        Self {
            units,
            turns,
            rate: (rate.0 / PAGE_SIZE.0 as f64).max(0.0),
            set,
            writes,
        }
    }
}

impl UnitDirt for ConstantDirt {
    fn units(&self) -> &[Unit] {
        &self.units
    }

    fn visit_dirtied(
        &self,
        units: Range<usize>,
        since: f64,
        until: f64,
        mark: &mut impl FnMut(usize, f64),
    ) {
        let written = self.dirtied_pages(since, until);
        if written <= 0.0 {
            return;
        }
        let from = (since * self.rate).rem_euclid(self.set);
        let to = from + written;
        for unit in units {
            let Some(turn) = self.turns[unit] else {
                continue;
            };
            let pages = self.units[unit].pages;
            let share = match self.writes {
                Writes::Random => written / self.set,
                Writes::Sequential => {
                    let within = |begin: f64| (to.min(begin + pages) - from.max(begin)).max(0.0);
                    ((within(turn) + within(turn + self.set)) / pages).min(1.0)
                }
            };
            if share > 0.0 {
                mark(unit, share);
            }
        }
    }

    fn dirtied_pages(&self, since: f64, until: f64) -> f64 {
        let writes = self.rate * (until - since).max(0.0);
        if self.set <= 0.0 {
            return 0.0;
        }
        match self.writes {
            Writes::Random => -self.set * (-writes / self.set).exp_m1(),
            Writes::Sequential => writes.min(self.set),
        }
    }

    fn is_stationary(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dirt::AggregateDirt;
    use proptest::prelude::*;

    proptest! {
        /// The units add up to the formula, whatever the span.
        #[test]
        fn units_agree_with_the_formula(
            rate in 0f64..1e9, set in 0u64..200_000, random: bool,
            since in 0f64..1e3, length in 0f64..1e3, zero in 0f64..1.0,
        ) {
            let writes = if random { Writes::Random } else { Writes::Sequential };
            let dirt = ConstantDirt::new(ByteRate(rate), Pages(set), writes, Pages(150_000), Ratio(zero));
            let (mut sum, mut most) = (0.0, 0.0f64);
            dirt.visit_dirtied(0..dirt.units.len(), since, since + length, &mut |unit, share| {
                sum += dirt.units[unit].pages * share;
                most = most.max(share);
            });
            let expected = dirt.dirtied_pages(since, since + length);
            prop_assert!((sum - expected).abs() < 1e-6 * (1.0 + expected), "{sum} {expected}");
            prop_assert!(most <= 1.0 && expected <= 150_000.0 + 1e-6);
            let total = dirt.total();
            prop_assert!((total.pages() - 150_000.0).abs() < 1e-6);
            prop_assert!((total.zero - 150_000.0 * zero).abs() < 1e-6);
        }
    }

    #[test]
    fn one_page_after_the_other() {
        let dirt = |writes| {
            let rate = ByteRate(4096.0 * 1000.0);
            ConstantDirt::new(rate, Pages(10_000), writes, Pages(50_000), Ratio(0.0))
        };
        let sequential = dirt(Writes::Sequential);
        assert_eq!(sequential.dirtied(7.0, 12.0).normal, 5000.0);
        let again = |dirt: &ConstantDirt, since, look, until| {
            dirt.found_again(&dirt.found(since, look), &dirt.found(look, until))
        };
        assert_eq!(again(&sequential, 0.0, 5.0, 10.0), 0.0);
        assert!((again(&sequential, 0.0, 8.0, 12.0) - 0.25).abs() < 1e-9);
        let random = dirt(Writes::Random);
        let share = 1.0 - (-0.5f64).exp();
        assert!((random.dirtied(7.0, 12.0).normal - 10_000.0 * share).abs() < 1e-6);
        assert!((again(&random, 0.0, 5.0, 10.0) - share).abs() < 1e-9);
    }
}
