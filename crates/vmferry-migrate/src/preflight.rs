//! Everything that can be known to go wrong is found before anything is
//! changed.

mod devices;
mod listening;

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vmferry_core::{Bytes, GuestInfo, HostInfo, MigrationStatus, Plan};
use vmferry_hypervisor::qmp::MigrationInfo;

use devices::same_devices;
use listening::stream_address;

pub use devices::Devices;
pub use listening::LocalAddresses;
pub(crate) use listening::resolve;

/// One pre-flight check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Check {
    /// What was checked, a few words.
    pub name: String,
    /// What was found; for a failed check also what to do.
    pub detail: String,
    /// Whether the move may go on.
    pub passed: bool,
}

/// What one end said before the move.
#[derive(Clone, Debug)]
pub struct EndFacts {
    /// The guest as this end describes it.
    pub guest: GuestInfo,
    /// The host.
    pub host: HostInfo,
    /// `query-status`: `running`, `paused`, `inmigrate`, ...
    pub run_state: String,
    /// `query-migrate`.
    pub migration: MigrationInfo,
    /// Process id of the hypervisor; `None` when it is not on this machine.
    pub pid: Option<u32>,
    /// At the destination: whether something else listens on the stream's
    /// port; `None` where that cannot be seen.
    pub port_taken: Option<bool>,
    /// At the destination: what the plan's `via` stands for; empty where it
    /// cannot be resolved.
    pub via_addresses: Vec<IpAddr>,
    /// At the destination: its own addresses; `None` where they cannot be seen.
    pub local_addresses: Option<LocalAddresses>,
    /// Its devices; `None` where the hypervisor cannot tell.
    pub devices: Option<Devices>,
    /// At the destination: memory that can still be used; `None` where that
    /// cannot be seen.
    pub available_memory: Option<Bytes>,
    /// Whether its hypervisor knows post-copy; `None` where the plan does not
    /// allow it.
    pub knows_postcopy: Option<bool>,
    /// At the destination: whether its process may handle missing pages, which
    /// post-copy needs; `None` where that cannot be seen.
    pub userfaultfd: Option<bool>,
}

/// Runs every check.
pub fn check(plan: &Plan, source: &EndFacts, destination: &EndFacts) -> Vec<Check> {
    let mut checks = vec![
        source_runs(source),
        not_migrating(source),
        no_blockers(source),
        different_ends(plan, source, destination),
        destination_waits(destination),
        same_machine(&source.guest, &destination.guest),
        same_memory(&source.guest, &destination.guest),
        same_vcpus(&source.guest, &destination.guest),
        same_devices(source.devices.as_ref(), destination.devices.as_ref()),
        versions(&source.host, &destination.host),
        same_accelerator(&source.guest, &destination.guest),
        memory_available(source, destination),
        stream_address(plan, destination),
        port_free(plan, destination),
    ];
    checks.extend(tls_files(plan, source, destination));
    checks.extend(postcopy(source, destination));
    checks
}

fn verdict(
    name: &str,
    passed: bool,
    good: impl Into<String>,
    bad: impl FnOnce() -> String,
) -> Check {
    Check {
        name: name.to_owned(),
        passed,
        detail: if passed { good.into() } else { bad() },
    }
}

fn source_runs(source: &EndFacts) -> Check {
    verdict(
        "guest runs",
        source.run_state == "running",
        "the guest runs at the source",
        || {
            match source.run_state.as_str() {
            "paused" => "the guest is paused; resume it (QMP `cont`) or move it while stopped by other means".into(),
            "postmigrate" => "the guest has moved away from here already; look at its destination".into(),
            "inmigrate" => "this QEMU itself waits for an incoming migration; are source and destination swapped?".into(),
            other => format!("the guest is in state `{other}`, only a running guest is moved"),
        }
        },
    )
}

fn not_migrating(source: &EndFacts) -> Check {
    let status = &source.migration.status;
    verdict(
        "not migrating",
        !status.is_under_way(),
        "no migration is under way",
        || {
            format!(
                "a migration is already under way (status {status}); follow it with `vmferry watch` or cancel it first"
            )
        },
    )
}

