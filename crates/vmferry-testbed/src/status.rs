//! How a testbed is.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vmferry_core::{ByteRate, GuestUri, StreamUri};
use vmferry_hypervisor::qmp::{ConnectOptions, Guest};

use crate::console::last_progress;
use crate::host::Side;
use crate::process::Process;
use crate::state::{EndRecord, GuestRecord};
use crate::testbed::Shared;

/// How long a monitor may take to answer; one that is held by another client never does.
const PATIENCE: Duration = Duration::from_millis(500);

/// How a testbed is at this moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TestbedStatus {
    /// Its name.
    pub name: String,
    /// Its directory.
    pub directory: String,
    /// The process it ends with; `None` once it lives on its own.
    pub owner_pid: Option<u32>,
    /// `tcg` or `kvm`.
    pub accelerator: String,
    /// Rate of the link, frames included; `None` where it is not shaped.
    #[serde(rename = "rate_bytes_per_s")]
    pub rate: Option<ByteRate>,
    /// The two hosts.
    pub hosts: Vec<HostStatus>,
    /// Namespace from which clients reach the guests.
    pub client_namespace: String,
    /// The guests, in the order of their start.
    pub guests: Vec<GuestStatus>,
}

/// A host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HostStatus {
    /// `source` or `destination`.
    pub host: String,
    /// Its network namespace.
    pub namespace: String,
    /// Whether that exists.
    pub exists: bool,
    /// Its address on the migration link.
    pub address: String,
}

/// A guest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GuestStatus {
    /// Its name.
    pub name: String,
    /// Its UUID.
    pub uuid: String,
    /// Its address on the guest network.
    pub ip: String,
    /// Its load.
    pub load: String,
    /// Where its migration stream goes.
    pub via: StreamUri,
    /// At the source.
    pub source: EndStatus,
    /// At the destination.
    pub destination: EndStatus,
}

/// A guest at one end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EndStatus {
    /// Its monitor.
    pub uri: GuestUri,
    /// The process number of its QEMU; `None` where it does not run.
    pub pid: Option<u32>,
    /// QEMU's word, for example `running`, `postmigrate` or `inmigrate`; `None` where its second
    /// monitor does not answer.
    pub status: Option<String>,
    /// The guest's last report on this console; `None` where it has made none.
    pub last_report: Option<String>,
}

pub(crate) async fn of(shared: &Shared) -> TestbedStatus {
    let record = shared.record().clone();
    let mut guests = Vec::new();
    for guest in &record.guests {
        guests.push(guest_status(guest).await);
    }
    TestbedStatus {
        directory: shared.directory.display().to_string(),
        owner_pid: record
            .owner
            .filter(|owner| owner.is_alive())
            .map(|owner| owner.pid),
        accelerator: record.accelerator.to_string(),
        rate: record.rate,
        hosts: Side::BOTH
            .map(|side| {
                let namespace = shared.network.host(side);
                HostStatus {
                    host: side.to_string(),
                    namespace: namespace.name().to_owned(),
                    exists: namespace.exists(),
                    address: side.address().to_owned(),
                }
            })
            .into(),
        client_namespace: shared.network.client.name().to_owned(),
        name: record.name,
        guests,
    }
}

async fn guest_status(guest: &GuestRecord) -> GuestStatus {
    GuestStatus {
        name: guest.spec.name.clone(),
        uuid: guest.uuid.to_string(),
        ip: guest.ip.to_string(),
        load: guest.spec.load.clone(),
        via: guest.via.clone(),
        source: end_status(&guest.source).await,
        destination: end_status(&guest.destination).await,
    }
}

async fn end_status(end: &EndRecord) -> EndStatus {
    let alive = end.process.filter(|process: &Process| process.is_alive());
    EndStatus {
        uri: end.uri(),
        pid: alive.map(|process| process.pid),
        status: match alive {
            Some(_) => asked(end).await,
            None => None,
        },
        last_report: last_progress(&end.console).map(|progress| progress.to_string()),
    }
}

async fn asked(end: &EndRecord) -> Option<String> {
    let options = ConnectOptions {
        greeting_timeout: PATIENCE,
        request_timeout: PATIENCE,
        ..ConnectOptions::default()
    };
    let monitor = Guest::connect(&GuestUri::local(&end.watch), options)
        .await
        .ok()?;
    let answer = monitor.request("query-status", None).await.ok()?;
    Some(answer.get("status")?.as_str()?.to_owned())
}
