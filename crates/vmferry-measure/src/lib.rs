//! Samplers: a guest's pages, its page mix, its CPUs and its link, seen from outside. Raw
//! observations only: fits and extrapolation are `vmferry-model`'s.

mod content;
mod cpu_clock;
mod dirty_curve;
mod error;
mod memory;
pub mod pages;
mod process;

pub use content::Content;
pub use dirty_curve::dirty_curve;
pub use error::MeasureError;
pub use memory::GuestMemory;
pub use process::Process;
