//! A move under way: follows it to its end, whoever started it.

use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::watch;
use tokio::time::{interval, sleep, timeout};
use vmferry_control::phase::is_past_return;
use vmferry_control::throttle::{Looks, Reason};
use vmferry_control::{
    EndKind, GuestEvent, Input, MigrationSample, Output, Side, Supervisor, Warning,
};
use vmferry_core::{Bytes, GuestUri, MigrationStatus, Millis, MoveEvent, PassRecord, Place, Plan};
use vmferry_hypervisor::qmp::{EventStream, MigrationInfo, QmpEvent};

use crate::ends::Ends;
use crate::event_log::EventSink;
use crate::fence::{self, Fence};
use crate::journal::Journal;
use crate::meters::{Baseline, VcpuReading};
use crate::place::{self, EndState, PlaceCheck};
use crate::poller::{POLL, Poller};
use crate::postcopy::PostCopy;
use crate::reconnect::{Back, Return};
use crate::stall::StallWatch;
use crate::stamps::Stamps;
use crate::steering::{self, Helm, LOOK_EVERY, Steering, SteeringCost};

/// A destination that has everything needs this long at most to start.
const START_PATIENCE: Duration = Duration::from_secs(30);
/// How often silence is noticed and a cancel that is due is tried again.
const TICK: Duration = Duration::from_secs(1);
/// QEMU's `downtime-limit` where nothing else was asked for.
const USUAL_LIMIT: Duration = Duration::from_millis(300);
/// Patience for both ends to agree on where the guest is.
const PLACE_PATIENCE: Duration = Duration::from_secs(10);

/// A migration that the source has accepted.
#[derive(Debug)]
pub struct RunningMigration {
    ends: Ends,
    plan: Plan,
    baseline: Baseline,
    began: Instant,
    source_events: EventStream,
    destination_events: EventStream,
    stall_timeout: Duration,
    joined_late: bool,
    /// Whether a broken post-copy is tried on whatever the operator said before.
    insists: bool,
    /// Whether the destination was told not to start the guest.
    fenced: bool,
}

/// How the following of a move ended.
#[derive(Debug)]
pub struct Ended {
    /// How the source says that it ended; `None` when it could not say.
    pub kind: Option<EndKind>,
    /// Why it failed, where it did.
    pub error: Option<String>,
    /// Whether vmferry gave it up: the stream stood still, or no promise could
    /// be kept.
    pub given_up: bool,
    /// Whether the operator asked for the end.
    pub cancelled: bool,
    /// Where the guest is.
    pub place: PlaceCheck,
    /// When the guest stopped and resumed.
    pub stamps: Stamps,
    /// CPU use of the guest up to its stop.
    pub vcpu: Option<VcpuReading>,
    /// Every pass.
    pub passes: Vec<PassRecord>,
    /// The last statistics, as the source gave them.
    pub info: Option<MigrationInfo>,
    /// The baseline it was started with.
    pub baseline: Baseline,
    /// The connections at the end, which may have been made anew.
    pub ends: Ends,
}

impl Ended {
    /// The raw statistics for the record.
    pub fn raw(&self) -> Option<Value> {
        self.info.as_ref().map(|info| info.raw.clone())
    }
}

enum Seen {
    Poll(Option<Box<MigrationInfo>>),
    SourceEvent(Option<QmpEvent>),
    DestinationEvent(Option<QmpEvent>),
    Back(Side, Back),
    Cancel,
    GivenUp(Reason),
    Tick,
}

impl RunningMigration {
    /// Follows a migration that runs. `began` is the instant of its command.
    pub fn attach(
        ends: Ends,
        plan: Plan,
        baseline: Baseline,
        began: Instant,
        streams: (EventStream, EventStream),
        stall_timeout: Duration,
    ) -> Self {
        Self {
            ends,
            plan,
            baseline,
            began,
            source_events: streams.0,
            destination_events: streams.1,
            stall_timeout,
            joined_late: false,
            insists: false,
            fenced: false,
        }
    }

    /// The same, where events may have been missed before the streams began.
    #[must_use]
    pub fn joined_late(self) -> Self {
        Self {
            joined_late: true,
            ..self
        }
    }

    /// The same for a guard: it puts a broken post-copy together also where
    /// vmferry was told to cancel.
    #[must_use]
    pub fn insisting(self) -> Self {
        Self {
            insists: true,
            ..self
        }
    }