fn no_blockers(source: &EndFacts) -> Check {
    let reasons = &source.migration.blocked_reasons;
    verdict(
        "no blockers",
        reasons.is_empty(),
        "the hypervisor names nothing that blocks migration",
        || {
            format!(
                "the hypervisor refuses to migrate this guest: {}",
                reasons.join("; ")
            )
        },
    )
}

fn different_ends(plan: &Plan, source: &EndFacts, destination: &EndFacts) -> Check {
    let same =
        plan.source == plan.destination || (source.pid.is_some() && source.pid == destination.pid);
    verdict(
        "two ends",
        !same,
        "source and destination are two processes",
        || {
            "source and destination are the same QEMU; start a second one with -incoming defer"
                .into()
        },
    )
}

fn destination_waits(destination: &EndFacts) -> Check {
    let waits =
        destination.run_state == "inmigrate" && !destination.migration.status.is_under_way();
    verdict(
        "destination waits",
        waits,
        "the destination waits for a migration",
        || {
            if destination.run_state == "inmigrate"
                && destination.migration.status == MigrationStatus::Setup
            {
                // QEMU stays like this, and refuses to listen once more, when listening failed.
                "the destination listens for a migration already, or tried to and failed (status setup); \
                 unless a move to it is about to begin, start it again with -incoming defer"
                    .to_owned()
            } else if destination.run_state == "inmigrate" {
                format!(
                    "the destination is already receiving a migration (status {})",
                    destination.migration.status
                )
            } else {
                format!(
                    "the destination is in state `{}` and waits for no migration; start it with -incoming defer",
                    destination.run_state
                )
            }
        },
    )
}

fn same_machine(source: &GuestInfo, destination: &GuestInfo) -> Check {
    match (&source.machine, &destination.machine) {
        (Some(a), Some(b)) => verdict("machine type", a == b, a.clone(), || {
            format!(
                "machine types differ: {a} at the source, {b} at the destination; start the destination with the source's -machine"
            )
        }),
        _ => verdict(
            "machine type",
            true,
            "not told by the hypervisor",
            String::new,
        ),
    }
}

fn same_memory(source: &GuestInfo, destination: &GuestInfo) -> Check {
    let size = |guest: &GuestInfo| {
        guest
            .memory_bytes
            .map_or_else(|| "unknown".to_owned(), |bytes| bytes.to_string())
    };
    if source.memory_bytes != destination.memory_bytes {
        return verdict("memory size", false, "", || {
            format!(
                "memory sizes differ: {} at the source, {} at the destination; start the destination with the source's -m",
                size(source),
                size(destination)
            )
        });
    }
    let odd = source.ram_blocks.iter().find_map(|block| {
        if destination.ram_blocks.is_empty() {
            return None;
        }
        match destination
            .ram_blocks
            .iter()
            .find(|other| other.name == block.name)
        {
            None => Some(format!("`{}` is missing at the destination", block.name)),
            // Tables that the firmware's build fills: QEMU resizes them itself.
            Some(_) if block.name.contains("rom@") => None,
            Some(other) if other.used_bytes != block.used_bytes => Some(format!(
                "`{}` is {} at the source, {} at the destination",
                block.name, block.used_bytes, other.used_bytes
            )),
            Some(_) => None,
        }
    });
    match odd {
        Some(what) => verdict("memory size", false, "", || {
            format!("memory blocks differ: {what}; start the destination with the source's devices")
        }),
        _ => verdict("memory size", true, size(source), String::new),
    }
}

fn same_vcpus(source: &GuestInfo, destination: &GuestInfo) -> Check {
    match (source.vcpus, destination.vcpus) {
        (Some(a), Some(b)) => verdict("virtual CPUs", a == b, a.to_string(), || {
            format!(
                "numbers of virtual CPUs differ: {a} at the source, {b} at the destination; start the destination with the source's -smp"
            )
        }),
        _ => verdict(
            "virtual CPUs",
            true,
            "not told by the hypervisor",
            String::new,
        ),
    }
}

