//! Reaching the ends of an orphaned move: each for itself and with patience,
//! so that one that is not to be reached does not keep the other one waiting.

use std::collections::HashMap;
use std::convert::Infallible;
use std::time::Duration;

use tokio::sync::watch;
use vmferry_core::GuestUri;
use vmferry_hypervisor::qmp::Guest;

use crate::identity::Identity;
use crate::reconnect::{Back, come_back};
use crate::undo::Connections;

/// How long an end that cannot be reached is tried again.
const PATIENCE: Duration = Duration::from_secs(60);

/// What became of an end.
#[derive(Clone, Debug)]
pub(crate) enum At {
    /// It is connected.
    Connected(Guest),
    /// Its QEMU has exited; another one may be in its place.
    Gone,
    /// It was not reached.
    Unreachable,
}

/// The ends reached so far.
#[derive(Debug)]
pub(crate) struct Reached(watch::Sender<HashMap<GuestUri, At>>);

impl Default for Reached {
    fn default() -> Self {
        Self(watch::Sender::new(HashMap::new()))
    }
}

impl Reached {
    /// Tries to reach an end, again and again, and tells all who wait for it.
    /// Rests once it is connected or gone.
    pub(crate) async fn reach(&self, uri: &GuestUri, identity: Option<&Identity>) -> Infallible {
        loop {
            let at = reach(uri, identity).await;
            let go_on = matches!(at, At::Unreachable);
            self.set(uri, at);
            if !go_on {
                return std::future::pending().await;
            }
        }
    }

    /// Tells what became of an end.
    pub(crate) fn set(&self, uri: &GuestUri, at: At) {
        self.0.send_modify(|all| {
            all.insert(uri.clone(), at);
        });
    }

    /// What became of an end, once that is known.
    pub(crate) async fn of(&self, uri: &GuestUri) -> At {
        let mut ends = self.0.subscribe();
        // The sender is ours, so it does not go away meanwhile.
        match ends.wait_for(|all| all.contains_key(uri)).await {
            Ok(all) => all.get(uri).cloned().unwrap_or(At::Unreachable),
            Err(_) => At::Unreachable,
        }
    }

    /// The connection to an end, once it is reached; `None` once its QEMU is
    /// known to have exited.
    pub(crate) async fn settled(&self, uri: &GuestUri) -> Option<Guest> {
        let mut ends = self.0.subscribe();
        let settled =
            |all: &HashMap<_, _>| matches!(all.get(uri), Some(At::Connected(_) | At::Gone));
        match ends.wait_for(settled).await.ok()?.get(uri) {
            Some(At::Connected(guest)) => Some(guest.clone()),
            _ => None,
        }
    }

    /// What is known of an end now.
    pub(crate) fn now(&self, uri: &GuestUri) -> Option<At> {
        self.0.borrow().get(uri).cloned()
    }

    /// Every end that is connected.
    pub(crate) fn connections(&self) -> Connections {
        let all = self.0.borrow();
        let connected = all.iter().filter_map(|(uri, at)| match at {
            At::Connected(guest) if !guest.is_closed() => Some((uri.clone(), guest.clone())),
            _ => None,
        });
        connected.collect()
    }

    /// Tells when another end was reached.
    pub(crate) fn changes(&self) -> watch::Receiver<HashMap<GuestUri, At>> {
        self.0.subscribe()
    }
}

async fn reach(uri: &GuestUri, identity: Option<&Identity>) -> At {
    if identity.is_some_and(Identity::has_exited) {
        return At::Gone;
    }
    match come_back(uri, PATIENCE).await {
        Back::Connected(guest) => match identity {
            Some(identity) if matches!(identity.is(&guest).await, Ok(false)) => {
                tracing::warn!(%uri, "another QEMU listens there now: left alone");
                At::Gone
            }
            _ => At::Connected(guest),
        },
        Back::Gone => At::Gone,
        Back::GaveUp(error) => {
            tracing::warn!(%error, "not reached");
            At::Unreachable
        }
    }
}
