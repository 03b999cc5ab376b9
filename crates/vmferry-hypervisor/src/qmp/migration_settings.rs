//! Capabilities and parameters of migration.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::field;
use super::guest::Guest;
use crate::HypervisorError;

/// The parameters of migration in force; `None` is what this QEMU does not know.
#[derive(Debug, Clone, PartialEq)]
pub struct MigrationParameters {
    /// The longest downtime for which QEMU switches over by itself.
    pub downtime_limit_ms: Option<u64>,
    /// The bandwidth QEMU keeps to before the switchover; 0 for no limit.
    pub max_bandwidth_bytes_per_s: Option<u64>,
    /// The bandwidth QEMU reckons with for the switchover, since QEMU 8.2; 0 for the measured one.
    pub avail_switchover_bandwidth_bytes_per_s: Option<u64>,
    /// The bandwidth QEMU keeps to in post-copy; 0 for no limit.
    pub max_postcopy_bandwidth_bytes_per_s: Option<u64>,
    /// Channels of multifd.
    pub multifd_channels: Option<u64>,
    /// Where auto-converge begins, in percent.
    pub cpu_throttle_initial_percent: Option<u64>,
    /// By how much auto-converge grows, in percent.
    pub cpu_throttle_increment_percent: Option<u64>,
    /// Where auto-converge ends, in percent.
    pub max_cpu_throttle_percent: Option<u64>,
    /// The object with the TLS credentials; `None` or empty without TLS.
    pub tls_creds: Option<String>,
    /// Every parameter by QEMU's name and in QEMU's unit, fit to be given back to
    /// [`Guest::set_parameters`].
    pub raw: Map<String, Value>,
}

impl MigrationParameters {
    /// Reads an answer; every field may be missing.
    #[must_use]
    pub fn from_value(answer: Value) -> Self {
        let number = |name| field::number(&answer, &[name]);
        Self {
            downtime_limit_ms: number("downtime-limit"),
            max_bandwidth_bytes_per_s: number("max-bandwidth"),
            avail_switchover_bandwidth_bytes_per_s: number("avail-switchover-bandwidth"),
            max_postcopy_bandwidth_bytes_per_s: number("max-postcopy-bandwidth"),
            multifd_channels: number("multifd-channels"),
            cpu_throttle_initial_percent: number("cpu-throttle-initial"),
            cpu_throttle_increment_percent: number("cpu-throttle-increment"),
            max_cpu_throttle_percent: number("max-cpu-throttle"),
            tls_creds: field::text(&answer, &["tls-creds"]),
            raw: match answer {
                Value::Object(raw) => raw,
                _ => Map::new(),
            },
        }
    }
}

impl Guest {
    /// The parameters in force (`query-migrate-parameters`).
    ///
    /// # Errors
    /// As [`Guest::request`].
    pub async fn parameters(&self) -> Result<MigrationParameters, HypervisorError> {
        Ok(MigrationParameters::from_value(
            self.request("query-migrate-parameters", None).await?,
        ))
    }

    /// Sets parameters by QEMU's names and in QEMU's units (`migrate-set-parameters`):
    /// `downtime-limit` in ms, `max-bandwidth` in bytes per second. All are set or none.
    ///
    /// # Errors
    /// [`HypervisorError::Unsupported`] for a parameter this QEMU does not know,
    /// [`HypervisorError::Refused`] for a value out of range, and as [`Guest::request`].
    pub async fn set_parameters(
        &self,
        parameters: Map<String, Value>,
    ) -> Result<(), HypervisorError> {
        let schema = self.schema().await?;
        for name in parameters.keys() {
            if !schema.has_parameter(name) {
                return Err(self.unsupported(&format!("the migration parameter {name}")));
            }
        }
        self.request("migrate-set-parameters", Some(Value::Object(parameters)))
            .await
            .map(drop)
    }

    /// Every capability and whether it is on (`query-migrate-capabilities`).
    ///
    /// # Errors
    /// As [`Guest::request`].
    pub async fn capabilities(&self) -> Result<BTreeMap<String, bool>, HypervisorError> {
        let answer = self.request("query-migrate-capabilities", None).await?;
        Ok(field::list(&answer, &[])
            .iter()
            .filter_map(|entry| {
                let name = field::text(entry, &["capability"])?;
                Some((name, field::flag(entry, &["state"])?))
            })
            .collect())
    }

    /// Turns capabilities on and off (`migrate-set-capabilities`). Both ends of a move must agree.
    ///
    /// # Errors
    /// [`HypervisorError::Unsupported`] for a capability this QEMU does not know,
    /// [`HypervisorError::Refused`] during a migration, and as [`Guest::request`].
    pub async fn set_capabilities(
        &self,
        capabilities: &[(&str, bool)],
    ) -> Result<(), HypervisorError> {
        let schema = self.schema().await?;
        let mut list = Vec::new();
        for (name, on) in capabilities {
            if !schema.has_capability(name) {
                return Err(self.unsupported(&format!("the migration capability {name}")));
            }
            list.push(json!({ "capability": name, "state": on }));
        }
        let arguments = json!({ "capabilities": list });
        self.request("migrate-set-capabilities", Some(arguments))
            .await
            .map(drop)
    }
}
