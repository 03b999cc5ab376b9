//! The cheapest set that frees enough: a covering knapsack.
//!
//! Branch and bound over the items by cost per unit freed. What an open branch
//! can cost at least is what the rest would cost if items could be cut: the
//! items in this order, the last one in part. Where the search ends, the answer
//! is exact; where it is cut off, the bound at the root says how far it may be
//! from the cheapest.

/// With so many items or fewer the answer is always exact: the search has room
/// for all their sets.
pub const ALWAYS_EXACT: usize = 20;

/// Steps of the search: every set of [`ALWAYS_EXACT`] items and the branches to
/// them. Takes 0.3 s at most.
pub(super) const STEPS: u64 = 1 << (ALWAYS_EXACT + 1);

/// A gain smaller than this part of a cost is rounding, and so is a lack smaller
/// than this part of what is to be freed.
const ROUNDING: f64 = 1e-12;

/// Something that can be chosen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item {
    /// What the caller knows it by.
    pub(super) id: usize,
    /// What it costs, at least 0.
    pub(super) cost: f64,
    /// What it frees, above 0.
    pub(super) freed: f64,
}

/// A set that frees enough.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Cover {
    /// The caller's names of its items, the cheapest first.
    pub(super) ids: Vec<usize>,
    /// No set that frees enough costs less than this.
    pub(super) least: f64,
    /// Whether this one costs just that.
    pub(super) exact: bool,
}

/// The cheapest set that frees at least `target`; `None` where all items
/// together do not. Items of the same cost and size are taken in the order given.
pub(super) fn cheapest(items: &[Item], target: f64, steps: u64) -> Option<Cover> {
    let mut sorted: Vec<Item> = items.iter().filter(|i| i.freed > 0.0).copied().collect();
    sorted.sort_by(|a, b| (a.cost / a.freed).total_cmp(&(b.cost / b.freed)));
    let mut search = Search::over(sorted);
    let bound = search.least(0, target)?;
    let exact = search.run(target, steps);
    if search.best.is_empty() {
        return None;
    }
    let best = search.without_needless(target);
    Some(Cover {
        least: if exact { search.best_cost } else { bound },
        exact,
        ids: best.into_iter().map(|i| search.items[i].id).collect(),
    })
}

struct Search {
    /// By cost per unit freed.
    items: Vec<Item>,
    /// What the items before each free, and all.
    freed_before: Vec<f64>,
    /// What they cost.
    cost_before: Vec<f64>,
    best: Vec<usize>,
    best_cost: f64,
}

/// A branch: what was decided of the items before `next`.
#[derive(Clone, Copy)]
struct Branch {
    next: usize,
    needed: f64,
    cost: f64,
}

impl Search {
    fn over(items: Vec<Item>) -> Self {
        let sums = |of: fn(&Item) -> f64| {
            let mut sums = vec![0.0];
            let mut sum = 0.0;
            for item in &items {
                sum += of(item);
                sums.push(sum);
            }
            sums
        };
        Self {
            freed_before: sums(|item| item.freed),
            cost_before: sums(|item| item.cost),
            best: Vec::new(),
            best_cost: f64::INFINITY,
            items,
        }
    }

    /// What freeing `needed` costs at least with the items from `next` on;
    /// `None` where they do not free that much.
    fn least(&self, next: usize, needed: f64) -> Option<f64> {
        if needed <= 0.0 {
            return Some(0.0);
        }
        let wanted = self.freed_before[next] + needed;
        // The first item with which it is enough, if items could be cut.
        let last = self.freed_before.partition_point(|freed| *freed < wanted);
        if last >= self.freed_before.len() {
            // Sums may fall short by rounding of what all items free one by one.
            let freed: f64 = self.items[next..].iter().map(|item| item.freed).sum();
            return (freed >= needed)
                .then(|| self.cost_before[self.items.len()] - self.cost_before[next]);
        }
        let whole = last - 1;
        let part = (wanted - self.freed_before[whole]) / self.items[whole].freed;
        Some(self.cost_before[whole] - self.cost_before[next] + part * self.items[whole].cost)
    }

    /// Whether the search came to its end.
    fn run(&mut self, target: f64, steps: u64) -> bool {
        let mut taken: Vec<(usize, Branch)> = Vec::new();
        let mut here = Branch {
            next: 0,
            needed: target,
            cost: 0.0,
        };
        for _ in 0..steps {
            if here.needed <= target * ROUNDING {
                if self.is_better(here.cost) {
                    self.best_cost = here.cost;
                    self.best = taken.iter().map(|(item, _)| *item).collect();
                }
            } else {
                let least = self.least(here.next, here.needed);
                if least.is_some_and(|least| self.is_better(here.cost + least)) {
                    let item = self.items[here.next];
                    taken.push((here.next, here));
                    here = Branch {
                        next: here.next + 1,
                        needed: here.needed - item.freed,
                        cost: here.cost + item.cost,
                    };
                    continue;
                }
            }
            // The same without the item that was taken last.
            let Some((item, before)) = taken.pop() else {
                return true;
            };
            here = Branch {
                next: item + 1,
                ..before
            };
        }
        false
    }

