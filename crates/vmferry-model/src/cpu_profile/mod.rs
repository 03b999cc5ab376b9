//! Migration time against the CPU given to the migration (`dom0cpu`).
//!
//! ```text
//! CapPoint (one profiling migration) ─> CpuProfile::fit
//!    for every guest: time against the cap at either end     LawFit: a power law, or one with a plateau
//!                     rate of the stream under both caps     Surface
//! CpuProfile ─> for_use(what a guest uses) ─> rate_under(caps) ─> Throughput ─> replays
//!            ─> source_cap_for(rate): which CPU cap is which bandwidth cap
//! Demands of several migrations ─> estimate, best_concurrency; beside real ones: ParallelCheck, BestAtOnce
//! CpuProfile, ParallelChecks ─> Goodness
//! ```

mod evaluation;
mod fit;
mod goodness;
mod law;
mod parallel;
mod parallel_check;
mod point;
mod profile;
mod surface;
mod throughput;

pub use evaluation::Evaluation;
pub use fit::{LEAST_CAPS, LawFit, Residual};
pub use goodness::Goodness;
pub use law::{CapLaw, Form};
pub use parallel::{
    Concurrency, Cpus, Demand, ParallelEstimate, Shared, TimeAt, best_concurrency, estimate,
    even_cap,
};
pub use parallel_check::{BestAtOnce, ParallelCheck};
pub use point::{CapPoint, Caps, Intensive, ParallelPoint};
pub use profile::{CpuProfile, GuestProfile, Sweep};
pub use surface::Surface;
pub use throughput::{Throughput, least_share};
