//! The statuses a hypervisor reports while a guest moves. They are observed,
//! never commanded.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// QEMU's `MigrationStatus`, open for statuses of versions to come.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(from = "String", into = "String")]
#[schemars(with = "String")]
pub enum MigrationStatus {
    /// No migration has been asked for.
    None,
    /// The stream is being set up.
    Setup,
    /// Pre-copy passes are running.
    Active,
    /// Everything but the devices is sent; waits for `migrate-continue`.
    PreSwitchover,
    /// The guest is stopped; device state is sent.
    Device,
    /// Waiting for the source's network card to leave (failover).
    WaitUnplug,
    /// Post-copy is being entered.
    PostcopyDevice,
    /// The guest runs at the destination and fetches pages.
    PostcopyActive,
    /// Post-copy lost its link.
    PostcopyPaused,
    /// Post-copy recovery is being prepared.
    PostcopyRecoverSetup,
    /// Post-copy recovers.
    PostcopyRecover,
    /// COLO replication.
    Colo,
    /// `migrate_cancel` was asked for.
    Cancelling,
    /// Cancelled; the guest runs at the source.
    Cancelled,
    /// Failed before the switchover was complete.
    Failed,
    /// Complete; the guest is the destination's.
    Completed,
    /// A status this version of vmferry does not know.
    Unknown(String),
}

macro_rules! statuses {
    ($($name:ident = $text:literal),+ $(,)?) => {
        impl MigrationStatus {
            /// Every known status.
            pub const KNOWN: &'static [Self] = &[$(Self::$name),+];

            /// The hypervisor's word.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$name => $text,)+
                    Self::Unknown(text) => text,
                }
            }
        }

        impl From<String> for MigrationStatus {
            fn from(text: String) -> Self {
                match text.as_str() {
                    $($text => Self::$name,)+
                    _ => Self::Unknown(text),
                }
            }
        }
    };
}

statuses! {
    None = "none",
    Setup = "setup",
    Active = "active",
    PreSwitchover = "pre-switchover",
    Device = "device",
    WaitUnplug = "wait-unplug",
    PostcopyDevice = "postcopy-device",
    PostcopyActive = "postcopy-active",
    PostcopyPaused = "postcopy-paused",
    PostcopyRecoverSetup = "postcopy-recover-setup",
    PostcopyRecover = "postcopy-recover",
    Colo = "colo",
    Cancelling = "cancelling",
    Cancelled = "cancelled",
    Failed = "failed",
    Completed = "completed",
}

impl MigrationStatus {
    /// Whether a migration ended with this status.
    pub fn is_end(&self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }

    /// Whether a migration is under way. An unknown status counts as under
    /// way: new versions add steps in the middle, not ends.
    pub fn is_under_way(&self) -> bool {
        !self.is_end() && *self != Self::None
    }
}

impl From<MigrationStatus> for String {
    fn from(status: MigrationStatus) -> Self {
        status.as_str().to_owned()
    }
}

impl fmt::Display for MigrationStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_survives_the_wire() {
        for status in MigrationStatus::KNOWN
            .iter()
            .cloned()
            .chain([MigrationStatus::Unknown("warp".into())])
        {
            assert_eq!(MigrationStatus::from(String::from(status.clone())), status);
        }
        assert!(MigrationStatus::from("warp".to_owned()).is_under_way());
    }
}
