//! A move under way: follows it to its end, whoever started it.

mod connections;
mod ending;

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::watch;
use tokio::time::interval;
use vmferry_control::throttle::{Looks, Reason};
use vmferry_control::{EndKind, GuestEvent, Input, MigrationSample, Output, Side, Supervisor};
use vmferry_core::{Bytes, Millis, MoveEvent, PassRecord, Plan};
use vmferry_hypervisor::qmp::{EventStream, MigrationInfo, QmpEvent};

use connections::{Lost, connected_again, connection_lost, why_lost};

use crate::crossing::Crossing;
use crate::ends::Ends;
use crate::event_log::EventSink;
use crate::journal::Journal;
use crate::meters::{Baseline, VcpuReading};
use crate::place::PlaceCheck;
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
    crossing: Arc<Crossing>,
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
            crossing: Arc::default(),
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
        let (helm, crew) = steering::line(&self.ends.source, &self.crossing);
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

    /// The longest pause that the hypervisor plans for, at most.
    fn downtime_limit(&self) -> Duration {
        let stated = self.plan.limits.max_downtime_ms;
        stated.map_or(USUAL_LIMIT, Millis::duration)
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
