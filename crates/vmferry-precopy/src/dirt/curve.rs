//! Dirt from a curve alone: cyclic writers that add up to U(t).

use std::ops::Range;

use vmferry_core::{ByteRate, DirtyCurve, PAGE_SIZE, Pages, Ratio};

use super::{Unit, UnitDirt};

/// Blocks of memory the groups are dealt out to: where the written pages lie
/// is unknown, so every group is spread over the whole of it.
const BLOCKS: usize = 32;
/// Most groups of pages of one period each.
const GROUPS: usize = 8;

/// Pages written in turn, over and over.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Group {
    pages: f64,
    /// Seconds until each was written once; infinite for pages never written.
    period: f64,
}

/// A guest known only by its dirty curve.
///
/// A concave curve that is linear between points at T1 < T2 < ... is exactly
/// the sum of groups of pages, each rewritten in turn with one of these
/// periods: a group of n pages adds n min(1, t/T). The curve is made concave
/// first, thinned to eight groups, and beyond its last point goes on with its
/// last slope until all memory is reached. Written pages are spread evenly
/// over memory and writes are taken as independent of each other: without a
/// page history nothing better is known.
#[derive(Clone, Debug)]
pub struct CurveDirt {
    units: Vec<Unit>,
    /// Of each unit, the times per second that it is written once over; 0 for pages never
    /// written.
    frequencies: Vec<f64>,
    speed: f64,
}

impl CurveDirt {
    /// A guest of `total` pages, `zero` of them zero (the least written ones),
    /// running at `speed` (1 is as measured).
    pub fn new(curve: &DirtyCurve, total: Pages, zero: Ratio, speed: f64) -> Self {
        Self::of_groups(&groups(curve, total.0 as f64), total, zero, speed)
    }

    /// A guest that writes all its memory in turn at a constant rate.
    pub fn constant(rate: ByteRate, total: Pages, zero: Ratio) -> Self {
        let period = total.bytes().0 as f64 / rate.0;
        let group = Group {
            pages: total.0 as f64,
            period,
        };
        Self::of_groups(&[group], total, zero, 1.0)
    }

    fn of_groups(groups: &[Group], total: Pages, zero: Ratio, speed: f64) -> Self {
        // Zero pages are dealt to the groups from the coldest on.
        let mut zero_left = total.0 as f64 * zero.0;
        let mut zeros = vec![0.0; groups.len()];
        for (share, group) in zeros.iter_mut().zip(groups).rev() {
            *share = (zero_left / group.pages).clamp(0.0, 1.0);
            zero_left -= *share * group.pages;
        }
        let mut units = Vec::with_capacity(BLOCKS * groups.len());
        let mut frequencies = Vec::with_capacity(units.capacity());
        let mut index = 0.0;
        for _ in 0..BLOCKS {
            for (group, zero) in groups.iter().zip(&zeros) {
                let pages = group.pages / BLOCKS as f64;
                units.push(Unit {
                    index: Pages(index as u64),
                    pages,
                    zero: *zero,
                });
                frequencies.push(group.period.recip());
                index += pages;
            }
        }
        Self {
            units,
            frequencies,
            speed,
        }
    }
}

/// Takes a curve apart into groups, by growing period.
fn groups(curve: &DirtyCurve, total: f64) -> Vec<Group> {
    let hull = concave_hull(curve, total);
    let mut slopes: Vec<f64> = hull
        .windows(2)
        .map(|p| (p[1].1 - p[0].1) / (p[1].0 - p[0].0))
        .collect();
    let written = hull.last().map_or(0.0, |p| p.1);
    let last = slopes.last().copied().unwrap_or(0.0);
    let mut found: Vec<Group> = Vec::new();
    slopes.push(last);
    for (point, slope) in hull[1..].iter().zip(slopes.windows(2)) {
        let pages = point.0 * (slope[0] - slope[1]);
        if pages > 0.0 {
            found.push(Group {
                pages,
                period: point.0,
            });
        }
    }
    let rest = (total - found.iter().map(|g| g.pages).sum::<f64>()).max(0.0);
    if rest > 0.0 {
        // The last slope is that of the pages not reached yet, in turn.
        let period = if last > 0.0 && written < total {
            rest / last
        } else {
            f64::INFINITY
        };
        found.push(Group {
            pages: rest,
            period,
        });
    }
    found
}

