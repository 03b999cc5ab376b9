//! The document in JSON: every raw sample, and what follows from them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::record::{BenchRecord, ServiceRun};

/// A benchmark and what follows from it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BenchDocument {
    /// 1.
    pub schema_version: u32,
    /// Whether the traces of probes and the series of clients were left out.
    pub lean: bool,
    /// What was measured.
    pub record: BenchRecord,
}

impl BenchDocument {
    /// Everything.
    pub fn whole(record: &BenchRecord) -> Self {
        Self {
            schema_version: 1,
            lean: false,
            record: record.clone(),
        }
    }

    /// The same without the traces of probes and the series of clients, which are most of it; all
    /// that was computed of them stays.
    #[must_use]
    pub fn leaned(mut self) -> Self {
        self.lean = true;
        for run in &mut self.record.runs {
            for service in [&mut run.reference, &mut run.migrated] {
                service.iter_mut().for_each(ServiceRun::drop_series);
            }
            for point in &mut run.points {
                point.probes.clear();
            }
        }
        self
    }
}

impl ServiceRun {
    fn drop_series(&mut self) {
        self.series.clear();
    }
}