    /// Follows the move to its end. The first `true` on `cancel` cancels it;
    /// a stream that stands still longer than the stall timeout is cancelled
    /// too. In post-copy neither happens any more: a broken stream is made anew,
    /// which a `true` on `cancel` stops. A connection that breaks is made anew;
    /// a source whose process is gone ends the supervision, and in post-copy a
    /// destination whose process is gone too.
    pub async fn supervise(self, cancel: watch::Receiver<bool>, sink: EventSink) -> Ended {
        self.follow(cancel, sink, None).await
    }

    /// As [`Self::supervise`], and steers it at the same time. Every change
    /// that steering makes is in the journal first.
    pub async fn supervise_steered(
        self,
        cancel: watch::Receiver<bool>,
        sink: EventSink,
        steering: Steering,
        journal: &mut Journal,
    ) -> (Ended, SteeringCost) {
        let (helm, crew) = steering::line(&self.ends.source);
        tokio::join!(
            self.follow(cancel, sink.clone(), Some(helm)),
            steering.run(crew, journal, sink)
        )
    }

    async fn follow(
        mut self,
        mut cancel: watch::Receiver<bool>,
        sink: EventSink,
        mut helm: Option<Helm>,
    ) -> Ended {
        let mut looks = Looks::new(self.downtime_limit());
        let mut gave_up = None;
        let look_every = if helm.is_some() { LOOK_EVERY } else { POLL };
        let mut supervisor = Supervisor::new();
        let mut stall = StallWatch::new(self.stall_timeout);
        let mut stamps = Stamps::default();
        let mut vcpu = None;
        let mut last = None;
        let mut postcopy = PostCopy::new(&self.plan);
        let mut lost = Lost {
            resume_missed: self.joined_late,
            ..Lost::default()
        };
        let mut cancel_due = false;
        let mut cancel_open = true;
        let mut by_operator = false;
        let mut ticks = interval(TICK);
        let (mut source_back, mut destination_back) = (Return::default(), Return::default());
        let (mut poller, mut polls) = Poller::start(self.ends.source.clone(), look_every);

        let kind = 'follow: loop {
            let connected = (!lost.source, !lost.destination);
            postcopy
                .act(self.began.elapsed(), &self.ends, connected, &sink)
                .await;
            let seen = tokio::select! {
                Some(info) = polls.recv(), if !lost.source => Seen::Poll(info.map(Box::new)),
                event = self.source_events.next(), if !lost.source => Seen::SourceEvent(event),
                event = self.destination_events.next(), if !lost.destination => Seen::DestinationEvent(event),
                back = source_back.ended() => Seen::Back(Side::Source, back),
                back = destination_back.ended() => Seen::Back(Side::Destination, back),
                changed = cancel.changed(), if cancel_open => {
                    cancel_open = changed.is_ok();
                    if *cancel.borrow() { Seen::Cancel } else { continue }
                }
                reason = Helm::gives_up(&mut helm) => Seen::GivenUp(reason),
                _ = ticks.tick() => Seen::Tick,
            };
            let now = self.began.elapsed();
            let input = match seen {
                Seen::Poll(Some(info)) => {
                    if let Some(message) = stall.look(now, &info) {
                        sink(&MoveEvent::Warning { message });
                    }
                    let sample = sample(&info);
                    if let Some(helm) = &helm {
                        helm.see(looks.sample(now, &sample), info.cpu_throttle_percent);
                    }
                    last = Some(*info);
                    Input::Status(sample)
                }
                Seen::Poll(None) | Seen::SourceEvent(None) => {
                    lost.source = true;
                    if source_back.begin(&self.plan.source) {
                        sink(&connection_lost(Side::Source, &self.plan));
                    }
                    continue;
                }
                Seen::SourceEvent(Some(event)) => match source_input(&event) {
                    Some(input) => {
                        if input == Input::Event(GuestEvent::Stop) {
                            stamps.stopped(&event);
                            vcpu = self.baseline.vcpu_now();
                            if let Some(helm) = &helm {
                                helm.see(looks.stopped(now), None);
                            }
                        }
                        if let Input::Event(GuestEvent::Pass(pass)) = input {
                            looks.announced(now, pass);
                            poller.now();
                        }
                        input
                    }
                    None => continue,
                },
                Seen::DestinationEvent(Some(event)) if event.name == "RESUME" => {
                    stamps.resumed(&event);
                    Input::Event(GuestEvent::Resume)
                }
                Seen::DestinationEvent(Some(event)) => {
                    postcopy.destination_says(now, &event);
                    continue;
                }
                Seen::DestinationEvent(None) => {
                    lost.destination = true;
                    lost.resume_missed = true;
                    if destination_back.begin(&self.plan.destination) {
                        sink(&connection_lost(Side::Destination, &self.plan));
                    }
                    continue;
                }
                Seen::Back(Side::Source, Back::Connected(guest)) => {
                    self.source_events = guest.events();
                    self.ends.source = guest;
                    (poller, polls) = Poller::start(self.ends.source.clone(), look_every);
                    lost.source = false;
                    if let Some(helm) = &helm {
                        helm.reconnected(&self.ends.source);
                    }
                    sink(&connected_again(&self.plan.source));
                    continue;
                }
                Seen::Back(Side::Destination, Back::Connected(guest)) => {
                    self.destination_events = guest.events();
                    self.ends.destination = guest;
                    lost.destination = false;
                    sink(&connected_again(&self.plan.destination));
                    continue;
                }
                Seen::Back(Side::Source, back) => {
                    lost.reason = Some(why_lost(&self.plan.source, &back));
                    Input::ConnectionLost(Side::Source)
                }
                // The guest cannot do without either end.
                Seen::Back(Side::Destination, Back::GaveUp(_)) if postcopy.is_under_way() => {
                    destination_back.begin(&self.plan.destination);
                    continue;
                }
                Seen::Back(Side::Destination, back) if postcopy.is_under_way() => {
                    lost.reason = Some(why_lost(&self.plan.destination, &back));
                    Input::ConnectionLost(Side::Destination)
                }
                // The source reports the failure that this means, if it means one.
                Seen::Back(Side::Destination, _) => Input::ConnectionLost(Side::Destination),
                Seen::Cancel if postcopy.is_broken() && !self.insists => {
                    lost.reason = Some(postcopy.stopped());
                    break 'follow None;
                }
                Seen::Cancel => {
                    by_operator = !stall.expired() && !postcopy.is_under_way();
                    Input::OperatorCancel
                }
                Seen::GivenUp(reason) => {
                    gave_up = Some(reason.to_string());
                    Input::OperatorCancel
                }
                Seen::Tick => {
                    if let Some(message) = stall.silence(now).filter(|_| !lost.source) {
                        sink(&MoveEvent::Warning { message });
                    }
                    // A cancel that could not be given is given again.
                    if cancel_due && !lost.source {
                        cancel_due = !self.cancel(supervisor.status(), &sink).await;
                    }
                    continue;
                }
            };
            if let Input::Status(sample) = &input {
                postcopy.source_says(now, sample);
            }
            let mut outputs = supervisor.input(now, input);
            if stall.expired() && !supervisor.cancel_asked() {
                outputs.extend(supervisor.input(now, Input::OperatorCancel));
            }
            for output in outputs {
                match output {
                    Output::Tell(event) => sink(&event),
                    Output::Warn(warning) => sink(&warning.into()),
                    Output::Cancel if lost.source => cancel_due = true,
                    Output::Cancel => {
                        cancel_due = !self.cancel(supervisor.status(), &sink).await;
                    }
                    // A destination that exits makes the source fail, which
                    // it reports itself; a source that is gone reports nothing.
                    Output::AskBothEnds if lost.reason.is_some() => break 'follow None,
                    Output::AskBothEnds => {}
                    Output::Finish(kind) => break 'follow Some(kind),
                }
            }
        };
        if let Some(helm) = helm.take() {
            helm.see(looks.over(self.began.elapsed()), None);
        }
        drop(poller);
        drop(source_back);
        if let Some(guest) = destination_back.finish(START_PATIENCE).await {
            self.destination_events = guest.events();
            self.ends.destination = guest;
            sink(&connected_again(&self.plan.destination));
        }

