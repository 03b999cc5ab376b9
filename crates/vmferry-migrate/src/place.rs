//! Where the guest is: asked at both ends, never assumed.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use vmferry_core::{GuestUri, Place};
use vmferry_hypervisor::HypervisorError;
use vmferry_hypervisor::qmp::{ConnectOptions, Guest};

/// What one end says of the guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndState {
    /// It runs here.
    Running,
    /// The hypervisor is there and does not run it; its own word for it.
    Stopped(String),
    /// The hypervisor's process is gone: it runs nothing.
    Gone,
    /// The end could not be asked.
    Unknown(String),
}

impl EndState {
    fn is_known_idle(&self) -> bool {
        matches!(self, Self::Stopped(_) | Self::Gone)
    }
}

impl std::fmt::Display for EndState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Running => f.write_str("running"),
            Self::Stopped(word) => write!(f, "not running ({word})"),
            Self::Gone => f.write_str("its QEMU has exited"),
            Self::Unknown(why) => write!(f, "could not be asked ({why})"),
        }
    }
}

/// What both ends say, and what follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlaceCheck {
    /// The source's answer.
    pub source: EndState,
    /// The destination's answer.
    pub destination: EndState,
}

impl PlaceCheck {
    /// Where the guest is. Only "one runs, and the other certainly does not"
    /// counts as certain.
    pub fn place(&self) -> Place {
        match (&self.source, &self.destination) {
            (EndState::Running, other) if other.is_known_idle() => Place::RunningAtSource,
            (other, EndState::Running) if other.is_known_idle() => Place::RunningAtDestination,
            _ => Place::Uncertain,
        }
    }

    /// Whether the guest stands still at the source and its destination has
    /// certainly exited: only the source can run it.
    pub fn is_stranded_at_source(&self) -> bool {
        matches!(
            (&self.source, &self.destination),
            (EndState::Stopped(_), EndState::Gone)
        )
    }

    /// What to do, where somebody has to do something.
    pub fn advice(&self) -> Option<&'static str> {
        match (&self.source, &self.destination) {
            (EndState::Running, EndState::Gone | EndState::Stopped(_)) => {
                Some("start the destination again (-incoming defer) before the next attempt")
            }
            (EndState::Running, EndState::Running) => Some(
                "it runs at BOTH ends: stop one of them at once (QMP `stop`), before both write to the same disk",
            ),
            (EndState::Stopped(_), EndState::Stopped(_)) => Some(
                "it runs nowhere: resume it at one end only (QMP `cont`), at the destination if the source says postmigrate",
            ),
            (EndState::Stopped(_), EndState::Gone) => {
                Some("it runs nowhere: resume it at the source (QMP `cont`)")
            }
            (EndState::Gone, EndState::Stopped(_)) => {
                Some("it runs nowhere: the source has exited; start it again")
            }
            (EndState::Gone, EndState::Gone) => {
                Some("it runs nowhere: both ends have exited; start it again")
            }
            (EndState::Unknown(_), _) | (_, EndState::Unknown(_)) => Some(
                "ask the end that could not be asked (QMP `query-status`) before anything is started or resumed",
            ),
            _ => None,
        }
    }

    /// Both answers in words.
    pub fn explain(&self) -> String {
        format!("source: {}; destination: {}", self.source, self.destination)
    }
}

/// Asks one end, over its connection if that still works, else over a new one.
pub async fn ask(uri: &GuestUri, connected: Option<&Guest>) -> EndState {
    if let Some(guest) = connected {
        match run_state(guest).await {
            Ok(state) => return state,
            Err(error) if !error.is_unreachable() => return EndState::Unknown(error.to_string()),
            Err(_) => {}
        }
    }
    let options = ConnectOptions {
        greeting_timeout: Duration::from_secs(3),
        ..ConnectOptions::default()
    };
    match Guest::connect(uri, options).await {
        Ok(guest) => match run_state(&guest).await {
            Ok(state) => state,
            Err(error) => EndState::Unknown(error.to_string()),
        },
        Err(error) if error.is_gone() => EndState::Gone,
        Err(error) => EndState::Unknown(error.to_string()),
    }
}

async fn run_state(guest: &Guest) -> Result<EndState, HypervisorError> {
    let answer = guest
        .request_within("query-status", None, Duration::from_secs(10))
        .await?;
    let running = answer.get("running").and_then(serde_json::Value::as_bool);
    let word = answer
        .get("status")
        .and_then(serde_json::Value::as_str)
        .unwrap_or("unknown");
    Ok(match running {
        Some(true) => EndState::Running,
        Some(false) => EndState::Stopped(word.to_owned()),
        None => EndState::Unknown(format!("query-status says {answer}")),
    })
}

/// Asks both ends until the place is certain, at most for `patience`: a source
/// that resumes after a failure and a destination that starts take a moment.
pub async fn find(
    source: (&GuestUri, Option<&Guest>),
    destination: (&GuestUri, Option<&Guest>),
    patience: Duration,
) -> PlaceCheck {
    let deadline = Instant::now() + patience;
    loop {
        let (at_source, at_destination) =
            tokio::join!(ask(source.0, source.1), ask(destination.0, destination.1));
        let check = PlaceCheck {
            source: at_source,
            destination: at_destination,
        };
        if check.place() != Place::Uncertain || Instant::now() >= deadline {
            return check;
        }
        // Polls a condition of another process that announces nothing once
        // its monitor was reconnected.
        sleep(Duration::from_millis(100)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_certain_answers_give_a_place() {
        let stopped = || EndState::Stopped("postmigrate".into());
        let unknown = || EndState::Unknown("ssh failed".into());
        for (source, destination, place) in [
            (EndState::Running, stopped(), Place::RunningAtSource),
            (EndState::Running, EndState::Gone, Place::RunningAtSource),
            (stopped(), EndState::Running, Place::RunningAtDestination),
            (
                EndState::Gone,
                EndState::Running,
                Place::RunningAtDestination,
            ),
            (EndState::Running, EndState::Running, Place::Uncertain),
            (EndState::Running, unknown(), Place::Uncertain),
            (unknown(), EndState::Running, Place::Uncertain),
            (stopped(), stopped(), Place::Uncertain),
            (EndState::Gone, EndState::Gone, Place::Uncertain),
        ] {
            assert_eq!(
                PlaceCheck {
                    source,
                    destination
                }
                .place(),
                place
            );
        }
    }
}
