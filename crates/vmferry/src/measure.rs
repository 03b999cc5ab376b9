//! Observes a guest.

use std::time::Duration;

use vmferry_core::{GuestUri, Observation, Ratio};
use vmferry_hypervisor::qmp::{ConnectOptions, Guest};
pub use vmferry_measure::observe;
pub use vmferry_measure::pages::PageOptions;
pub use vmferry_measure::{Method, ObserveOptions};
use vmferry_model::analyse;

use crate::Error;
use crate::document::{MeasureReport, ObservingOptions, Versions};

/// Longest window that is observed within the burst budget unless another is asked for.
pub const LONGEST_BURST: Duration = Duration::from_secs(15);

/// Share of one core for a short look at a guest, before a move.
pub const BURST_BUDGET: Ratio = Ratio(0.2);

/// Share of one core for observing a guest at length.
pub const BACKGROUND_BUDGET: Ratio = Ratio(0.01);

/// The budget of a window where none is asked for.
pub fn default_budget(window: Duration) -> Ratio {
    if window <= LONGEST_BURST {
        BURST_BUDGET
    } else {
        BACKGROUND_BUDGET
    }
}

/// Observes a guest, describes how, and reads what was seen.
///
/// # Errors
/// When it cannot be reached or observed.
pub async fn measure(guest: &GuestUri, options: &ObserveOptions) -> Result<MeasureReport, Error> {
    let guest = Guest::connect(guest, ConnectOptions::default()).await?;
    let observation: Observation = observe(&guest, options).await?;
    let read = observation.clone();
    let analysis = tokio::task::spawn_blocking(move || analyse(&read))
        .await
        .map_err(|error| Error::Internal(format!("the analysis failed: {error}")))?;
    Ok(MeasureReport {
        versions: Versions::default(),
        options: describe(options),
        analysis: Some(analysis),
        observation,
    })
}

pub(crate) fn describe(options: &ObserveOptions) -> ObservingOptions {
    ObservingOptions {
        window_ms: options.pages.window.into(),
        budget: options.pages.budget,
        pages: u32::try_from(options.pages.pages).unwrap_or(u32::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_windows_are_observed_in_the_background() {
        let budget = |seconds| default_budget(Duration::from_secs(seconds));
        assert_eq!([budget(10), budget(15)], [BURST_BUDGET; 2]);
        assert_eq!([budget(16), budget(3600)], [BACKGROUND_BUDGET; 2]);
    }
}
