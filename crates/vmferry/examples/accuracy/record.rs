//! What is kept of a cell: enough to forecast it again.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;
use vmferry::core::plan::MoveLimits;
use vmferry::core::{
    Forecast, LinkSpeed, Millis, MoveRecord, Observation, Outcome, OutcomeStatus, Plan, Ratio,
};
use vmferry::model::{Assumptions, Experience, forecast};

use crate::cells::Cell;

/// Earlier moves a forecast learns from, as with the history.
const LEARNED_FROM: usize = 50;

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
    /// The same move forecast from an observation in the background.
    pub(crate) background: Option<Background>,
    /// Where the boundary of convergence was searched: the link's rate there by the forecast.
    pub(crate) boundary_mbit: Option<f64>,
    /// Time from the guest's start to the move.
    pub(crate) moved_after_ms: f64,
    /// The outcome of the same move of another guest like it, as long after its start.
    pub(crate) repeat: Option<Outcome>,
    /// The forecast with what the moves before this one taught; made for a report.
    #[serde(skip)]
    pub(crate) learned: Option<Forecast>,
}

/// What an observation within the background budget, at the same time, would have said.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Background {
    pub(crate) observation: Observation,
    pub(crate) forecast: Forecast,
}

/// Where the record of a cell is kept.
pub(crate) fn path(directory: &Path, cell: &Cell) -> PathBuf {
    directory.join(format!("{}.json", cell.name))
}

impl Record {
    pub(crate) fn read(path: &Path) -> Result<Self, Box<dyn Error>> {
        Ok(serde_json::from_slice(&fs::read(path)?)?)
    }

    pub(crate) fn write(&self, directory: &Path) -> std::io::Result<()> {
        fs::write(path(directory, &self.cell), serde_json::to_vec(self)?)
    }

    /// Whether the move came to its end by itself within the deadline.
    pub(crate) fn converged(&self) -> bool {
        self.came_to_its_end(&self.outcome)
    }

    /// The repeat, where it came to its end too.
    pub(crate) fn converged_repeat(&self) -> Option<&Outcome> {
        self.repeat.as_ref().filter(|o| self.came_to_its_end(o))
    }

    fn came_to_its_end(&self, outcome: &Outcome) -> bool {
        let in_time = |total: Millis| total.0 <= self.limits.deadline_ms.0;
        outcome.status == OutcomeStatus::Completed && outcome.total_time_ms.is_some_and(in_time)
    }

    /// Forecasts anew from what was observed, with the model as it is now.
    pub(crate) fn forecast_again(&mut self) -> Result<(), Box<dyn Error>> {
        let assumptions = self.assumptions();
        self.forecast = forecast(&self.observation, &self.link, &self.limits, &assumptions, 1)?;
        if let Some(background) = &mut self.background {
            background.forecast = forecast(
                &background.observation,
                &self.link,
                &self.limits,
                &assumptions,
                1,
            )?;
        }
        Ok(())
    }

    /// What a forecast of this move takes for granted, with QEMU set as it was.
    pub(crate) fn assumptions(&self) -> Assumptions {
        let mut assumptions = Assumptions::for_guest(&self.observation.guest);
        assumptions.rules.downtime_limit = Duration::from_millis(300);
        assumptions.command_at = Some(self.outcome.started_at);
        // Where both downtimes are one, the move was made with `return-path`.
        let (downtime, of_qemu) = (self.outcome.downtime_ms, self.outcome.qemu_downtime_ms);
        if let (Some(downtime), Some(of_qemu)) = (downtime, of_qemu) {
            assumptions.rules.return_path = (downtime.0 - of_qemu.0).abs() < 5.0;
        }
        assumptions
    }

    /// Forecasts with what earlier moves taught, those before this one in time.
    pub(crate) fn learn_from(&mut self, earlier: &[MoveRecord]) -> Result<(), Box<dyn Error>> {
        let latest = &earlier[earlier.len().saturating_sub(LEARNED_FROM)..];
        let assumptions = self.assumptions().with(&Experience::of(latest));
        let (seen, link, limits) = (&self.observation, &self.link, &self.limits);
        self.learned = Some(forecast(seen, link, limits, &assumptions, 1)?);
        Ok(())
    }

    /// This move as the history would keep it.
    pub(crate) fn as_remembered(&self) -> Result<MoveRecord, Box<dyn Error>> {
        Ok(MoveRecord {
            schema_version: 1,
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
            move_id: Uuid::nil(),
            started_at: self.outcome.started_at,
            plan: Plan {
                source: "qmp:/source.sock".parse()?,
                destination: "qmp:/destination.sock".parse()?,
                via: "tcp:10.78.0.2:4444".parse()?,
                limits: self.limits,
                tls_dir: None,
                promise: None,
            },
            guest: self.observation.guest.clone(),
            source_host: self.observation.host.clone(),
            destination_host: self.observation.host.clone(),
            link: Some(self.link.clone()),
            forecast: Some(self.forecast.clone()),
            outcome: Some(self.outcome.clone()),
            raw_statistics: None,
        })
    }

    pub(crate) fn line(&self) -> String {
        let (f, o) = (&self.forecast, &self.outcome);
        let background = self.background.as_ref().map(|b| &b.forecast);
        let text = |v: Option<f64>| v.map_or_else(|| "-".to_owned(), |v| format!("{v:.0}"));
        format!(
            "p {:.2} ({:.2}); total {} ({}) / {} ms; downtime {} / {} ms; passes {} / {}; {:.0} Mbit/s; {:?}",
            f.converges_probability,
            background.map_or(f64::NAN, |b| b.converges_probability),
            text(f.total_time_ms.map(|i| i.p50.0)),
            text(background.and_then(|b| b.total_time_ms).map(|i| i.p50.0)),
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
