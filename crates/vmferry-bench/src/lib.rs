//! Virt-LM, the live-migration benchmark (`virtlm2011`), for today's hypervisors.
//!
//! A [`plan::BenchPlan`] names *subjects* (settings and binaries to compare), *workloads* (real
//! services) and *loads* around them. For every cell of those the procedure runs the service once
//! without and once with migrations, at the end of every *sector* of its running time, through a
//! [`platform::Platform`]. What it measures is a [`record::BenchRecord`], from which scores,
//! comparisons and reports follow.
//!
//! | word | meaning |
//! |---|---|
//! | *subject* | what is judged: a hypervisor binary with settings |
//! | *workload* | a service inside the guest and its clients outside |
//! | *load* | light: the guest alone; heavy: with as many others as the host bears |
//! | *sector* | an equal part of the workload's running time |
//! | *migration point* | the end of a sector, at which the guest is migrated |
//! | *way back* | the static migration after each: the guest returns while stopped |
//!
//! What is said of a record is computed from it by pure code: the same record, the same answer.
//!
//! ```text
//! BenchRecord ─> figures(): every point, run and cell     Side: one subject of one record
//! Side, reference Side ─> Scores, Repeatability           judged against another
//! Side, baseline Side ─> Comparison, Gate::evaluate()     which differences are real, which limits kept
//! BenchRecord ─> ForecastReport, Findings
//! ```

mod best;
pub mod compare;
mod completion;
mod contrast;
pub mod difference;
mod error;
pub mod estimate;
pub mod figures;
pub mod findings;
#[cfg(test)]
pub(crate) mod fixture;
pub mod forecasts;
pub mod gate;
mod limit;
pub mod metric;
pub mod plan;
pub mod platform;
pub mod procedure;
pub mod record;
pub mod reference;
pub mod repeatability;
pub mod report;
pub mod score;
pub mod side;
pub mod store;

pub use error::BenchError;
