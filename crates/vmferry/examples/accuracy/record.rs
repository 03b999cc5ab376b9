//! What is kept of a cell: enough to forecast it again.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use vmferry::core::plan::MoveLimits;
use vmferry::core::{Forecast, LinkSpeed, Observation, Outcome, OutcomeStatus, Ratio};
use vmferry::model::{Assumptions, forecast};

use crate::cells::Cell;

/// One migration with the forecast frozen before it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) cell: Cell,
    pub(crate) link: LinkSpeed,
    pub(crate) limits: MoveLimits,
    pub(crate) observation: Observation,
    pub(crate) forecast: Forecast,
    pub(crate) outcome: Outcome,
    /// Work lost by the guest's own count.
    pub(crate) guest_slowdown: Option<Ratio>,
}

/// Where the record of a cell is kept.
pub(crate) fn path(directory: &Path, cell: &Cell) -> PathBuf {
    directory.join(format!("{}.json", cell.name))
}

impl Record {
    pub(crate) fn read(path: &Path) -> Result<Self, Box<dyn std::error::Error>> {
        Ok(serde_json::from_slice(&fs::read(path)?)?)
    }

    pub(crate) fn write(&self, directory: &Path) -> std::io::Result<()> {
        fs::write(path(directory, &self.cell), serde_json::to_vec(self)?)
    }

    /// Whether the move came to its end by itself within the deadline.
    pub(crate) fn converged(&self) -> bool {
        self.outcome.status == OutcomeStatus::Completed
            && self
                .outcome
                .total_time_ms
                .is_some_and(|total| total.0 <= self.limits.deadline_ms.0)
    }

    /// Forecasts anew from what was observed, with the model as it is now.
    pub(crate) fn forecast_again(&mut self) -> Result<(), Box<dyn std::error::Error>> {
        let mut assumptions = Assumptions::for_guest(&self.observation.guest);
        assumptions.rules.downtime_limit = Duration::from_millis(300);
        // Where both downtimes are one, the move was made with `return-path`.
        let (downtime, of_qemu) = (self.outcome.downtime_ms, self.outcome.qemu_downtime_ms);
        if let (Some(downtime), Some(of_qemu)) = (downtime, of_qemu) {
            assumptions.rules.return_path = (downtime.0 - of_qemu.0).abs() < 5.0;
        }
        self.forecast = forecast(&self.observation, &self.link, &self.limits, &assumptions, 1)?;
        Ok(())
    }

    pub(crate) fn line(&self) -> String {
        let (f, o) = (&self.forecast, &self.outcome);
        let text = |v: Option<f64>| v.map_or_else(|| "-".to_owned(), |v| format!("{v:.0}"));
        format!(
            "p {:.2}; total {} / {} ms; downtime {} / {} ms; passes {} / {}; {:.0} Mbit/s; {:?}",
            f.converges_probability,
            text(f.total_time_ms.map(|i| i.p50.0)),
            text(o.total_time_ms.map(|m| m.0)),
            text(f.downtime_ms.map(|i| i.p50.0)),
            text(o.downtime_ms.map(|m| m.0)),
            text(f.passes.map(|i| i.p50)),
            text(o.passes.map(|p| p as f64)),
            self.link.wire_rate.mbit_per_s(),
            o.status,
        )
    }
}
