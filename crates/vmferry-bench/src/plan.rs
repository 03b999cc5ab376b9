//! What is compared, on which workloads, how often.

mod built_in;
mod check;
mod file;
mod order;
mod written;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vmferry_core::promise::Promise;
use vmferry_core::{ByteRate, Millis};

pub use check::{PlanFault, PlanPart};
pub(crate) use order::Sharing;

/// A benchmark as its plan file (TOML) says it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BenchPlan {
    /// Its name in reports.
    pub name: String,
    /// The services, by the names of the platform: `web`, `postgres`, `standby`.
    pub workloads: Vec<String>,
    /// The loads around the guest, at least one.
    pub loads: Vec<Load>,
    /// Migration points in a run, 1 or more. The running time has one sector more.
    pub points: u32,
    /// Length of a sector, seconds. One in which a migration takes longer ends with that.
    pub sector_s: f64,
    /// Time from the begin of the load to the begin of the running time, seconds.
    pub warm_up_s: f64,
    /// Runs of every cell, 1 or more.
    pub repeats: u32,
    /// Rate of the migration link, frames included; absent: not shaped.
    #[serde(rename = "link_bytes_per_s")]
    pub link: Option<ByteRate>,
    /// The downtime limit that subjects are given unless they set their own.
    pub max_downtime_ms: Millis,
    /// A migration that has not ended by then is cancelled and scored by the rule of
    /// [`crate::record::PointRecord::status`].
    pub deadline_ms: Millis,
    /// How long the guest is observed for the forecast before each migration, seconds.
    pub observe_s: f64,
    /// Guests beside the migrated one under heavy load; absent: added until a new one hurts.
    #[serde(default)]
    pub background_guests: Option<u32>,
    /// The power meter of the source host, as `vmferry profile energy --meter` names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meter: Option<String>,
    /// The same of the destination host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination_meter: Option<String>,
    /// What is compared; the first is the one that others are compared with.
    pub subjects: Vec<Subject>,
}

/// The load around the migrated guest.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Load {
    /// The guest alone on its host.
    Light,
    /// With guests beside it, added until a new one clearly hurts.
    Heavy,
}

/// What is judged: a hypervisor with settings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Subject {
    /// Its name in reports: letters, digits, `.`, `-`.
    pub name: String,
    /// The hypervisor's binary at both hosts; absent: the platform's own.
    pub binary: Option<PathBuf>,
    /// The machine type; absent: the platform's own.
    pub machine: Option<String>,
    /// Migration capabilities to set at both ends, by the hypervisor's names.
    pub capabilities: BTreeMap<String, bool>,
    /// Migration parameters to set at both ends, by the hypervisor's names.
    pub parameters: BTreeMap<String, serde_json::Value>,
    /// Start post-copy when so many milliseconds of pre-copy have gone.
    pub postcopy_after_ms: Option<Millis>,
    /// Let vmferry steer the move under this promise.
    pub promise: Option<Promise>,
}

impl Load {
    /// Its name in plans and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Light => "light",
            Self::Heavy => "heavy",
        }
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