/// The least concave curve above the measured one, in (seconds, pages), from
/// the origin on, with at most [`GROUPS`] points.
fn concave_hull(curve: &DirtyCurve, total: f64) -> Vec<(f64, f64)> {
    let mut hull = vec![(0.0, 0.0)];
    for point in &curve.points {
        let here = (
            point.window_ms.0 / 1e3,
            (point.dirtied_bytes.0 as f64 / PAGE_SIZE.0 as f64).min(total),
        );
        if here.0 <= hull[hull.len() - 1].0 {
            continue;
        }
        while let [.., a, b] = hull[..] {
            let above = (b.1 - a.1) * (here.0 - a.0) >= (here.1 - a.1) * (b.0 - a.0);
            if above {
                break;
            }
            hull.pop();
        }
        hull.push(here);
    }
    while hull.len() > GROUPS {
        // The point whose loss changes the curve least goes.
        let cost = |i: usize| {
            let (a, b, c) = (hull[i - 1], hull[i], hull[i + 1]);
            b.1 - (a.1 + (c.1 - a.1) * (b.0 - a.0) / (c.0 - a.0))
        };
        let Some(least) = (1..hull.len() - 1).min_by(|i, j| cost(*i).total_cmp(&cost(*j))) else {
            break;
        };
        hull.remove(least);
    }
    hull
}

impl UnitDirt for CurveDirt {
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
        let length = (until - since) * self.speed;
        if length <= 0.0 {
            return;
        }
        for unit in units {
            let share = (length * self.frequencies[unit]).min(1.0);
            if share > 0.0 {
                mark(unit, share);
            }
        }
    }

    fn dirtied_pages(&self, since: f64, until: f64) -> f64 {
        let length = ((until - since) * self.speed).max(0.0);
        // Every block holds the same groups.
        let groups = self.units.len() / BLOCKS;
        let block = self.units[..groups].iter().zip(&self.frequencies);
        block
            .map(|(unit, often)| BLOCKS as f64 * unit.pages * (length * often).min(1.0))
            .sum()
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
    use vmferry_core::{Bytes, CurvePoint, Millis};

    fn curve(points: &[(f64, f64)]) -> DirtyCurve {
        DirtyCurve {
            points: points
                .iter()
                .map(|(ms, pages)| CurvePoint {
                    window_ms: Millis(*ms),
                    dirtied_bytes: Bytes((pages * 4096.0) as u64),
                    standard_error_bytes: Bytes(0),
                })
                .collect(),
        }
    }

    #[test]
    fn writers_add_up_to_the_curve() {
        let points = [(100.0, 1000.0), (400.0, 2500.0), (2000.0, 4000.0)];
        let dirt = CurveDirt::new(&curve(&points), Pages(10_000), Ratio(0.5), 1.0);
        for (ms, pages) in points.into_iter().chain([(50.0, 500.0), (3000.0, 4937.5)]) {
            let found = dirt.dirtied(1.0, 1.0 + ms / 1e3).normal;
            assert!((found - pages).abs() < 1e-6 * pages, "{ms}: {found}");
        }
        assert!((dirt.dirtied(0.0, 1e9).normal - 10_000.0).abs() < 1e-6);
        assert!((dirt.total().zero - 5000.0).abs() < 1e-6);
        let slow = CurveDirt::new(&curve(&points), Pages(10_000), Ratio(0.5), 0.5);
        assert!((slow.dirtied(0.0, 0.2).normal - 1000.0).abs() < 1e-6);
    }

    #[test]
    fn an_idle_guest_writes_nothing() {
        let dirt = CurveDirt::new(&DirtyCurve::default(), Pages(1000), Ratio(0.9), 1.0);
        assert_eq!(dirt.dirtied(0.0, 100.0), crate::dirt::PageCount::default());
        let dirt = CurveDirt::constant(ByteRate(0.0), Pages(1000), Ratio(0.0));
        assert_eq!(dirt.dirtied(0.0, 100.0).normal, 0.0);
    }

    proptest! {
        /// However ragged the curve, the dirt lies above it, grows, and stays
        /// within memory.
        #[test]
        fn never_less_than_measured(
            steps in prop::collection::vec((1f64..500.0, 0f64..500.0), 1..7),
        ) {
            let mut at = (0.0, 0.0);
            let points: Vec<_> = steps.iter().map(|s| { at = (at.0 + s.0, at.1 + s.1); at }).collect();
            let dirt = CurveDirt::new(&curve(&points), Pages(100_000), Ratio(0.2), 1.0);
            let mut before = 0.0;
            for (ms, pages) in points {
                let found = dirt.dirtied(0.0, ms / 1e3).normal;
                prop_assert!(found >= pages - 1.5 && found >= before - 1e-6 && found <= 100_000.0);
                before = found;
            }
        }
    }
}
