//! The points of a sweep.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vmferry_core::{ByteRate, Bytes, Millis, PAGE_SIZE};

use super::{Model, Rules, SweepError};

/// Most points of a sweep.
pub const MOST_POINTS: usize = 10_000;
/// Most things that are swept at once, beside the rules.
pub const MOST_SWEPT: usize = 2;

/// What can be swept beside the rules, in the order of preference for the
/// horizontal axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Axis {
    /// The link's rate, bytes per second.
    Bandwidth,
    /// The downtime limit, ms.
    MaxDowntime,
    /// How fast the guest writes, 1 as observed.
    Dirt,
    /// The guest's memory, bytes.
    Memory,
}

impl Axis {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Bandwidth, Self::MaxDowntime, Self::Dirt, Self::Memory];

    /// What people call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bandwidth => "bandwidth",
            Self::MaxDowntime => "max downtime",
            Self::Dirt => "dirt",
            Self::Memory => "memory",
        }
    }
}

impl fmt::Display for Axis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Where a point lies.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Settings {
    /// By whose rules.
    pub rules: Rules,
    /// Memory that a first pass goes over.
    #[serde(rename = "memory_bytes")]
    pub memory: Bytes,
    /// Speed of the guest's writing, 1 as observed.
    #[serde(rename = "dirt_factor")]
    pub dirt: f64,
    /// The downtime limit.
    #[serde(rename = "max_downtime_ms")]
    pub max_downtime: Millis,
    /// The link's rate, frames included.
    #[serde(rename = "wire_rate_bytes_per_s")]
    pub bandwidth: ByteRate,
}

impl Settings {
    /// Its value along an axis, in the axis' unit.
    pub fn get(&self, axis: Axis) -> f64 {
        match axis {
            Axis::Bandwidth => self.bandwidth.0,
            Axis::MaxDowntime => self.max_downtime.0,
            Axis::Dirt => self.dirt,
            Axis::Memory => self.memory.0 as f64,
        }
    }

    /// The same elsewhere along an axis.
    #[must_use]
    pub fn with(mut self, axis: Axis, value: f64) -> Self {
        match axis {
            Axis::Bandwidth => self.bandwidth = ByteRate(value),
            Axis::MaxDowntime => self.max_downtime = Millis(value),
            Axis::Dirt => self.dirt = value,
            Axis::Memory => self.memory = Bytes(value.round() as u64),
        }
        self
    }
}

/// Every combination of the values along each axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Grid {
    rules: Vec<Rules>,
    bandwidth: Vec<f64>,
    max_downtime: Vec<f64>,
    dirt: Vec<f64>,
    memory: Vec<f64>,
}

impl Grid {
    /// The combinations of some values, which are put in order; repeated ones
    /// count once.
    ///
    /// # Errors
    /// When a list is empty, a value makes no sense, more than two axes have
    /// several values, or there are too many points.
    pub fn new(
        rules: &[Rules],
        bandwidth: &[ByteRate],
        max_downtime: &[Millis],
        dirt: &[f64],
        memory: &[Bytes],
    ) -> Result<Self, SweepError> {
        if rules.is_empty() {
            return Err(SweepError::Empty { axis: "rules" });
        }
        let mut distinct: Vec<Rules> = Vec::new();
        for rules in rules {
            if !distinct.contains(rules) {
                distinct.push(*rules);
            }
        }
        let pages = |memory: &Bytes| (memory.pages().0 * PAGE_SIZE.0) as f64;
        let grid = Self {
            rules: distinct,
            bandwidth: ordered(Axis::Bandwidth, bandwidth.iter().map(|rate| rate.0))?,
            max_downtime: ordered(Axis::MaxDowntime, max_downtime.iter().map(|limit| limit.0))?,
            dirt: ordered(Axis::Dirt, dirt.iter().copied())?,
            memory: ordered(Axis::Memory, memory.iter().map(pages))?,
        };
        let swept = grid.swept();
        if swept.len() > MOST_SWEPT {
            let axes = swept.into_iter().map(Axis::name).collect();
            return Err(SweepError::TooManyAxes { axes });
        }
        let lengths = Axis::ALL.map(|axis| grid.values(axis).len());
        let points = lengths
            .into_iter()
            .fold(grid.rules.len(), usize::saturating_mul);
        if points > MOST_POINTS {
            return Err(SweepError::TooManyPoints { points });
        }
        Ok(grid)
    }

    /// The rule sets, in the order given.
    pub fn rules(&self) -> &[Rules] {
        &self.rules
    }

    /// Values along an axis, growing, in its unit.
    pub fn values(&self, axis: Axis) -> &[f64] {
        match axis {
            Axis::Bandwidth => &self.bandwidth,
            Axis::MaxDowntime => &self.max_downtime,
            Axis::Dirt => &self.dirt,
            Axis::Memory => &self.memory,
        }
    }

    /// Axes with several values: the horizontal one first.
    pub fn swept(&self) -> Vec<Axis> {
        let several = |axis: &Axis| self.values(*axis).len() > 1;
        Axis::ALL.into_iter().filter(several).collect()
    }

    /// Every point; along the horizontal axis neighbours follow each other.
    pub fn points(&self) -> Vec<Settings> {
        let mut points = Vec::new();
        for rules in &self.rules {
            for memory in &self.memory {
                for dirt in &self.dirt {
                    for max_downtime in &self.max_downtime {
                        points.extend(self.bandwidth.iter().map(|bandwidth| Settings {
                            rules: *rules,
                            memory: Bytes(*memory as u64),
                            dirt: *dirt,
                            max_downtime: Millis(*max_downtime),
                            bandwidth: ByteRate(*bandwidth),
                        }));
                    }
                }
            }
        }
        points
    }

    /// A formula goes with the textbook's rules only.
    pub(super) fn check_rules(&self, model: Model) -> Result<(), SweepError> {
        let other = self.rules.iter().find(|rules| **rules != Rules::Textbook);
        match other {
            Some(rules) if model.is_formula() => Err(SweepError::OtherRules {
                model,
                rules: *rules,
            }),
            _ => Ok(()),
        }
    }
}

fn ordered(axis: Axis, values: impl Iterator<Item = f64>) -> Result<Vec<f64>, SweepError> {
    let mut values: Vec<f64> = values.collect();
    if values.is_empty() {
        return Err(SweepError::Empty { axis: axis.name() });
    }
    let least = if axis == Axis::Dirt {
        0.0
    } else {
        f64::MIN_POSITIVE
    };
    let wanted = match axis {
        Axis::Dirt => "a factor from 0 up",
        Axis::Memory => "at least one page",
        Axis::Bandwidth | Axis::MaxDowntime => "a positive number",
    };
    if let Some(value) = values.iter().find(|v| !(v.is_finite() && **v >= least)) {
        return Err(SweepError::BadValue {
            axis,
            value: *value,
            wanted,
        });
    }
    values.sort_by(f64::total_cmp);
    values.dedup();
    Ok(values)
}

/// `steps` values from one to another, both included, each the same multiple of
/// the one before; both are positive, `steps` is at least 2.
pub fn geometric(from: f64, to: f64, steps: u32) -> Vec<f64> {
    let last = steps.max(2) - 1;
    let inner = (1..last).map(|step| from * (to / from).powf(f64::from(step) / f64::from(last)));
    std::iter::once(from)
        .chain(inner)
        .chain(std::iter::once(to))
        .collect()
}
