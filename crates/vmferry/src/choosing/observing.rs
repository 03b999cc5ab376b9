//! Observes all guests of a host side by side, within one budget.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use vmferry_core::{Observation, Ratio};
use vmferry_hypervisor::qmp::Guest;
use vmferry_measure::{MeasureError, ObserveOptions, observe};

/// Share of one core for observing all guests of a host together.
pub const HOST_BUDGET: Ratio = Ratio(0.04);

/// Least share of one core for one guest: below it the sample of its pages gets
/// too thin. Where the budget allows fewer guests at once, the others wait.
const LEAST_SHARE: Ratio = Ratio(0.005);

/// How a budget is shared: so many guests at once, each within so much.
fn shared(budget: Ratio, guests: usize) -> (usize, Ratio) {
    let affordable = (budget.0 / LEAST_SHARE.0 + 1e-9).floor();
    let at_once = (affordable as usize).clamp(1, guests.max(1));
    (at_once, Ratio(budget.0 / at_once as f64))
}

/// What was seen of all guests.
pub(super) struct AllSeen {
    /// Of each, in the order of the guests.
    pub(super) each: Vec<Result<Observation, MeasureError>>,
    /// Share of one core that it took, while guests were observed.
    pub(super) core_share: Ratio,
}

/// Observes every guest; `options` holds the budget of all together.
pub(super) async fn all(guests: &[Guest], options: &ObserveOptions) -> AllSeen {
    let (at_once, budget) = shared(options.pages.budget, guests.len());
    let mut options = *options;
    options.pages.budget = budget;
    let permits = Arc::new(Semaphore::new(at_once));
    let mut observing = JoinSet::new();
    for (place, guest) in guests.iter().enumerate() {
        let (guest, permits) = (guest.clone(), Arc::clone(&permits));
        observing.spawn(async move {
            let _permit = permits.acquire().await;
            (place, observe(&guest, &options).await)
        });
    }
    let mut seen = observing.join_all().await;
    seen.sort_by_key(|(place, _)| *place);
    let each: Vec<_> = seen.into_iter().map(|(_, seen)| seen).collect();
    let took: f64 = each.iter().flatten().map(|seen| seen.cost.cpu.0).sum();
    // Those that had to wait were not observed at the same time.
    let core_share = Ratio(took * at_once as f64 / guests.len().max(1) as f64);
    AllSeen { each, core_share }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_share_is_too_thin_and_together_they_keep_the_budget() {
        assert_eq!(shared(Ratio(0.04), 8), (8, Ratio(0.005)));
        assert_eq!(shared(Ratio(0.04), 2), (2, Ratio(0.02)));
        assert_eq!(shared(Ratio(0.04), 500), (8, Ratio(0.005)));
        assert_eq!(shared(Ratio(0.002), 3), (1, Ratio(0.002)));
        assert_eq!(shared(Ratio(0.2), 0).0, 1);
        for (budget, guests) in [(0.04, 7), (0.013, 40), (1.0, 1000)] {
            let (at_once, each) = shared(Ratio(budget), guests);
            assert!(each.0 * at_once as f64 <= budget + 1e-12);
            assert!(each.0 >= LEAST_SHARE.0 - 1e-12);
        }
    }
}