    fn is_better(&self, cost: f64) -> bool {
        self.best_cost == f64::INFINITY || cost < self.best_cost * (1.0 - ROUNDING)
    }

    /// The best set without items that cost nothing and are not needed, the
    /// cheapest first.
    fn without_needless(&self, target: f64) -> Vec<usize> {
        let mut set = self.best.clone();
        set.sort_by(|a, b| {
            let (a, b) = (&self.items[*a], &self.items[*b]);
            b.cost.total_cmp(&a.cost).then(a.freed.total_cmp(&b.freed))
        });
        let mut at = 0;
        while at < set.len() {
            let others = set.iter().enumerate().filter(|(i, _)| *i != at);
            let freed: f64 = others.map(|(_, item)| self.items[*item].freed).sum();
            if freed >= target {
                set.remove(at);
            } else {
                at += 1;
            }
        }
        set.reverse();
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn items(of: &[(f64, f64)]) -> Vec<Item> {
        let item = |(id, (cost, freed)): (usize, &(f64, f64))| Item {
            id,
            cost: *cost,
            freed: *freed,
        };
        of.iter().enumerate().map(item).collect()
    }

    fn sums(items: &[Item], ids: &[usize]) -> (f64, f64) {
        let of = |id: &usize| (items[*id].cost, items[*id].freed);
        ids.iter()
            .map(of)
            .fold((0.0, 0.0), |(c, f), (cost, freed)| (c + cost, f + freed))
    }

    #[test]
    fn the_best_by_ratio_need_not_be_the_best_set() {
        // By ratio the first and the second would go, for 1.0 + 3.0.
        let items = items(&[(1.0, 4.0), (3.0, 10.0), (2.0, 6.0)]);
        let cover = cheapest(&items, 10.0, STEPS).unwrap();
        assert_eq!(
            (cover.ids, cover.exact, cover.least),
            (vec![0, 2], true, 3.0)
        );
    }

    #[test]
    fn what_cannot_be_freed_is_no_set() {
        assert_eq!(
            cheapest(&items(&[(1.0, 4.0), (1.0, 0.0)]), 5.0, STEPS),
            None
        );
        assert_eq!(cheapest(&[], 1.0, STEPS), None);
    }

    #[test]
    fn what_costs_and_brings_nothing_stays() {
        let cover = cheapest(&items(&[(0.0, 1.0), (0.0, 5.0)]), 5.0, STEPS).unwrap();
        assert_eq!(cover.ids, [1]);
    }

    proptest! {
        #[test]
        fn few_items_are_chosen_exactly(
            of in prop::collection::vec((0.0..1.0f64, 0.1..8.0f64), 1..11),
            share in 0.01..1.0f64,
        ) {
            let items = items(&of);
            let target = share * of.iter().map(|(_, freed)| freed).sum::<f64>();
            let best = (0..1u32 << items.len())
                .map(|set| (0..items.len()).filter(|i| set >> i & 1 == 1).collect::<Vec<_>>())
                .map(|ids| sums(&items, &ids))
                .filter(|(_, freed)| *freed >= target)
                .map(|(cost, _)| cost)
                .fold(f64::INFINITY, f64::min);
            let cover = cheapest(&items, target, STEPS).unwrap();
            let (cost, freed) = sums(&items, &cover.ids);
            prop_assert!(cover.exact && freed >= target);
            prop_assert!((cost - best).abs() < 1e-9, "{cost} instead of {best}");
            prop_assert!((cover.least - cost).abs() < 1e-9);
        }

        #[test]
        fn many_items_are_chosen_within_their_bound(
            of in prop::collection::vec((0.0..1.0f64, 0.1..8.0f64), 30..120),
            share in 0.05..0.9f64,
        ) {
            let items = items(&of);
            let target = share * of.iter().map(|(_, freed)| freed).sum::<f64>();
            let cut_off = cheapest(&items, target, 200).unwrap();
            let ended = cheapest(&items, target, STEPS).unwrap();
            for cover in [&cut_off, &ended] {
                let (cost, freed) = sums(&items, &cover.ids);
                prop_assert!(freed >= target && cover.least <= cost + 1e-9);
            }
            let cost = |cover: &Cover| sums(&items, &cover.ids).0;
            prop_assert!(cut_off.least <= cost(&ended) + 1e-9);
            prop_assert!(cost(&ended) <= cost(&cut_off) + 1e-9);
            // The first dive: the items by ratio, the last one whole.
            let dearest = of.iter().map(|(cost, _)| *cost).fold(0.0, f64::max);
            prop_assert!(cost(&cut_off) <= cut_off.least + dearest + 1e-9);
        }
    }
}
