//! Post-copy: the guest runs at the destination before its memory is there.
//! From then on nobody may cancel, resume the source or end either QEMU; a
//! stream that breaks is made anew until it stands.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::json;
use vmferry_control::{MigrationSample, Recovery, Side, Step};
use vmferry_core::{MigrationStatus, MoveEvent, Plan};
use vmferry_hypervisor::HypervisorError;
use vmferry_hypervisor::qmp::{Guest, MigrationAddress, MigrationInfo, QmpEvent};

use crate::ends::Ends;
use crate::event_log::EventSink;

/// The capability that both ends need from the beginning.
pub(crate) const CAPABILITY: &str = "postcopy-ram";

/// A destination lets go of its old address in less than a second; one that
/// goes on refusing it is asked for any other.
const SAME_ADDRESS: u32 = 5;

/// Whether the plan allows post-copy.
pub(crate) fn allowed(plan: &Plan) -> bool {
    plan.promise
        .as_ref()
        .is_some_and(|promise| promise.allow_postcopy)
}

/// Turns a running pre-copy into post-copy. Nothing is done, and nothing is
/// wrong, where the guest is being handed over already or the move is over.
///
/// # Errors
/// When the source cannot be asked, or refuses: the move was not prepared for
/// post-copy.
pub(crate) async fn start(source: &Guest) -> Result<(), HypervisorError> {
    if source.migration().await?.status != MigrationStatus::Active {
        return Ok(());
    }
    source.migrate_start_postcopy().await
}

/// What a post-copy needs while it is followed.
#[derive(Debug)]
pub(crate) struct PostCopy {
    recovery: Recovery,
    via: MigrationAddress,
    listens_at: MigrationAddress,
    refusals: u32,
    told: HashSet<String>,
    was_broken: bool,
}

impl PostCopy {
    pub(crate) fn new(plan: &Plan) -> Self {
        let via = MigrationAddress::from(&plan.via);
        Self {
            recovery: Recovery::default(),
            listens_at: via.clone(),
            via,
            refusals: 0,
            told: HashSet::new(),
            was_broken: false,
        }
    }

    /// Takes in what the source said.
    pub(crate) fn source_says(&mut self, now: Duration, sample: &MigrationSample) {
        self.recovery.status(now, Side::Source, &sample.status);
        if sample.transferred.is_some() {
            self.recovery.sent(now, sample.transferred);
        }
    }

    /// Takes in what the destination said.
    pub(crate) fn destination_says(&mut self, now: Duration, event: &QmpEvent) {
        if let Some(status) = event.migration_status() {
            self.recovery.status(now, Side::Destination, &status);
        }
    }

    /// Whether the guest is between both ends.
    pub(crate) fn is_under_way(&self) -> bool {
        self.recovery.is_under_way()
    }

    /// Whether the stream between them is broken.
    pub(crate) fn is_broken(&self) -> bool {
        self.recovery.is_broken()
    }

    /// Whether the move has been in post-copy at any time.
    pub(crate) fn was_there(&self) -> bool {
        self.recovery.was_postcopy()
    }

    /// Does what is due about a broken stream, at ends that are connected.
    pub(crate) async fn act(
        &mut self,
        now: Duration,
        ends: &Ends,
        connected: (bool, bool),
        sink: &EventSink,
    ) {
        self.tell(sink);
        let Some(step) = self.recovery.next(now) else {
            return;
        };
        if step == Step::PauseDestination && !self.recovery.is_broken() {
            self.tell_once(
                "nothing was sent for 5 s in post-copy: is the link up? The guest stands still where it needs memory that is \
                 still at the source; it cannot be given up, and goes on once the link is back"
                    .to_owned(),
                sink,
            );
        }
        let at_source = matches!(step, Step::PauseSource | Step::Resume);
        if !(if at_source { connected.0 } else { connected.1 }) {
            let message = "the stream can be made anew only once both monitors are reached again";
            self.tell_once(message.to_owned(), sink);
            return;
        }
        tracing::info!(?step, "post-copy");
        match self.take(step, ends).await {
            Ok(()) => {
                self.refusals = 0;
                self.recovery.done(now, step);
            }
            Err(error) => {
                tracing::info!(%error, "post-copy");
                if step == Step::Listen {
                    self.refusals += 1;
                }
                // The first ones say only that an end is not as far as thought.
                if self.refusals >= SAME_ADDRESS || at_source || !error.is_refused() {
                    self.tell_once(format!("tried again: {error}"), sink);
                }
                self.recovery.refused(now, step);
            }
        }
    }

