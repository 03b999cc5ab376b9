//! Starting, watching and ending a migration.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use vmferry_core::StreamUri;

use super::guest::Guest;
use super::migration_info::MigrationInfo;
use crate::HypervisorError;

/// Urgent commands are answered at once or not at all.
const URGENT_PATIENCE: Duration = Duration::from_secs(5);

/// Where the migration stream goes (at the source) or comes in (at the destination).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MigrationAddress {
    /// A TCP host and port; the host without brackets, port 0 at a destination for any free one.
    Tcp {
        /// Name or address.
        host: String,
        /// Port.
        port: u16,
    },
    /// A unix socket.
    Unix {
        /// Its path.
        path: PathBuf,
    },
}

impl From<&StreamUri> for MigrationAddress {
    fn from(uri: &StreamUri) -> Self {
        Self::Tcp {
            host: uri.host.clone(),
            port: uri.port,
        }
    }
}

impl MigrationAddress {
    /// The `uri` form of QEMU's migration commands, known to every version up to now.
    #[must_use]
    pub fn uri(&self) -> String {
        match self {
            Self::Tcp { host, port } if host.contains(':') => format!("tcp:[{host}]:{port}"),
            Self::Tcp { host, port } => format!("tcp:{host}:{port}"),
            Self::Unix { path } => format!("unix:{}", path.display()),
        }
    }

    /// The `channels` form, since QEMU 8.2.
    #[must_use]
    pub fn channels(&self) -> Value {
        let address = match self {
            Self::Tcp { host, port } => json!({
                "transport": "socket", "type": "inet", "host": host, "port": port.to_string(),
            }),
            Self::Unix { path } => json!({
                "transport": "socket", "type": "unix", "path": path.display().to_string(),
            }),
        };
        json!([{ "channel-type": "main", "addr": address }])
    }
}

impl Guest {
    /// How the guest's migration stands (`query-migrate`).
    ///
    /// # Errors
    /// As [`Guest::request`].
    pub async fn migration(&self) -> Result<MigrationInfo, HypervisorError> {
        Ok(MigrationInfo::from_value(
            self.request("query-migrate", None).await?,
        ))
    }

    /// Starts a migration to a destination that listens (`migrate`). Returns as soon as QEMU has
    /// begun; events and [`Guest::migration`] tell the rest.
    ///
    /// # Errors
    /// [`HypervisorError::Refused`] for a guest that cannot be migrated, and as [`Guest::request`].
    pub async fn migrate(&self, to: &MigrationAddress) -> Result<(), HypervisorError> {
        self.request(
            "migrate",
            Some(self.address_arguments("migrate", to).await?),
        )
        .await?;
        Ok(())
    }

    /// Tells a destination started with `-incoming defer` to listen (`migrate-incoming`).
    ///
    /// # Errors
    /// [`HypervisorError::Refused`] for a port that is taken or a guest that is no destination, and
    /// as [`Guest::request`].
    pub async fn migrate_incoming(&self, at: &MigrationAddress) -> Result<(), HypervisorError> {
        let arguments = self.address_arguments("migrate-incoming", at).await?;
        self.request("migrate-incoming", Some(arguments)).await?;
        Ok(())
    }

    /// Asks for the migration to be given up (`migrate_cancel`). The guest goes on at the source
    /// once the status is `cancelled`; harmless where none is under way.
    ///
    /// # Errors
    /// As [`Guest::request`].
    pub async fn migrate_cancel(&self) -> Result<(), HypervisorError> {
        self.request("migrate_cancel", None).await?;
        Ok(())
    }

    /// Lets a migration that waits in `pre-switchover` go on (`migrate-continue`).
    ///
    /// # Errors
    /// [`HypervisorError::Refused`] in any other status, and as [`Guest::request`].
    pub async fn migrate_continue(&self) -> Result<(), HypervisorError> {
        self.request(
            "migrate-continue",
            Some(json!({ "state": "pre-switchover" })),
        )
        .await?;
        Ok(())
    }

    /// Turns a running pre-copy into post-copy (`migrate-start-postcopy`); the capability
    /// `postcopy-ram` must have been on at both ends from the start.
    ///
    /// # Errors
    /// [`HypervisorError::Refused`] without the capability, and as [`Guest::request`].
    pub async fn migrate_start_postcopy(&self) -> Result<(), HypervisorError> {
        self.request("migrate-start-postcopy", None).await?;
        Ok(())
    }

    /// Breaks the stream of a post-copy that hangs (`migrate-pause`), at either end; the status
    /// becomes `postcopy-paused`. Urgent: works while the guest stands still for a missing page.
    ///
    /// # Errors
    /// [`HypervisorError::Refused`] where no post-copy sends or receives, and as [`Guest::request`].
    pub async fn migrate_pause(&self) -> Result<(), HypervisorError> {
        self.request_urgently("migrate-pause", None, URGENT_PATIENCE)
            .await?;
        Ok(())
    }

    /// Tells a destination whose post-copy is paused to listen for the source anew
    /// (`migrate-recover`). Urgent, as [`Guest::migrate_pause`].
    ///
    /// # Errors
    /// [`HypervisorError::Refused`] in any other status and for an address that is taken, and as
    /// [`Guest::request`].
    pub async fn migrate_recover(&self, at: &MigrationAddress) -> Result<(), HypervisorError> {
        let arguments = json!({ "uri": at.uri() });
        self.request_urgently("migrate-recover", Some(arguments), URGENT_PATIENCE)
            .await?;
        Ok(())
    }

    /// Lets the source of a paused post-copy go on, to a destination that listens again (`migrate`
    /// with `resume`). Returns as soon as QEMU tries.
    ///
    /// # Errors
    /// [`HypervisorError::Refused`] in any other status, and as [`Guest::request`].
    pub async fn migrate_resume(&self, to: &MigrationAddress) -> Result<(), HypervisorError> {
        let mut arguments = self.address_arguments("migrate", to).await?;
        arguments["resume"] = json!(true);
        self.request("migrate", Some(arguments)).await?;
        Ok(())
    }

    async fn address_arguments(
        &self,
        command: &str,
        address: &MigrationAddress,
    ) -> Result<Value, HypervisorError> {
        // Should a QEMU to come drop the older form, its schema says so.
        let schema = self.schema().await?;
        Ok(
            if schema.takes(command, "uri") || !schema.takes(command, "channels") {
                json!({ "uri": address.uri() })
            } else {
                json!({ "channels": address.channels() })
            },
        )
    }
}
