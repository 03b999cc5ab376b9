//! Who answers on a host: guests that run, hypervisors that wait for one, others.

use std::collections::HashMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use vmferry_core::{GuestInfo, GuestUri};
use vmferry_hypervisor::HypervisorError;
use vmferry_hypervisor::qmp::{ConnectOptions, Guest};

use super::host::HostOfGuests;
use crate::Error;

/// Monitors that are connected at once: an sshd turns away more than ten that
/// have not logged in yet.
const AT_ONCE: usize = 8;

/// A monitor behind which there is nothing to move, and nothing that waits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Skipped {
    /// The monitor.
    pub monitor: GuestUri,
    /// Why.
    pub reason: String,
}

/// A hypervisor that answered.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// Its monitor, connected.
    pub(super) monitor: Guest,
    /// What it says of itself.
    pub(super) info: GuestInfo,
}

/// Everybody on a host.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Guests that run, and are not being moved.
    pub(super) running: Vec<Seen>,
    /// Hypervisors that wait for a guest.
    pub(super) waiting: Vec<Seen>,
    /// Others.
    pub(super) skipped: Vec<Skipped>,
}

/// What one monitor turned out to be.
enum Is {
    Running(Seen),
    Waiting(Seen),
    Other(String),
}

/// Asks everybody on a host. One that does not answer, or whose monitor is held
/// by another program, is skipped and told.
///
/// # Errors
/// Where the host itself cannot be asked.
pub(super) async fn on(host: &impl HostOfGuests) -> Result<Found, Error> {
    let permits = Arc::new(Semaphore::new(AT_ONCE));
    let mut asking = JoinSet::new();
    for (place, uri) in host.monitors().await?.into_iter().enumerate() {
        let permits = Arc::clone(&permits);
        asking.spawn(async move {
            let _permit = permits.acquire().await;
            let is = ask(&uri)
                .await
                .unwrap_or_else(|error| Is::Other(error.to_string()));
            (place, uri, is)
        });
    }
    let mut answers: Vec<(usize, GuestUri, Is)> = asking.join_all().await;
    answers.sort_by_key(|(place, ..)| *place);
    Ok(sorted(answers))
}

async fn ask(uri: &GuestUri) -> Result<Is, HypervisorError> {
    let monitor = Guest::connect(uri, ConnectOptions::default()).await?;
    let state = monitor.run_state().await?;
    let is_migrating = monitor.migration().await?.status.is_under_way();
    let info = monitor.info().await?;
    let seen = Seen { monitor, info };
    Ok(if state.awaits_migration() {
        Is::Waiting(seen)
    } else if state.running == Some(false) {
        Is::Other(format!(
            "{} is in state `{}`; only a running guest is moved",
            seen.info.label(),
            state.status.as_deref().unwrap_or("unknown")
        ))
    } else if is_migrating {
        Is::Other(format!("{} is being moved already", seen.info.label()))
    } else {
        Is::Running(seen)
    })
}

/// A guest with two monitors is one guest: it keeps the first.
fn sorted(answers: Vec<(usize, GuestUri, Is)>) -> Found {
    let mut found = Found::default();
    let mut processes: HashMap<u32, GuestUri> = HashMap::new();
    for (_, monitor, is) in answers {
        let (seen, list) = match is {
            Is::Running(seen) => (seen, &mut found.running),
            Is::Waiting(seen) => (seen, &mut found.waiting),
            Is::Other(reason) => {
                found.skipped.push(Skipped { monitor, reason });
                continue;
            }
        };
        // Another machine's processes are not seen; there a UUID has to do.
        let other = match (seen.monitor.pid(), &seen.info.uuid) {
            (Some(pid), _) => processes.insert(pid, monitor.clone()),
            (None, Some(uuid)) => list
                .iter()
                .find(|other| other.info.uuid.as_ref() == Some(uuid))
                .map(|other| other.info.uri.clone()),
            (None, None) => None,
        };
        match other {
            Some(other) => found.skipped.push(Skipped {
                reason: format!(
                    "a second monitor of {}, known by {other}",
                    seen.info.label()
                ),
                monitor,
            }),
            None => list.push(seen),
        }
    }
    found
}
