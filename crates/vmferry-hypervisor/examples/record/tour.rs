//! What is asked of a QEMU while it is recorded, and asked again when the recording is replayed.

use serde_json::{Value, json};
use vmferry_core::MigrationStatus;
use vmferry_hypervisor::HypervisorError;
use vmferry_hypervisor::qmp::{EventStream, Guest, MigrationAddress, MigrationInfo};

/// Features that came or went between the recorded versions.
const FEATURES: [(&str, &str); 8] = [
    ("migrate", "uri"),
    ("migrate", "channels"),
    ("migrate-set-parameters", "avail-switchover-bandwidth"),
    ("migrate-set-parameters", "compress-level"),
    ("calc-dirty-rate", "mode"),
    ("calc-dirty-rate", "calc-time-unit"),
    ("object-add", "props"),
    ("object-add", "verify-peer"),
];

/// Asks a guest that stands still everything this crate can ask.
pub(crate) async fn ask_everything(guest: &Guest) -> Result<Value, HypervisorError> {
    let info = guest.info().await?;
    let parameters = guest.parameters().await?;
    let refused = guest.request("warp", None).await.err();
    let threads = match guest.migration_threads().await {
        Ok(threads) => json!(threads),
        Err(error) if error.is_unsupported() => json!("unsupported"),
        Err(error) => return Err(error),
    };
    let schema = guest.schema().await?;
    let features: Vec<String> = FEATURES
        .iter()
        .filter(|(command, argument)| schema.takes(command, argument))
        .map(|(command, argument)| format!("{command} {argument}"))
        .collect();
    Ok(json!({
        "version": guest.version().await?.to_string(),
        "name": info.name,
        "uuid": info.uuid,
        "memory_bytes": info.memory_bytes,
        "vcpus": info.vcpus,
        "machine": info.machine,
        "accelerator": info.accelerator,
        "ram_blocks": info.ram_blocks,
        "has_host_addresses": info.ram_blocks.iter().filter(|b| b.host_address.is_some()).count(),
        "run_state": guest.run_state().await?.status,
        "downtime_limit_ms": parameters.downtime_limit_ms,
        "max_bandwidth_bytes_per_s": parameters.max_bandwidth_bytes_per_s,
        "avail_switchover_bandwidth_bytes_per_s": parameters.avail_switchover_bandwidth_bytes_per_s,
        "max_cpu_throttle_percent": parameters.max_cpu_throttle_percent,
        "capabilities": guest.capabilities().await?.keys().collect::<Vec<_>>(),
        "migration": guest.migration().await?.status,
        "migration_threads": threads,
        "dirty_rate": guest.dirty_rate().await?.status,
        "features": features,
        "returns_precopy_bytes": schema.returns("query-migrate", "ram.precopy-bytes"),
        "unknown_command_is_unsupported": refused.is_some_and(|error| error.is_unsupported()),
    }))
}

/// Makes a destination listen.
pub(crate) async fn prepare_destination(
    guest: &Guest,
    stream: &MigrationAddress,
) -> Result<(), HypervisorError> {
    guest.set_capabilities(&[("events", true)]).await?;
    guest.migrate_incoming(stream).await
}

/// Moves a guest and tells what was seen at the source, with an answer of `query-migrate` at every
/// event.
pub(crate) async fn follow_source(
    guest: &Guest,
    stream: &MigrationAddress,
) -> Result<(Vec<String>, Vec<MigrationInfo>), HypervisorError> {
    guest.set_capabilities(&[("events", true)]).await?;
    let mut events = guest.events();
    guest.migrate(stream).await?;
    let mut seen = Vec::new();
    let mut infos = Vec::new();
    while let Some((line, is_end)) = next(&mut events).await {
        infos.push(guest.migration().await?);
        seen.push(line);
        if is_end {
            break;
        }
    }
    Ok((seen, infos))
}

/// Tells what was seen at the destination until the guest runs there.
pub(crate) async fn follow_destination(guest: &Guest) -> Result<Vec<String>, HypervisorError> {
    let mut events = guest.events();
    let mut seen = Vec::new();
    while let Some((line, _)) = next(&mut events).await {
        let is_last = line == "RESUME";
        seen.push(line);
        if is_last {
            break;
        }
    }
    Ok(seen)
}

/// The next event in one line, and whether it ends the migration.
async fn next(events: &mut EventStream) -> Option<(String, bool)> {
    let event = events.next().await?;
    let status = event.migration_status();
    let pass = event.migration_pass();
    let mut line = event.name;
    if let Some(status) = &status {
        line = format!("{line} {status}");
    }
    if let Some(pass) = pass {
        line = format!("{line} {pass}");
    }
    Some((line, status.as_ref().is_some_and(MigrationStatus::is_end)))
}
