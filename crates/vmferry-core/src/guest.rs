//! What is known of a guest and of the host it runs on.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::guest_uri::GuestUri;
use crate::units::Bytes;

/// A guest as its hypervisor describes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GuestInfo {
    /// Where its monitor is.
    pub uri: GuestUri,
    /// Its name, where it has one.
    pub name: Option<String>,
    /// Its UUID, where it has one.
    pub uuid: Option<String>,
    /// Memory the guest itself sees.
    pub memory_bytes: Option<Bytes>,
    /// Every RAM block that a migration sends: the guest's memory, video
    /// memory, ROMs and tables.
    pub ram_blocks: Vec<RamBlock>,
    /// Number of virtual CPUs.
    pub vcpus: Option<u32>,
    /// Machine type in use, for example `pc-q35-10.0-machine`.
    pub machine: Option<String>,
    /// `kvm` or `tcg`.
    pub accelerator: Option<String>,
}

/// One block of memory that a migration sends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RamBlock {
    /// The hypervisor's name for it, for example `pc.ram`.
    pub name: String,
    /// Bytes in use: what a migration sends.
    pub used_bytes: Bytes,
    /// Offset in the hypervisor's RAM address space; blocks are sent in the
    /// hypervisor's own order, pages within one by address.
    pub offset_bytes: Bytes,
    /// Address of the block in the hypervisor's process, where known.
    #[serde(default, skip_serializing)]
    #[schemars(skip)]
    pub host_address: Option<u64>,
}

impl GuestInfo {
    /// Memory that a migration sends in its first pass; `None` where the
    /// blocks are unknown.
    pub fn migrated_bytes(&self) -> Option<Bytes> {
        (!self.ram_blocks.is_empty()).then(|| self.ram_blocks.iter().map(|b| b.used_bytes).sum())
    }

    /// What to call this guest in a message: its name, or its URI.
    pub fn label(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.uri.to_string())
    }
}

/// A host at one end of a move.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HostInfo {
    /// Its name; `None` where only the monitor can be reached.
    pub hostname: Option<String>,
    /// `qemu`, `libvirt` or `xen`.
    pub hypervisor: String,
    /// The hypervisor's version, for example `10.0.2`.
    pub hypervisor_version: Option<String>,
    /// The vendor's package string, where given.
    pub package: Option<String>,
}
