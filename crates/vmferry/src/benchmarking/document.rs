//! The documents of `vmferry bench`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vmferry_bench::compare::Comparison;
use vmferry_bench::gate::GateResult;
use vmferry_bench::store::BenchEntry;
use vmferry_core::ExitCode;

use crate::document::Versions;

/// `vmferry bench list -o json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BenchList {
    /// Versions.
    #[serde(flatten)]
    pub versions: Versions,
    /// The benchmarks, latest first.
    pub benchmarks: Vec<BenchEntry>,
    /// What is wrong with those that cannot be read; empty when all is well.
    pub unreadable: Vec<String>,
}

/// `vmferry bench run -o json` and `vmferry bench resume -o json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BenchRunReport {
    /// Versions.
    #[serde(flatten)]
    pub versions: Versions,
    /// The benchmark that ended.
    #[serde(flatten)]
    pub benchmark: BenchEntry,
}

impl BenchRunReport {
    /// 0 where at least one run got to its end; else there is nothing to report on.
    pub fn exit_code(&self) -> ExitCode {
        if self.benchmark.runs_failed < self.benchmark.runs_done {
            ExitCode::Done
        } else {
            ExitCode::TooLittleData
        }
    }
}

/// `vmferry bench compare -o json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BenchComparison {
    /// Versions.
    #[serde(flatten)]
    pub versions: Versions,
    /// Each subject with the baseline.
    pub comparisons: Vec<Comparison>,
    /// How it went at every gate (`--fail-if`), in the order of the comparisons.
    pub gates: Vec<GateResult>,
}

impl BenchComparison {
    /// 30 where a gate failed.
    pub fn exit_code(&self) -> ExitCode {
        if self.gates.iter().any(|gate| gate.failed) {
            ExitCode::Regression
        } else {
            ExitCode::Done
        }
    }
}
