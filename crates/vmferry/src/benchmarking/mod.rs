//! Virt-LM, the live-migration benchmark: run, go on, list, report, compare.
//!
//! The procedure is `vmferry-bench`'s and works with any [`Platform`]; here it meets the directory
//! where benchmarks are kept, and the documents of the command line.

mod document;
mod judging;
mod making;
pub mod qemu;

pub use document::{BenchComparison, BenchList, BenchRunReport};
pub use judging::{SideRef, compare, judged, shipped};
pub use making::{list, read, resume, run};
pub use vmferry_bench::BenchError;
pub use vmferry_bench::gate::Gate;
pub use vmferry_bench::plan::{BenchPlan, Load, Subject};
pub use vmferry_bench::platform::Platform;
pub use vmferry_bench::procedure::{BenchEvent, RunStep, Tell};
pub use vmferry_bench::record::{BenchRecord, HeavyEnd, HeavyLoad, PointStatus, RunKey, RunRecord};
pub use vmferry_bench::report::json::BenchDocument;
pub use vmferry_bench::report::{html, markdown, page};
pub use vmferry_bench::side::SideName;
pub use vmferry_bench::store::{BenchEntry, BenchState, BenchStore};

use vmferry_core::ExitCode;

/// The exit code of what keeps a benchmark from being made.
pub(crate) fn exit_code(error: &BenchError) -> ExitCode {
    match error {
        BenchError::Plan { .. }
        | BenchError::NotFound(_)
        | BenchError::NoReport { .. }
        | BenchError::UnderWay { .. }
        | BenchError::Differs { .. }
        | BenchError::Ended { .. } => ExitCode::Usage,
        BenchError::NotReady { .. } | BenchError::LeftOver { .. } => ExitCode::Hypervisor,
        BenchError::Cancelled { .. } | BenchError::CancelledEarly => ExitCode::Cancelled,
        BenchError::NoPlace
        | BenchError::Io { .. }
        | BenchError::DiskFull { .. }
        | BenchError::Damaged { .. }
        | BenchError::Unkeepable { .. } => ExitCode::Internal,
    }
}
