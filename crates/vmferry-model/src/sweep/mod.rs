//! What if: one guest moved over other links, under other limits, with more
//! memory, writing faster, by other hypervisors' rules.
//!
//! ```text
//! Observation, PageTrace ─> Guest ─┐
//! Grid ─> Settings of every point ─┴─> Cost of every point ─> boundary of convergence
//! ```
//!
//! Every point sees the same draws, so that two differ by their settings and not
//! by luck. Points are computed side by side; what comes out does not depend on
//! the number of threads.
//!
//! # What the settings mean
//! - **bandwidth**: the link's rate as the link counts it (frames included).
//! - **max downtime**: the limit of QEMU's rules and of the textbook's. Xen and
//!   post-copy know none: it changes nothing for them.
//! - **memory**: what a first pass goes over. What the guest wrote within the
//!   window stays as it is; memory that it never wrote shrinks or grows, with its
//!   share of zero pages. So no guest is smaller than what it writes.
//! - **dirt**: the guest's time runs so many times as fast while it moves: it
//!   dirties in t what it did in `dirt` x t. 0 is a guest that writes nothing.

mod boundary;
mod cost;
mod error;
mod grid;
mod guest;
mod model;
mod rules;

use std::num::NonZeroUsize;

use vmferry_core::plan::MoveLimits;
use vmferry_core::{ByteRate, Millis, Observation};
use vmferry_precopy::dirt::PageTrace;

use crate::assumptions::Assumptions;
use crate::threads::in_parallel;

pub use boundary::{BOUNDARY_PROBABILITY, Boundary, Place};
pub use cost::Cost;
pub use error::SweepError;
pub use grid::{Axis, Grid, MOST_POINTS, MOST_SWEPT, Settings, geometric};
pub use model::Model;
pub use rules::Rules;

use guest::Guest;

/// What a sweep is made of.
#[derive(Clone, Debug)]
pub struct Sweep<'a> {
    /// The guest as it was observed.
    pub observation: &'a Observation,
    /// A trace of all its pages, where there is one: it replaces the sample of
    /// pages wherever memory is as observed and the rules are those of pre-copy.
    pub whole: Option<&'a PageTrace>,
    /// The model.
    pub model: Model,
    /// The points.
    pub grid: &'a Grid,
    /// What is taken for granted of hypervisor and hosts; its number of samples
    /// is that of every point.
    pub assumptions: Assumptions,
    /// Most the stream may use; `None` is unlimited.
    pub max_bandwidth: Option<ByteRate>,
    /// Time within which a move should converge.
    pub deadline: Millis,
    /// Draws of the samples: the same seed gives the same answer.
    pub seed: u64,
    /// Points computed at once.
    pub threads: NonZeroUsize,
}

/// One point.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct Point {
    /// Where it lies.
    #[serde(flatten)]
    pub settings: Settings,
    /// What a move costs there.
    #[serde(flatten)]
    pub cost: Cost,
}

/// What a sweep found.
#[derive(Clone, Debug, PartialEq)]
pub struct Swept {
    /// The model that was used: what `auto` picked.
    pub model: Model,
    /// Every point, in the order of [`Grid::points`].
    pub points: Vec<Point>,
    /// Where convergence begins along a swept bandwidth or downtime limit, for
    /// every combination of the other settings.
    pub boundaries: Vec<Boundary>,
    /// What the reader should know, each a sentence.
    pub notes: Vec<String>,
}

/// Computes every point, and the boundary of convergence where the bandwidth or
/// the downtime limit is swept.
///
/// # Errors
/// When the model lacks what it needs, does not go with the rules, or the guest
/// cannot have a size that was asked for.
pub fn sweep(asked: &Sweep<'_>) -> Result<Swept, SweepError> {
    let model = asked.model.resolved(asked.observation);
    asked.grid.check_rules(model)?;
    let without_pages = asked.observation.without_pages();
    let guest = Guest::new(asked, model, &without_pages)?;
    let settings = asked.grid.points();
    for at in &settings {
        guest.check_memory(at.memory)?;
    }
    let cost_at = |at: &Settings| guest.cost(at);
    let costs = in_parallel(asked.threads, settings.len(), |point| {
        cost_at(&settings[point])
    });
    let points: Vec<Point> = settings
        .into_iter()
        .zip(costs)
        .map(|(settings, cost)| {
            Ok(Point {
                settings,
                cost: cost.ok_or(SweepError::Thread)??,
            })
        })
        .collect::<Result<_, SweepError>>()?;
    let lines = boundary::lines(asked.grid, &points);
    let found = in_parallel(asked.threads, lines.len(), |line| {
        lines[line].boundary(&cost_at)
    });
    let boundaries = found
        .into_iter()
        .map(|found| found.ok_or(SweepError::Thread)?)
        .collect::<Result<_, _>>()?;
    Ok(Swept {
        model,
        points,
        boundaries,
        notes: notes(asked, &guest),
    })
}

/// The limits of a move at a point.
fn limits(asked: &Sweep<'_>, at: &Settings) -> MoveLimits {
    MoveLimits {
        max_downtime_ms: Some(at.max_downtime),
        max_bandwidth: asked.max_bandwidth,
        deadline_ms: asked.deadline,
    }
}

fn notes(asked: &Sweep<'_>, guest: &Guest<'_>) -> Vec<String> {
    let grid = asked.grid;
    let mut notes = guest.sources();
    let limitless: Vec<String> = grid
        .rules()
        .iter()
        .filter(|rules| !rules.has_downtime_limit())
        .map(Rules::to_string)
        .collect();
    if !limitless.is_empty() {
        notes.push(format!(
            "The rules of {} know no downtime limit and end whatever the guest writes: to converge there is to end within the deadline, after any pause.",
            limitless.join(", ")
        ));
    }
    if let Some(cap) = asked.max_bandwidth
        && grid
            .values(Axis::Bandwidth)
            .last()
            .is_some_and(|most| *most > cap.0)
    {
        notes.push(format!(
            "max-bandwidth of {cap} holds the stream wherever the link is faster."
        ));
    }
    notes.extend(guest.window_note(asked));
    notes
}
