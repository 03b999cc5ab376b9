//! Where convergence begins.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Axis, Cost, Grid, Point, Settings, SweepError};

/// A move converges from this probability on.
pub const BOUNDARY_PROBABILITY: f64 = 0.5;
/// The boundary is known to this factor.
const EXACT_TO: f64 = 1.005;

/// Where convergence begins along one axis, all else being as it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Boundary {
    /// The axis.
    pub along: Axis,
    /// Where it lies.
    pub place: Place,
    /// The settings there: the least value from which on the move converges with
    /// a probability of a half or more, known to 0.5 %; the least value that was
    /// tried where all converge, the greatest where the move does not converge
    /// at the greatest.
    #[serde(flatten)]
    pub settings: Settings,
}

/// Where a boundary lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// Within the range that was swept.
    Within,
    /// Below it: the move converges everywhere.
    Everywhere,
    /// Above it: the move does not even converge at the greatest value.
    Nowhere,
}

/// Points that differ along one axis alone, by growing value.
pub(super) struct Line<'a> {
    axis: Axis,
    points: Vec<&'a Point>,
}

/// The lines of a grid along bandwidth and downtime limit, where these are
/// swept; rules without a downtime limit have none along it.
pub(super) fn lines<'a>(grid: &Grid, points: &'a [Point]) -> Vec<Line<'a>> {
    let mut lines: Vec<Line<'a>> = Vec::new();
    for axis in [Axis::Bandwidth, Axis::MaxDowntime] {
        let values = grid.values(axis);
        if values.len() < 2 {
            continue;
        }
        let begin = |point: &&Point| {
            let matters = axis == Axis::Bandwidth || point.settings.rules.has_downtime_limit();
            matters && point.settings.get(axis) == values[0]
        };
        for first in points.iter().filter(begin) {
            let alike = |point: &&Point| point.settings.with(axis, values[0]) == first.settings;
            lines.push(Line {
                axis,
                points: points.iter().filter(alike).collect(),
            });
        }
    }
    lines
}

fn converges(cost: &Cost) -> bool {
    cost.converges_probability >= BOUNDARY_PROBABILITY
}

impl Line<'_> {
    /// Its boundary, found by halving the gap (of logarithms) above the greatest
    /// value that does not converge.
    pub(super) fn boundary(
        &self,
        cost_at: &impl Fn(&Settings) -> Result<Cost, SweepError>,
    ) -> Result<Boundary, SweepError> {
        let found = |place, settings| Boundary {
            along: self.axis,
            place,
            settings,
        };
        let hopeless = self
            .points
            .iter()
            .rposition(|point| !converges(&point.cost));
        let Some(hopeless) = hopeless else {
            return Ok(found(Place::Everywhere, self.points[0].settings));
        };
        let below = self.points[hopeless].settings;
        let Some(above) = self.points.get(hopeless + 1) else {
            return Ok(found(Place::Nowhere, below));
        };
        let mut low = below.get(self.axis);
        let mut high = above.settings.get(self.axis);
        while high > low * EXACT_TO {
            let middle = (low * high).sqrt();
            if converges(&cost_at(&below.with(self.axis, middle))?) {
                high = middle;
            } else {
                low = middle;
            }
        }
        Ok(found(Place::Within, below.with(self.axis, high)))
    }
}
