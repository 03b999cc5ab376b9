//! Where the guest is: asked at both ends, never assumed.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use vmferry_control::phase::is_past_return;
use vmferry_core::{GuestUri, Place};
use vmferry_hypervisor::HypervisorError;
use vmferry_hypervisor::qmp::{ConnectOptions, Guest, MigrationInfo};

/// What an end answers in a moment, or not at all.
const PATIENCE: Duration = Duration::from_secs(10);

/// What one end says of the guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndState {
    /// It runs here.
    Running,
    /// The hypervisor is there and does not run it; its own word for it.
    Stopped(String),
    /// The guest is between both ends, in post-copy: each holds a part of its
    /// memory. The status of the migration.
    Split(String),
    /// The guest was handed over by post-copy, and has run at the destination.
    HandedOver,
    /// The hypervisor's process is gone: it runs nothing.
    Gone,
    /// The end could not be asked.
    Unknown(String),
}

impl EndState {
    fn is_known_idle(&self) -> bool {
        matches!(self, Self::Stopped(_) | Self::HandedOver | Self::Gone)
    }
}

impl std::fmt::Display for EndState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Running => f.write_str("running"),
            Self::Stopped(word) => write!(f, "not running ({word})"),
            Self::Split(word) => write!(f, "holds a part of the guest ({word})"),
            Self::HandedOver => f.write_str("has handed the guest over"),
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
            (EndState::Split(_) | EndState::HandedOver, EndState::Gone) => Some(
                "the guest is lost: it ran at the destination, whose QEMU has exited, and the source's memory is from before that; \
                 do not resume it there (QMP `cont`): end that QEMU, then start the guest again from its disk",
            ),
            (EndState::Gone, EndState::Split(_)) => Some(
                "the guest is lost: the memory that the destination lacks has gone with the source's QEMU; \
                 end the destination's too, then start the guest again from its disk",
            ),
            (EndState::Split(_), _) | (_, EndState::Split(_)) => Some(
                "neither QEMU may be resumed, restarted or ended: once the link is back and both are reached, run `vmferry recover`",
            ),
            (EndState::HandedOver, EndState::Stopped(_)) => Some(
                "it runs nowhere: resume it at the destination (QMP `cont`), never at the source",
            ),
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
    let answer = guest.request_within("query-status", None, PATIENCE).await?;
    if let Some(state) = in_postcopy(guest, &answer).await {
        return Ok(state);
    }
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

/// What the run state alone would hide: that of a destination in post-copy is
/// `running`, also while it waits for memory that the source has.
async fn in_postcopy(guest: &Guest, run_state: &serde_json::Value) -> Option<EndState> {
    let word = run_state.get("status")?.as_str()?;
    if word == "inmigrate" {
        return None;
    }
    // Not told: the run state has to do.
    let answer = guest.request_within("query-migrate", None, PATIENCE).await;
    let migration = MigrationInfo::from_value(answer.ok()?);
    if is_past_return(&migration.status) {
        return Some(EndState::Split(migration.status.to_string()));
    }
    let handed_over = word == "postmigrate" && migration.was_postcopy();
    handed_over.then_some(EndState::HandedOver)
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
        let split = || EndState::Split("postcopy-paused".into());
        let unknown = || EndState::Unknown("ssh failed".into());
        for (source, destination, place) in [
            (EndState::Running, stopped(), Place::RunningAtSource),
            (EndState::Running, EndState::Gone, Place::RunningAtSource),
            (stopped(), EndState::Running, Place::RunningAtDestination),
            (
                EndState::HandedOver,
                EndState::Running,
                Place::RunningAtDestination,
            ),
            (split(), EndState::Running, Place::Uncertain),
            (split(), split(), Place::Uncertain),
            (EndState::HandedOver, split(), Place::Uncertain),
            (EndState::Gone, split(), Place::Uncertain),
            (split(), EndState::Gone, Place::Uncertain),
            (EndState::HandedOver, EndState::Gone, Place::Uncertain),
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

    /// A source that a post-copy has left must never run its guest again.
    #[test]
    fn nobody_is_told_to_resume_a_source_after_the_switch() {
        let split = || EndState::Split("postcopy-paused".into());
        let ends = || {
            [
                EndState::Running,
                EndState::Stopped("paused".into()),
                split(),
                EndState::Gone,
                EndState::Unknown("ssh failed".into()),
            ]
        };
        for source in [split(), EndState::HandedOver] {
            for destination in ends() {
                let check = PlaceCheck {
                    source: source.clone(),
                    destination,
                };
                assert!(!check.is_stranded_at_source(), "{check:?}");
                assert_ne!(check.place(), Place::RunningAtSource, "{check:?}");
                let advice = check.advice().unwrap_or_default();
                assert!(!advice.contains("resume it at the source"), "{advice}");
                assert!(!advice.contains("resume it at one end"), "{advice}");
            }
        }
    }
}
