//! Observes a guest.

use vmferry_core::{GuestUri, Observation};
use vmferry_hypervisor::qmp::{ConnectOptions, Guest};
use vmferry_measure::observe;
pub use vmferry_measure::pages::PageOptions;
pub use vmferry_measure::{Method, ObserveOptions};

use crate::Error;
use crate::document::{MeasureReport, ObservingOptions, Versions};

/// Observes a guest and describes how.
///
/// # Errors
/// When it cannot be reached or observed.
pub async fn measure(guest: &GuestUri, options: &ObserveOptions) -> Result<MeasureReport, Error> {
    let guest = Guest::connect(guest, ConnectOptions::default()).await?;
    let observation: Observation = observe(&guest, options).await?;
    Ok(MeasureReport {
        versions: Versions::default(),
        options: describe(options),
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
