//! What the procedure tells on its way: one stream, for all who want to follow.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use vmferry_core::Millis;

use crate::record::{HeavyLoad, PointStatus, RunKey};

/// Something happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum BenchEvent {
    /// Something is made ready before anything is measured.
    Preparing {
        /// What: `the machine`, `subject multifd`, `workload web`.
        what: String,
    },
    /// The runs begin, or go on.
    Begun {
        /// Which benchmark.
        id: Uuid,
        /// Where it is kept.
        path: PathBuf,
        /// Runs that ended earlier.
        done: usize,
        /// Runs of the plan.
        of: usize,
        /// About how long it takes from now on, seconds.
        left_s: f64,
    },
    /// A run begins.
    RunBegun {
        /// Which one.
        key: RunKey,
        /// Its number, from 1 on.
        number: usize,
        /// Runs of the plan.
        of: usize,
    },
    /// A part of a run begins.
    Step {
        /// Of which run.
        key: RunKey,
        /// Which part.
        step: RunStep,
    },
    /// So many guests beside the migrated one were tried.
    HeavyTried {
        /// The workload.
        workload: String,
        /// Guests beside it.
        background_guests: u32,
        /// Median over all guests of their operations per second.
        rate_per_s: f64,
    },
    /// It is known how many guests make heavy load.
    HeavyFound(HeavyLoad),
    /// A migration and its way back are over.
    Point {
        /// Of which run.
        key: RunKey,
        /// From 1 on.
        point: u32,
        /// Points of the run.
        of: u32,
        /// How the migration ended.
        status: PointStatus,
        /// From the command to its end.
        total_time_ms: Option<Millis>,
        /// Absence as seen by ICMP echo.
        downtime_ms: Option<Millis>,
        /// Why it did not complete, in words.
        failure: Option<String>,
    },
    /// A run ended and is kept.
    RunEnded {
        /// Which one.
        key: RunKey,
        /// Why it did not get to its end, in words.
        failure: Option<String>,
        /// Runs that ended so far.
        done: usize,
        /// Runs of the plan.
        of: usize,
        /// About how long the others take, seconds.
        left_s: f64,
    },
    /// Something is not as it should be.
    Warning {
        /// What.
        message: String,
    },
    /// All runs have been made.
    Ended {
        /// Which benchmark.
        id: Uuid,
    },
}

/// A part of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RunStep {
    /// Guests are added until a new one hurts.
    HeavySearch,
    /// The service without migrations.
    Reference,
    /// The service with migrations.
    Migrated,
}
