//! Moves the guests that were chosen, one after another.

use std::process::Command;
use std::time::Duration;

use tokio::sync::watch;
use vmferry_core::{ExitCode, LinkSpeed, Observation, OutcomeStatus, Place, Plan};
use vmferry_measure::ObserveOptions;
use vmferry_migrate::{DEFAULT_STALL_TIMEOUT, EventSink, MoveDir};

use crate::Error;
use crate::HistoryPlace;
use crate::document::MigrateReport;
use crate::moving::{self, MoveOptions, Observed};

/// A move that can be made as it was chosen.
#[derive(Clone, Debug)]
pub struct Ready {
    /// What the guest is called.
    pub name: String,
    /// The move.
    pub plan: Plan,
    /// What the choice was based on, and the forecast of the move will be.
    pub observation: Observation,
    /// The link as the choice assumed it.
    pub link: LinkSpeed,
}

/// How the chosen are moved.
pub struct Executing<'a> {
    /// Name of the model that forecasts.
    pub model: &'a str,
    /// The command that runs a guard.
    pub guard: fn(&MoveDir) -> Command,
    /// A `true` cancels the move under way, and those to come.
    pub cancel: watch::Receiver<bool>,
    /// Hears every event.
    pub sink: EventSink,
    /// How long a stream may stand still before the move is given up.
    pub stall_timeout: Duration,
}

impl Executing<'_> {
    /// With what a move takes by default.
    pub const STALL_TIMEOUT: Duration = DEFAULT_STALL_TIMEOUT;

    /// Makes the moves in order, and learns from each (`liu2011` section 4.1).
    /// Stops at the first that does not end with the guest at its destination:
    /// whatever kept it may keep the others. Every move that began is reported.
    ///
    /// # Errors
    /// Where a move could not be started, with the reports of those before it.
    pub async fn run(
        &self,
        ready: &[Ready],
        mut tell: impl FnMut(&Ready),
    ) -> (Vec<MigrateReport>, Result<(), Error>) {
        let mut made = Vec::new();
        for one in ready {
            if *self.cancel.borrow() {
                break;
            }
            tell(one);
            let report = match self.make(one).await {
                Ok(report) => report,
                Err(error) => return (made, Err(error)),
            };
            let moved = report.place == Place::RunningAtDestination;
            made.push(report);
            if !moved {
                break;
            }
        }
        (made, Ok(()))
    }

    async fn make(&self, ready: &Ready) -> Result<MigrateReport, Error> {
        let options = MoveOptions {
            history: HistoryPlace::Usual,
            model: self.model.to_owned(),
            bandwidth: None,
            observe: ObserveOptions::default(),
            profile: None,
            forecast: true,
            at_once: true,
            stall_timeout: self.stall_timeout,
        };
        let known = Observed {
            observation: ready.observation.clone(),
            link: ready.link.clone(),
        };
        let prepared =
            moving::prepare_observed(ready.plan.clone(), &options, known, &self.sink).await?;
        if prepared.is_advised_against() {
            // What earlier moves of this run taught may have changed the forecast.
            return Ok(prepared.dry_report());
        }
        let sink = std::sync::Arc::clone(&self.sink);
        prepared.go(self.guard, self.cancel.clone(), sink).await
    }
}

/// The exit code of moves that were to be so many: that of the first that did not
/// end well.
pub fn exit_code(moves: &[MigrateReport], wanted: usize) -> ExitCode {
    let failed = moves.iter().find_map(|report| match &report.outcome {
        Some(outcome) if outcome.status == OutcomeStatus::Completed => {
            let code = moving::exit_code(report);
            (code != ExitCode::Done).then_some(code)
        }
        Some(_) => Some(moving::exit_code(report)),
        None => Some(ExitCode::AdvisedAgainst),
    });
    match failed {
        Some(code) => code,
        None if moves.len() < wanted => ExitCode::Cancelled,
        None => ExitCode::Done,
    }
}
