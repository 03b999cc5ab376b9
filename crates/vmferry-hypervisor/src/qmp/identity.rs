//! Which guest this is and what it runs on.

use serde_json::{Value, json};
use vmferry_core::{Bytes, GuestInfo, HostInfo, RamBlock};

use super::field;
use super::greeting::QemuVersion;
use super::guest::Guest;
use crate::HypervisorError;

/// What `query-uuid` gives for a guest started without `-uuid`.
const NO_UUID: &str = "00000000-0000-0000-0000-000000000000";

impl Guest {
    /// QEMU's version (`query-version`), for display and records.
    ///
    /// # Errors
    /// As [`Guest::request`].
    pub async fn version(&self) -> Result<QemuVersion, HypervisorError> {
        Ok(QemuVersion::from_value(
            &self.request("query-version", None).await?,
        ))
    }

    /// The guest's name (`-name`); `None` where it was given none.
    ///
    /// # Errors
    /// As [`Guest::request`].
    pub async fn name(&self) -> Result<Option<String>, HypervisorError> {
        let answer = self.request("query-name", None).await?;
        Ok(field::text(&answer, &["name"]))
    }

    /// The guest's UUID (`-uuid`); `None` where it was given none.
    ///
    /// # Errors
    /// As [`Guest::request`].
    pub async fn uuid(&self) -> Result<Option<String>, HypervisorError> {
        let answer = self.request("query-uuid", None).await?;
        Ok(field::text(&answer, &["UUID"]).filter(|uuid| uuid != NO_UUID))
    }

    /// The machine type in use, for example `pc-q35-10.0-machine`: aliases such as `q35` are
    /// resolved, so two ends can be compared.
    ///
    /// # Errors
    /// As [`Guest::request`].
    pub async fn machine_type(&self) -> Result<Option<String>, HypervisorError> {
        let place = json!({ "path": "/machine", "property": "type" });
        let answer = self.request("qom-get", Some(place)).await?;
        Ok(answer.as_str().map(str::to_owned))
    }

    /// What runs the virtual CPUs: `kvm`, `tcg`, or another accelerator's name; `None` where this
    /// QEMU does not tell.
    ///
    /// # Errors
    /// As [`Guest::request`].
    pub async fn accelerator(&self) -> Result<Option<String>, HypervisorError> {
        if self.schema().await?.has_command("query-accelerators") {
            let answer = self.request("query-accelerators", None).await?;
            if let Some(enabled) = field::text(&answer, &["enabled"]) {
                return Ok(Some(enabled));
            }
        }
        match self.request("query-kvm", None).await {
            Ok(answer) if field::flag(&answer, &["enabled"]) == Some(true) => {
                return Ok(Some("kvm".to_owned()));
            }
            Ok(_) => {}
            // Built without KVM.
            Err(error) if error.is_unsupported() => {}
            Err(error) => return Err(error),
        }
        // Not KVM need not be TCG; only TCG has a translation buffer to tell of.
        let jit = self.monitor_command("info jit").await?;
        Ok(jit
            .contains("Translation buffer state")
            .then(|| "tcg".to_owned()))
    }

    /// Everything that names and describes this guest, in one value. What this QEMU does not tell
    /// is missing from it.
    ///
    /// # Errors
    /// Where the monitor is lost on the way.
    pub async fn info(&self) -> Result<GuestInfo, HypervisorError> {
        let vcpus = known(self.vcpus().await)?.map(|vcpus| vcpus.len());
        let ram_blocks = known(self.ram_blocks().await)?.unwrap_or_default();
        Ok(GuestInfo {
            uri: self.uri().clone(),
            name: known(self.name().await)?.flatten(),
            uuid: known(self.uuid().await)?.flatten(),
            memory_bytes: known(self.memory_bytes().await)?.flatten().map(Bytes),
            ram_blocks: ram_blocks.into_iter().map(RamBlock::from).collect(),
            vcpus: vcpus.and_then(|count| u32::try_from(count).ok()),
            machine: known(self.machine_type().await)?.flatten(),
            accelerator: known(self.accelerator().await)?.flatten(),
        })
    }

    /// The host this guest runs on, as far as the monitor and the address tell.
    #[must_use]
    pub fn host_info(&self) -> HostInfo {
        let version = &self.greeting().version;
        let hostname = match self.uri().destination() {
            Some(destination) => Some(destination.host.clone()),
            None => nix::unistd::gethostname()
                .ok()
                .and_then(|name| name.into_string().ok()),
        };
        HostInfo {
            hostname,
            hypervisor: "qemu".to_owned(),
            hypervisor_version: version.number(),
            package: version.package.clone(),
        }
    }

    /// A property of QEMU's object tree (`qom-get`).
    ///
    /// # Errors
    /// [`HypervisorError::Refused`] where there is none, and as [`Guest::request`].
    pub async fn object_property(
        &self,
        path: &str,
        property: &str,
    ) -> Result<Value, HypervisorError> {
        let place = json!({ "path": path, "property": property });
        self.request("qom-get", Some(place)).await
    }
}

/// `None` for what QEMU refuses to tell.
fn known<T>(answer: Result<T, HypervisorError>) -> Result<Option<T>, HypervisorError> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_unreachable() => Err(error),
        Err(error) => {
            tracing::debug!(%error, "the guest does not tell");
            Ok(None)
        }
    }
}
