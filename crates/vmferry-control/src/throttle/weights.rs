//! The same cap through scheduler weights (`jin2011` eq. 10).

use std::ops::RangeInclusive;

use vmferry_core::Ratio;

/// `cpu.shares` of cgroup v1.
pub const CGROUP_V1_SHARES: RangeInclusive<u64> = 2..=262_144;
/// `cpu.weight` of cgroup v2.
pub const CGROUP_V2_WEIGHT: RangeInclusive<u64> = 1..=10_000;

/// The weight that gives a guest a share `e` of a busy host beside neighbours
/// of these weights: w_0 = e / (1 - e) sum(w_i) (eq. 10). `None` where no
/// weight does: a share outside 0..1, or no neighbour to weigh against.
pub fn weight_for(share: Ratio, neighbours: &[u64]) -> Option<f64> {
    let sum: u64 = neighbours.iter().sum();
    let reachable = share.0 > 0.0 && share.0 < 1.0 && sum > 0;
    reachable.then(|| share.0 / (1.0 - share.0) * sum as f64)
}

/// Keeps a guest at its share while neighbours come, go and change.
#[derive(Clone, Debug)]
pub struct ShareByWeight {
    range: RangeInclusive<u64>,
    set: Option<u64>,
}

impl ShareByWeight {
    /// For a scheduler whose weights lie in `range`.
    pub fn new(range: RangeInclusive<u64>) -> Self {
        Self { range, set: None }
    }

    /// The weight to set now, held within the scheduler's range; `None` where
    /// the one set last still does, or where none does ([`weight_for`]). To be
    /// asked whenever a neighbour's weight or the share changes: one changed
    /// weight shifts every share on the host.
    pub fn weight(&mut self, share: Ratio, neighbours: &[u64]) -> Option<u64> {
        let wanted = weight_for(share, neighbours)?.round() as u64;
        let weight = wanted.clamp(*self.range.start(), *self.range.end());
        (self.set.replace(weight) != Some(weight)).then_some(weight)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn follows_the_neighbours() {
        let mut keeper = ShareByWeight::new(CGROUP_V1_SHARES);
        let share = Ratio(0.2);
        assert_eq!(keeper.weight(share, &[1024, 1024]), Some(512));
        assert_eq!(keeper.weight(share, &[1024, 1024]), None);
        assert_eq!(keeper.weight(share, &[1024, 3072]), Some(1024));
        assert_eq!(keeper.weight(Ratio(0.5), &[1024, 3072]), Some(4096));
        // Alone on the host no weight slows a guest down.
        assert_eq!(keeper.weight(share, &[]), None);
        assert_eq!(keeper.weight(Ratio(1.0), &[1024]), None);
        let mut v2 = ShareByWeight::new(CGROUP_V2_WEIGHT);
        assert_eq!(v2.weight(Ratio(0.999), &[100]), Some(10_000));
    }

    proptest! {
        /// The weight gives the share it was made for.
        #[test]
        fn the_share_comes_back(
            share in 0.01f64..0.99, neighbours in prop::collection::vec(1u64..10_000, 1..20),
        ) {
            let weight = weight_for(Ratio(share), &neighbours).unwrap();
            let sum: u64 = neighbours.iter().sum();
            prop_assert!((weight / (weight + sum as f64) - share).abs() < 1e-9);
        }
    }
}
