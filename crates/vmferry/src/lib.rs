//! vmferry as a library: what the command line and other programs import.
//!
//! | module | what it does |
//! |---|---|
//! | [`measure`] | observes a guest |
//! | [`predict`] | says what a move would cost |
//! | [`benchmarking`] | Virt-LM, the live-migration benchmark, on real hypervisors |
//! | [`choosing`] | says which guests of a host to move, and moves them |
//! | [`models`] | which model says it, and what it learned from earlier moves |
//! | [`moving`] | makes a move: forecast, supervised migration, outcome, record |
//! | [`promising`] | whether a promise can be kept, before a move |
//! | [`guard_command()`] | the command that starts a guard |
//! | [`guarding`] | what the guard process runs, and `recover` |
//! | [`imports`] | takes other people's migrations into the history |
//! | [`comparison`] | compares every model on every migration of the history |
//! | [`profiling`] | profiles a host pair: migration time against the CPU given to it |
//! | [`energy`] | meters what moves cost in energy, fits and forecasts it |
//! | [`recording`] | records a guest's page history into a trace, reads traces |
//! | [`simulating`] | what moves would cost elsewhere, from a profile or a trace |
//! | [`watching`] | follows a running migration, whoever started it |
//! | [`mod@when`] | says when to move a guest, from what was recorded of it |
//! | [`document`] | the JSON documents, with their schemas |
//! | [`benchmarking`] | Virt-LM: runs benchmarks, goes on with them, lists them |
//! | [`demo`] | five guests on a testbed, forecast beside outcome |
//!
//! The loop from history back to observation is closed here, by value.

pub mod benchmarking;
pub mod choosing;
pub mod comparison;
pub mod demo;
pub mod document;
mod earlier;
pub mod energy;
mod error;
mod guard_command;
pub mod guarding;
mod history_place;
pub mod imports;
pub mod link;
pub mod measure;
pub mod models;
pub mod moving;
pub mod predict;
pub mod profile;
pub mod profiling;
pub mod promising;
pub mod recording;
pub mod simulating;
mod steering;
mod traces;
pub mod watching;
pub mod when;

pub use error::Error;
pub use guard_command::guard_command;
pub use history_place::HistoryPlace;
pub use vmferry_core as core;
pub use vmferry_history as history;
pub use vmferry_hypervisor as hypervisor;
pub use vmferry_migrate as migrate;
pub use vmferry_model as model;
pub use vmferry_precopy as precopy;
pub use vmferry_testbed as testbed;

/// Version of vmferry, as documents and records carry it.
pub const TOOL_VERSION: &str = env!("CARGO_PKG_VERSION");