        if kind == Some(EndKind::Completed) {
            if self.fenced || self.joined_late {
                self.unfence(&sink).await;
            }
            // A post-copy is over at the destination a moment later.
            let ask = lost.resume_missed || postcopy.was_there();
            self.await_resume(&mut stamps, ask).await;
        }
        // The end was an event perhaps: the reason and the last numbers are
        // known only now.
        if kind.is_some()
            && let Ok(info) = self.ends.source.migration().await
        {
            last = Some(info);
        }
        let mut place = self.find_place().await;
        if kind == Some(EndKind::Completed) && place.is_stranded_at_source() {
            place = self.rescue(place, &sink).await;
        }
        let stalled = stall.expired() && !by_operator;
        let given_up = match &gave_up {
            Some(reason) => Some(format!("given up: {reason}")),
            None if stalled => Some(self.stalled()),
            None => None,
        };
        let error = self.explain(kind, last.as_ref(), given_up, &lost, &place);
        Ended {
            kind,
            error,
            given_up: stalled || gave_up.is_some(),
            cancelled: by_operator,
            place,
            stamps,
            vcpu,
            passes: supervisor.passes().to_vec(),
            info: last,
            baseline: self.baseline,
            ends: self.ends,
        }
    }

    /// Cancels the migration, unless the guest has arrived already. False
    /// when it has to be tried again.
    async fn cancel(&mut self, status: &MigrationStatus, sink: &EventSink) -> bool {
        let warn = |message: String| sink(&MoveEvent::Warning { message });
        // Tried again until it has come too late for good.
        if is_past_return(status) {
            let status = status.clone();
            sink(&Warning::CancelRefused { status }.into());
            return true;
        }
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
    async fn unfence(&self, sink: &EventSink) {
        if let Err(error) = fence::settle(&self.ends.source, &self.ends.destination).await {
            sink(&MoveEvent::Warning {
                message: format!(
                    "the guest has moved, but could not be resumed at the destination: {error}; resume it there (QMP `cont`)"
                ),
            });
        }
    }

    async fn find_place(&self) -> PlaceCheck {
        place::find(
            (&self.plan.source, Some(&self.ends.source)),
            (&self.plan.destination, Some(&self.ends.destination)),
            PLACE_PATIENCE,
        )
        .await
    }

    /// The source has sent everything and the destination has died of it: the
    /// guest stands still at the source, and nobody else can run it.
    async fn rescue(&self, before: PlaceCheck, sink: &EventSink) -> PlaceCheck {
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
    async fn await_resume(&mut self, stamps: &mut Stamps, missed: bool) {
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

    fn stalled(&self) -> String {
        format!(
            "given up: nothing was sent over {} for {} s; check the link between the hosts, then migrate again",
            self.plan.via,
            self.stall_timeout.as_secs()
        )
    }

    /// The longest pause that the hypervisor plans for, at most.
    fn downtime_limit(&self) -> Duration {
        let stated = self.plan.limits.max_downtime_ms;
        stated.map_or(USUAL_LIMIT, Millis::duration)
    }

    fn explain(
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

/// What is lost of the connections to both ends.
#[derive(Debug, Default)]
struct Lost {
    source: bool,
    destination: bool,
    /// Whether RESUME may have come while the destination was not connected.
    resume_missed: bool,
    /// Why the source will not come back.
    reason: Option<String>,
}

fn connection_lost(side: Side, plan: &Plan) -> MoveEvent {
    let (uri, goes_on) = match side {
        Side::Source => (
            &plan.source,
            "the migration goes on by itself unless its QEMU has exited",
        ),
        Side::Destination => (
            &plan.destination,
            "the source says what becomes of the migration",
        ),
    };
    MoveEvent::Warning {
        message: format!("the connection to {uri} was lost; {goes_on}; connecting again"),
    }
}

fn connected_again(uri: &GuestUri) -> MoveEvent {
    MoveEvent::Warning {
        message: format!("connected to {uri} again"),
    }
}

fn why_lost(uri: &GuestUri, back: &Back) -> String {
    match back {
        Back::GaveUp(error) => {
            format!("the connection to {uri} was lost in mid-move and not made again: {error}")
        }
        _ => format!("the QEMU of {uri} exited in mid-move"),
    }
}

fn source_input(event: &QmpEvent) -> Option<Input> {
    if let Some(status) = event.migration_status() {
        return Some(Input::Status(MigrationSample::status_only(status)));
    }
    if let Some(pass) = event.migration_pass() {
        return Some(Input::Event(GuestEvent::Pass(pass)));
    }
    (event.name == "STOP").then_some(Input::Event(GuestEvent::Stop))
}

/// An answer of `query-migrate` as the supervisor reads it.
pub(crate) fn sample(info: &MigrationInfo) -> MigrationSample {
    MigrationSample {
        status: info.status.clone(),
        remaining: info.ram.remaining_bytes.map(Bytes),
        transferred: info.ram.transferred_bytes.map(Bytes),
        total: info.ram.total_bytes.map(Bytes),
        sync_count: info.ram.dirty_sync_count,
        dirty_pages_per_s: info.ram.dirty_pages_per_s,
        expected_downtime: info.expected_downtime_ms.map(|ms| Millis(ms as f64)),
    }
}