fn versions(source: &HostInfo, destination: &HostInfo) -> Check {
    let text = |host: &HostInfo| {
        format!(
            "{} {}",
            host.hypervisor,
            host.hypervisor_version
                .as_deref()
                .unwrap_or("of unknown version")
        )
    };
    let parts = |host: &HostInfo| -> Option<Vec<u32>> {
        let version = host.hypervisor_version.as_ref()?;
        version
            .split('.')
            .take(2)
            .map(|part| part.parse().ok())
            .collect()
    };
    let backwards = matches!((parts(source), parts(destination)), (Some(a), Some(b)) if b < a);
    let detail = if backwards {
        format!(
            "{} to {}: backwards, which works only between versions that both know this machine type",
            text(source),
            text(destination)
        )
    } else {
        format!("{} to {}", text(source), text(destination))
    };
    let same_kind = source.hypervisor == destination.hypervisor;
    verdict("versions", same_kind, detail.clone(), || {
        format!("{detail}: different hypervisors")
    })
}

fn same_accelerator(source: &GuestInfo, destination: &GuestInfo) -> Check {
    match (&source.accelerator, &destination.accelerator) {
        (Some(a), Some(b)) => verdict("accelerator", a == b, a.clone(), || {
            format!(
                "accelerators differ: {a} at the source, {b} at the destination; the guest would not run on"
            )
        }),
        _ => verdict(
            "accelerator",
            true,
            "not told by the hypervisor",
            String::new,
        ),
    }
}

fn memory_available(source: &EndFacts, destination: &EndFacts) -> Check {
    match (
        source.guest.migrated_bytes().or(source.guest.memory_bytes),
        destination.available_memory,
    ) {
        (Some(needed), Some(available)) => verdict(
            "destination memory",
            needed <= available,
            format!("{available} available for {needed}"),
            || {
                format!(
                    "the guest's {needed} do not fit: the destination host has {available} available; free memory there or choose another host"
                )
            },
        ),
        _ => verdict(
            "destination memory",
            true,
            "cannot be seen from here",
            String::new,
        ),
    }
}

fn port_free(plan: &Plan, destination: &EndFacts) -> Check {
    let port = plan.via.port;
    verdict(
        "stream port",
        destination.port_taken != Some(true),
        match destination.port_taken {
            Some(_) => format!("port {port} is free"),
            None => "asked when the destination starts to listen".to_owned(),
        },
        || {
            format!(
                "something already listens on port {port} at the destination; choose another one in --via"
            )
        },
    )
}

/// Only asked where the plan allows it.
fn postcopy(source: &EndFacts, destination: &EndFacts) -> Option<Check> {
    let (source_knows, destination_knows) = (source.knows_postcopy?, destination.knows_postcopy?);
    let lacking = if !source_knows {
        Some("the QEMU at the source does not know it".to_owned())
    } else if !destination_knows {
        Some("the QEMU at the destination does not know it".to_owned())
    } else if destination.userfaultfd == Some(false) {
        Some(
            "the destination's QEMU may not use userfaultfd (sysctl vm.unprivileged_userfaultfd=1, or run it with CAP_SYS_PTRACE)"
                .to_owned(),
        )
    } else {
        None
    };
    Some(verdict(
        "post-copy",
        lacking.is_none(),
        "both ends know it; asked of the destination's host when it is prepared",
        || {
            format!(
                "post-copy is allowed, but {}; or move without --allow-postcopy",
                lacking.unwrap_or_default()
            )
        },
    ))
}

/// QEMU reads the directory on its own host, so only local ends can be looked at.
fn tls_files(plan: &Plan, source: &EndFacts, destination: &EndFacts) -> Option<Check> {
    let dir = plan.tls_dir.as_ref()?;
    let wanted = [
        (
            source,
            &["ca-cert.pem", "client-cert.pem", "client-key.pem"],
        ),
        (
            destination,
            &["ca-cert.pem", "server-cert.pem", "server-key.pem"],
        ),
    ];
    let missing: Vec<_> = wanted
        .iter()
        .filter(|(end, _)| end.pid.is_some())
        .flat_map(|(_, files)| files.iter())
        .filter(|file| !std::path::Path::new(dir).join(file).exists())
        .copied()
        .collect();
    Some(verdict(
        "TLS credentials",
        missing.is_empty(),
        format!("from {dir}"),
        || {
            format!(
                "{dir} lacks {}; see QEMU's manual on x509 credentials (tls-creds-x509)",
                missing.join(", ")
            )
        },
    ))
}

#[cfg(test)]
mod tests;
