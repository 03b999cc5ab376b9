//! What the operator asked for.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::guest_uri::GuestUri;
use crate::promise::Promise;
use crate::stream_uri::StreamUri;
use crate::units::{ByteRate, Millis};

/// Deadline within which a move must converge unless the operator says
/// otherwise.
pub const DEFAULT_DEADLINE: Duration = Duration::from_secs(120);

/// A move as the operator described it; nothing in it was checked yet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Plan {
    /// The guest, by its monitor at the source.
    pub source: GuestUri,
    /// The monitor of the hypervisor that waits at the destination.
    pub destination: GuestUri,
    /// Where the destination listens for the stream.
    pub via: StreamUri,
    /// Parameters of the move.
    #[serde(flatten)]
    pub limits: MoveLimits,
    /// Directory with `ca-cert.pem` and the rest of QEMU's `tls-creds-x509`,
    /// on both hosts; `None` sends in the clear.
    pub tls_dir: Option<String>,
    /// What the operator was promised; `None` leaves the move to the
    /// hypervisor and its limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promise: Option<Promise>,
}

/// What bounds a move; a forecast needs no more than this.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MoveLimits {
    /// Longest pause the hypervisor may plan for (`downtime-limit`); `None`
    /// leaves the hypervisor's own.
    pub max_downtime_ms: Option<Millis>,
    /// Most the stream may use (`max-bandwidth`); `None` leaves the
    /// hypervisor's own.
    #[serde(rename = "max_bandwidth_bytes_per_s")]
    pub max_bandwidth: Option<ByteRate>,
    /// Time within which the move should converge.
    pub deadline_ms: Millis,
}

impl Default for MoveLimits {
    fn default() -> Self {
        Self {
            max_downtime_ms: None,
            max_bandwidth: None,
            deadline_ms: DEFAULT_DEADLINE.into(),
        }
    }
}
