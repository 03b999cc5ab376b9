//! Forecast and outcome of one move in one record.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::forecast::Forecast;
use crate::guest::{GuestInfo, HostInfo};
use crate::link::LinkSpeed;
use crate::outcome::Outcome;
use crate::plan::Plan;

/// What the history remembers of one move.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MoveRecord {
    /// Version of this document.
    pub schema_version: u32,
    /// Version of vmferry that made it.
    pub tool_version: String,
    /// Identifier; grows with time (UUID version 7).
    pub move_id: Uuid,
    /// When the record was opened.
    pub started_at: jiff::Timestamp,
    /// What was asked for.
    pub plan: Plan,
    /// The guest at the source.
    pub guest: GuestInfo,
    /// The source host.
    pub source_host: HostInfo,
    /// The destination host.
    pub destination_host: HostInfo,
    /// The link as the forecast assumed it.
    pub link: Option<LinkSpeed>,
    /// The forecast, frozen before the move; `None` where none was possible.
    pub forecast: Option<Forecast>,
    /// The outcome; `None` while the move runs, or if nobody saw its end.
    pub outcome: Option<Outcome>,
    /// The hypervisor's last statistics, as it gave them.
    pub raw_statistics: Option<serde_json::Value>,
}
