//! The document in JSON: every raw sample, and what follows from them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::results::Results;
use crate::record::BenchRecord;

/// A benchmark and what follows from it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BenchDocument {
    /// 1.
    pub schema_version: u32,
    /// Whether the traces of probes and the series of clients were left out.
    pub lean: bool,
    /// What was measured.
    pub record: BenchRecord,
    /// What follows from it.
    pub results: Results,
}

impl BenchDocument {
    /// Everything.
    pub fn whole(record: &BenchRecord, results: &Results) -> Self {
        Self {
            schema_version: 1,
            lean: false,
            record: record.clone(),
            results: results.clone(),
        }
    }

    /// The same without the traces of probes and the series of clients, which are most of it; all
    /// that was computed of them stays.
    #[must_use]
    pub fn leaned(mut self) -> Self {
        self.lean = true;
        for run in &mut self.record.runs {
            for service in [&mut run.reference, &mut run.migrated]
                .into_iter()
                .flatten()
            {
                service.series.clear();
            }
            for point in &mut run.points {
                point.probes.clear();
            }
        }
        self
    }
}
