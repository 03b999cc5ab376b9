//! The sections of a report.

pub(super) mod again;
pub(super) mod cells;
pub(super) mod failures;
mod figures;
pub(super) mod setup;
