//! What would change the order.

use super::ranking::Ranked;
use super::terms::{Term, Terms};
use super::weights::Weights;

/// The smallest change of one weight that brings another option level with the
/// choice; the other weights keep their proportions.
#[derive(Clone, Debug, PartialEq)]
pub struct WeightChange {
    /// Whose weight.
    pub term: Term,
    /// The weight now.
    pub from: f64,
    /// The weight at which both cost the same.
    pub to: f64,
    /// The members of the option that would be level.
    pub then: Vec<usize>,
}

/// The smallest change of one quantity, as a share of it, by which the guests
/// that the runner-up has alone would have to be cheaper for it to be level with
/// the choice. Of one guest the scale follows, should that guest be the dearest;
/// of a set it is held.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ForecastChange {
    /// Which quantity.
    pub term: Term,
    /// What it is, in milliseconds, bytes or joules; of several guests the sum.
    pub from: f64,
    /// What it would have to be.
    pub to: f64,
}

/// The smallest change of a weight that brings one of `others` level with `first`.
pub(super) fn of_weights<'a>(
    weights: &Weights,
    first: &Terms,
    others: impl Iterator<Item = (&'a [usize], &'a Terms)>,
) -> Option<WeightChange> {
    let cost = |shares: &Terms| Terms::each(|term| weights.of(term) * shares.of(term)).sum();
    let first_cost: f64 = cost(first);
    let mut smallest: Option<(f64, WeightChange)> = None;
    for (members, shares) in others {
        let gap = cost(shares) - first_cost;
        for term in Term::ALL {
            let difference = shares.of(term) - first.of(term);
            // With a part t of all weight moved to this term, the gap is
            // (1 - t) gap + t difference; t below 0 takes weight away.
            let part = gap / (gap - difference);
            let from = weights.of(term);
            let to = from + part * (1.0 - from);
            if !part.is_finite() || !(0.0..=1.0).contains(&to) || from == 1.0 {
                continue;
            }
            let size = (to - from).abs();
            if smallest.as_ref().is_none_or(|(least, _)| size < *least) {
                let change = WeightChange {
                    term,
                    from,
                    to,
                    then: members.to_vec(),
                };
                smallest = Some((size, change));
            }
        }
    }
    smallest.map(|(_, change)| change)
}

/// The smallest change of one guest's forecast that makes it the first of all.
/// Where it has most of a quantity, less of that changes the scale too.
pub(super) fn of_one_forecast(
    weights: &Weights,
    scale: &Terms,
    guest: &Ranked,
    others: impl Iterator<Item = Ranked> + Clone,
) -> Option<ForecastChange> {
    let change = |term: Term| {
        let (weight, share) = (weights.of(term), guest.shares.of(term));
        if weight == 0.0 || share == 0.0 {
            return None;
        }
        let rest = |ranked: &Ranked| ranked.cost - ranked.parts.of(term);
        let most = others.clone().map(|other| other.shares.of(term));
        let most = most.fold(0.0, f64::max);
        // While it has more than all others it counts in full, and they count
        // more as it falls.
        let above = others.clone().map(|other| {
            let lacking = rest(guest) - rest(&other) + weight;
            if lacking <= 0.0 {
                share
            } else {
                weight * other.shares.of(term) / lacking
            }
        });
        let above = above.fold(share, f64::min);
        let to = if share > most && above >= most && above > 0.0 {
            above
        } else {
            // From then on it falls by itself.
            let below = others.clone().map(|other| {
                let room = rest(&other) - rest(guest);
                match most > 0.0 {
                    true => other.shares.of(term) + most * room / weight,
                    false if room >= 0.0 => 0.0,
                    false => -1.0,
                }
            });
            below.fold(share.min(most), f64::min)
        };
        let largest = scale.of(term);
        (to >= 0.0).then_some(ForecastChange {
            term,
            from: share * largest,
            to: to * largest,
        })
    };
    smallest(Term::ALL.into_iter().filter_map(change))
}

fn smallest(changes: impl Iterator<Item = ForecastChange>) -> Option<ForecastChange> {
    let share = |change: &ForecastChange| 1.0 - change.to / change.from;
    changes.min_by(|a, b| share(a).total_cmp(&share(b)))
}

/// The smallest change of what `alone` (the runner-up without what the choice
/// has too; its quantities) is forecast, which makes up for `gap`.
pub(super) fn of_forecast(
    weights: &Weights,
    scale: &Terms,
    gap: f64,
    alone: &Terms,
) -> Option<ForecastChange> {
    let change = |term: Term| {
        let (weight, largest, from) = (weights.of(term), scale.of(term), alone.of(term));
        let to = from - gap * largest / weight;
        (weight > 0.0 && from > 0.0 && to >= 0.0).then_some(ForecastChange { term, from, to })
    };
    smallest(Term::ALL.into_iter().filter_map(change))
}
