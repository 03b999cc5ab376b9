//! Samplers: a guest's pages, its page mix, its CPUs and its link, seen from outside, and its
//! hosts' power; and a guest's outages, seen by its clients. Raw observations only: fits and extrapolation are `vmferry-model`'s.
//!
//! ```no_run
//! use vmferry_hypervisor::qmp::{ConnectOptions, Guest};
//! use vmferry_measure::{ObserveOptions, observe};
//!
//! # async fn example() -> Result<(), vmferry_measure::MeasureError> {
//! let uri = "qmp:/run/a.qmp".parse().expect("a guest's address");
//! let guest = Guest::connect(&uri, ConnectOptions::default()).await?;
//! let observation = observe(&guest, &ObserveOptions::default()).await?;
//! println!("{}", observation.dirty_curve.rate_over(std::time::Duration::from_secs(1)));
//! # Ok(())
//! # }
//! ```

mod background;
mod backing;
mod calc_dirty_rate;
mod census;
mod content;
mod cpu_clock;
mod dirty_curve;
mod error;
mod interface;
pub mod link;
mod memory;
mod network_namespace;
pub mod observe;
pub mod outage;
mod pace;
pub mod page_mix;
pub mod pages;
pub mod power;
mod process;
pub mod recording;
mod route;
mod vcpu;

pub use census::rewritten_pages;
pub use content::Content;
pub use cpu_clock::process_cpu_time;
pub use dirty_curve::{dirty_curve, nested_dirty_curve};
pub use error::MeasureError;
pub use interface::{Sent, WireCounter, stream_address};
pub use link::{LinkOptions, measure_link};
pub use memory::GuestMemory;
pub use observe::{Method, ObserveOptions, observe, observe_with};
pub use process::Process;
pub use recording::{RecordOptions, record};
pub use vcpu::{VcpuMeter, VcpuUse};