    async fn take(&mut self, step: Step, ends: &Ends) -> Result<(), HypervisorError> {
        match step {
            Step::PauseSource => ends.source.migrate_pause().await,
            Step::PauseDestination => ends.destination.migrate_pause().await,
            Step::Resume => ends.source.migrate_resume(&self.listens_at).await,
            Step::Listen if self.refusals < SAME_ADDRESS => {
                self.listens_at = self.via.clone();
                ends.destination.migrate_recover(&self.via).await
            }
            Step::Listen => {
                let any = with_port(&self.via, 0);
                ends.destination.migrate_recover(&any).await?;
                self.listens_at = match port_of(&ends.destination).await? {
                    Some(port) => with_port(&self.via, port),
                    None => self.via.clone(),
                };
                Ok(())
            }
        }
    }

    fn tell(&mut self, sink: &EventSink) {
        let broken = self.recovery.is_broken();
        if broken == self.was_broken {
            return;
        }
        self.was_broken = broken;
        if broken {
            self.tell_once(
                "the stream broke in post-copy: the guest runs at the destination and stands still where it needs memory \
                 that only the source has; neither QEMU may be resumed, restarted or ended; both are connected again as \
                 soon as the link is back; Ctrl-C stops trying"
                    .to_owned(),
                sink,
            );
            return;
        }
        self.told.clear();
        if self.recovery.is_under_way() {
            self.tell_once(
                "the stream stands again: post-copy goes on".to_owned(),
                sink,
            );
            self.told.clear();
        }
    }

    fn tell_once(&mut self, message: String, sink: &EventSink) {
        if self.told.insert(message.clone()) {
            sink(&MoveEvent::Warning { message });
        }
    }

    /// What an operator reads who stops the trying.
    pub(crate) fn stopped(&self) -> String {
        let uri = self.listens_at.uri();
        let listen = json!({ "execute": "migrate-recover", "arguments": { "uri": uri } });
        let resume = json!({ "execute": "migrate", "arguments": { "uri": uri, "resume": true } });
        let by_hand = if self.recovery.is_listening() {
            format!("{resume} at the source (the destination listens already)")
        } else {
            format!("{listen} at the destination, then {resume} at the source")
        };
        format!(
            "stopped trying to put a broken post-copy together; once the link is back run `vmferry recover`, \
             or by hand {by_hand}"
        )
    }
}

fn with_port(address: &MigrationAddress, port: u16) -> MigrationAddress {
    match address {
        MigrationAddress::Tcp { host, .. } => MigrationAddress::Tcp {
            host: host.clone(),
            port,
        },
        other => other.clone(),
    }
}

/// The port that a destination has chosen, the latest where it names several.
async fn port_of(destination: &Guest) -> Result<Option<u16>, HypervisorError> {
    let patience = Duration::from_secs(5);
    let answer = destination
        .request_within("query-migrate", None, patience)
        .await?;
    let addresses = MigrationInfo::from_value(answer).listen_addresses;
    Ok(addresses
        .iter()
        .rev()
        .find_map(|address| address.get("port")?.as_str()?.parse().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_stops_the_trying_is_told_what_to_run() {
        let plan = Plan {
            source: "qmp:/run/a.qmp".parse().unwrap(),
            destination: "qmp:/run/b.qmp".parse().unwrap(),
            via: "tcp:10.77.0.2:4444".parse().unwrap(),
            limits: Default::default(),
            tls_dir: None,
            promise: None,
        };
        assert!(!allowed(&plan));
        insta::assert_snapshot!(PostCopy::new(&plan).stopped(), @r#"stopped trying to put a broken post-copy together; once the link is back run `vmferry recover`, or by hand {"arguments":{"uri":"tcp:10.77.0.2:4444"},"execute":"migrate-recover"} at the destination, then {"arguments":{"resume":true,"uri":"tcp:10.77.0.2:4444"},"execute":"migrate"} at the source"#);
    }
}
