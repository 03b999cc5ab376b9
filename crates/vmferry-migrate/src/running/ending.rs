//! How a followed move comes to its end: cancelled, put back, resumed,
//! explained.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};
use vmferry_control::phase::is_past_return;
use vmferry_control::{EndKind, Warning};
use vmferry_core::{MigrationStatus, MoveEvent, Place};
use vmferry_hypervisor::qmp::MigrationInfo;

use super::connections::Lost;
use super::{RunningMigration, START_PATIENCE};
use crate::crossing::Way;
use crate::event_log::EventSink;
use crate::fence::{self, Fence};
use crate::place::{self, EndState, PlaceCheck};
use crate::poller::POLL;
use crate::stamps::Stamps;

/// Patience for both ends to agree on where the guest is.
const PLACE_PATIENCE: Duration = Duration::from_secs(10);

impl RunningMigration {
    /// Cancels the migration, unless the guest has arrived already. False
    /// when it has to be tried again.
    pub(super) async fn cancel(&mut self, status: &MigrationStatus, sink: &EventSink) -> bool {
        let warn = |message: String| sink(&MoveEvent::Warning { message });
        let crossing = Arc::clone(&self.crossing);
        let mut way = crossing.enter().await;
        // Tried again until it has come too late for good.
        if is_past_return(status) || *way == Way::PostCopy {
            let status = match *way {
                Way::PostCopy => MigrationStatus::PostcopyActive,
                _ => status.clone(),
            };
            sink(&Warning::CancelRefused { status }.into());
            return true;
        }
        *way = Way::Cancelled;
        match fence::put_up(&self.ends.destination).await {
            Fence::Up => self.fenced = true,
            Fence::Nobody => {}
            Fence::TooLate => {
                sink(&Warning::CancelTooLate.into());
                return true;
            }
            Fence::Unreachable(error)
                if *status == MigrationStatus::Device || self.may_have_left().await =>
            {
                warn(format!(
                    "not cancelled: the guest is being handed over, and whether the destination has it cannot be asked ({error})"
                ));
                return false;
            }
            Fence::Unreachable(error) => {
                warn(format!(
                    "the destination cannot be asked ({error}); cancelling all the same"
                ));
            }
        }
        match self.ends.source.migrate_cancel().await {
            Ok(()) => true,
            Err(error) => {
                if !error.is_closed() {
                    warn(format!("cancelling failed, and is tried again: {error}"));
                }
                false
            }
        }
    }

    /// Whether a post-copy that nobody was told of yet has taken the guest away.
    async fn may_have_left(&self) -> bool {
        let status = self.ends.source.migration().await.map(|info| info.status);
        !matches!(status, Ok(MigrationStatus::Setup | MigrationStatus::Active))
    }

    /// The guest moved after all: the destination may start it.
    pub(super) async fn unfence(&self, sink: &EventSink) {
        if let Err(error) = fence::settle(&self.ends.source, &self.ends.destination).await {
            sink(&MoveEvent::Warning {
                message: format!(
                    "the guest has moved, but could not be resumed at the destination: {error}; resume it there (QMP `cont`)"
                ),
            });
        }
    }

    pub(super) async fn find_place(&self) -> PlaceCheck {
        place::find(
            (&self.plan.source, Some(&self.ends.source)),
            (&self.plan.destination, Some(&self.ends.destination)),
            PLACE_PATIENCE,
        )
        .await
    }

    /// The source has sent everything and the destination has died of it: the
    /// guest stands still at the source, and nobody else can run it.
    pub(super) async fn rescue(&self, before: PlaceCheck, sink: &EventSink) -> PlaceCheck {
        match self.ends.source.cont().await {
            Ok(()) => {
                sink(&MoveEvent::Warning {
                    message: "the destination exited with the guest; it was resumed at the source"
                        .into(),
                });
                self.find_place().await
            }
            Err(error) => {
                sink(&MoveEvent::Warning {
                    message: format!("the guest could not be resumed at the source: {error}"),
                });
                before
            }
        }
    }

    /// The source is done before the destination has resumed the guest. Where
    /// the event may have been missed, the destination is asked instead.
    pub(super) async fn await_resume(&mut self, stamps: &mut Stamps, missed: bool) {
        if missed {
            let uri = &self.plan.destination;
            let running = async {
                while place::ask(uri, Some(&self.ends.destination)).await != EndState::Running {
                    sleep(POLL).await;
                }
            };
            // Asking both ends says what became of it.
            let _ = timeout(START_PATIENCE, running).await;
            // What was announced before that answer is here already.
            while let Ok(Some(event)) =
                timeout(Duration::ZERO, self.destination_events.next()).await
            {
                if event.name == "RESUME" {
                    stamps.resumed(&event);
                }
            }
            return;
        }
        let wait = async {
            while stamps.resume_missing() {
                match self.destination_events.next().await {
                    Some(event) if event.name == "RESUME" => stamps.resumed(&event),
                    Some(_) => {}
                    None => break,
                }
            }
        };
        // A destination that does not start in time is found by asking both ends.
        let _ = timeout(START_PATIENCE, wait).await;
    }

    pub(super) fn stalled(&self) -> String {
        format!(
            "given up: nothing was sent over {} for {} s; check the link between the hosts, then migrate again",
            self.plan.via,
            self.stall_timeout.as_secs()
        )
    }

    pub(super) fn explain(
        &self,
        kind: Option<EndKind>,
        info: Option<&MigrationInfo>,
        given_up: Option<String>,
        lost: &Lost,
        place: &PlaceCheck,
    ) -> Option<String> {
        let said = info.and_then(|info| info.error_desc.clone());
        let reason = match (kind, given_up) {
            (Some(EndKind::Completed), _) if place.place() == Place::RunningAtDestination => {
                return None;
            }
            (Some(EndKind::Completed), _) => {
                "the source handed the guest over, but the destination does not run it; \
                 its log says why"
                    .to_owned()
            }
            (_, Some(given_up)) => given_up,
            (Some(EndKind::Failed), _) => said.unwrap_or_else(|| {
                "the hypervisor gave no reason; see its logs at both ends".to_owned()
            }),
            (Some(EndKind::Cancelled), _) => "cancelled".to_owned(),
            (None, _) => lost
                .reason
                .clone()
                .unwrap_or_else(|| format!("{} was lost", self.plan.source)),
        };
        let advice = place
            .advice()
            .map_or_else(String::new, |advice| format!("; {advice}"));
        Some(format!("{reason} ({}){advice}", place.explain()))
    }
}
