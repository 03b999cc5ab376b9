//! The link a migration uses.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::{ByteRate, Ratio};

/// How fast a route is, and how we know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LinkSpeed {
    /// Rate as the link counts it, frames included, bytes per second.
    #[serde(rename = "wire_rate_bytes_per_s")]
    pub wire_rate: ByteRate,
    /// Share of the wire rate that carries the migration stream: 0.956 for
    /// TCP with time stamps over a 1500-byte MTU (1448 of 1514 bytes).
    pub efficiency: Ratio,
    /// Relative standard deviation of the rate from move to move.
    pub relative_sd: Ratio,
    /// Where the rate comes from.
    pub source: LinkSource,
}

/// Where a link's rate comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LinkSource {
    /// The operator said so (`--bandwidth`).
    Given,
    /// Learned from earlier moves over the same route.
    History,
    /// A short bounded transfer over the same path.
    Measured,
}

impl LinkSpeed {
    /// Payload share of TCP with time stamps in 1500-byte Ethernet frames:
    /// 1448 bytes of data in 1514 bytes as the link counts them.
    pub const TCP_OVER_ETHERNET: Ratio = Ratio(1448.0 / 1514.0);

    /// A rate as the operator gives it, with the efficiency of TCP over
    /// Ethernet and 1 % noise (repeats of one migration differ by 1-2 %).
    pub const fn given(wire_rate: ByteRate) -> Self {
        Self {
            wire_rate,
            efficiency: Self::TCP_OVER_ETHERNET,
            relative_sd: Ratio(0.01),
            source: LinkSource::Given,
        }
    }

    /// Rate at which the migration stream itself advances, bytes per second.
    pub fn stream_rate(&self) -> ByteRate {
        self.wire_rate * self.efficiency
    }
}
