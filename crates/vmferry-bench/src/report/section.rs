//! The sections of a report.

pub(super) mod again;
pub(super) mod cells;
pub(super) mod failures;
mod figures;
pub(super) mod findings;
pub(super) mod forecasts;
mod load;
pub(super) mod repeatability;
pub(super) mod scores;
pub(super) mod setup;
