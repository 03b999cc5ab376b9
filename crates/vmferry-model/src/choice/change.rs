//! What would change the order.

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
/// the choice. The scale is held: where they are the dearest themselves, a little
/// less is enough.
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
    let share = |change: &ForecastChange| 1.0 - change.to / change.from;
    Term::ALL
        .into_iter()
        .filter_map(change)
        .min_by(|a, b| share(a).total_cmp(&share(b)))
}
