//! Steers a move under way: what was seen goes to a governor, what it says is
//! done, and how it was done comes back to it.
//!
//! ```text
//! running ──Sight──> Steering { Governor } ──Action──> guest's CPU cap, migration parameters, post-copy
//!    ^                                        └─ give up ─┐
//!    └────────────────────────────────────────────────────┘
//! ```
//!
//! Following a move and steering it run side by side: an answer that QEMU
//! delays must not delay the events. Every change is in the journal first. A
//! host or a QEMU that refuses is told to the operator once, and the move goes
//! on with what is left: at full speed under the promised limits.

mod guest_cap;
mod live_parameters;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval};
use uuid::Uuid;
use vmferry_control::throttle::{
    Action, AnyController, Controller as _, Governor, Look, Reason, Stage,
};
use vmferry_core::{ByteRate, Millis, MoveEvent, Ratio};
use vmferry_hypervisor::qmp::Guest;

use crate::crossing::{Crossing, Way};
use crate::event_log::EventSink;
use crate::journal::Journal;
use crate::postcopy;
use guest_cap::GuestCap;
use live_parameters::LiveParameters;

/// How often a steered move is looked at.
pub const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How often it is checked that nobody took the cap off.
const CAP_CHECK: Duration = Duration::from_secs(1);

/// Everything that steering one move needs.
pub struct Steering {
    governor: Governor<AnyController>,
    move_id: Uuid,
    vcpu_use: Option<Ratio>,
    caps_cpu: bool,
}

/// What the steering of a move took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SteeringCost {
    /// Times the controller was asked.
    pub steps: u32,
    /// The longest answer.
    pub longest: Duration,
    /// All answers together.
    pub total: Duration,
}

/// What the one who follows the move tells.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sight {
    look: Option<Look>,
    /// By how much the hypervisor itself slows the guest down, percent.
    throttled_percent: Option<u64>,
}

/// The follower's end.
pub(crate) struct Helm {
    sights: watch::Sender<Sight>,
    source: watch::Sender<Guest>,
    given_up: mpsc::Receiver<Reason>,
}

/// The steering's end.
pub(crate) struct Crew {
    sights: watch::Receiver<Sight>,
    source: watch::Receiver<Guest>,
    give_up: mpsc::Sender<Reason>,
    crossing: Arc<Crossing>,
}

/// Both ends of one line.
pub(crate) fn line(source: &Guest, crossing: &Arc<Crossing>) -> (Helm, Crew) {
    let (sights, seen) = watch::channel(Sight::default());
    let (source, connected) = watch::channel(source.clone());
    let (give_up, given_up) = mpsc::channel(1);
    (
        Helm {
            sights,
            source,
            given_up,
        },
        Crew {
            sights: seen,
            source: connected,
            give_up,
            crossing: Arc::clone(crossing),
        },
    )
}

impl Sight {
    /// Whether the move has come to another stage since.
    fn is_beyond(&self, before: &Self) -> bool {
        let stage = |sight: &Self| sight.look.map(|look| look.stage);
        stage(self) > stage(before)
    }
}

impl Helm {
    /// Tells what was seen.
    pub(crate) fn see(&self, look: Option<Look>, throttled_percent: Option<u64>) {
        if look.is_some() {
            self.sights.send_replace(Sight {
                look,
                throttled_percent,
            });
        }
    }

    /// The source is talked to over another connection from now on.
    pub(crate) fn reconnected(&self, source: &Guest) {
        self.source.send_replace(source.clone());
    }

    /// Waits until the move is to be given up; for ever where it is not.
    pub(crate) async fn gives_up(helm: &mut Option<Self>) -> Reason {
        match helm {
            Some(helm) => match helm.given_up.recv().await {
                Some(reason) => reason,
                None => std::future::pending().await,
            },
            None => std::future::pending().await,
        }
    }
}

impl std::fmt::Debug for Steering {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Steering")
            .field("move_id", &self.move_id)
            .finish_non_exhaustive()
    }
}

impl Steering {
    /// Steers the move of that number. `vcpu_use` is the share of its virtual
    /// CPUs that the guest used before the move, 0..1: a cap bites below that
    /// only. `caps_cpu` tells whether the controller may ask for caps.
    pub fn new(
        governor: Governor<AnyController>,
        move_id: Uuid,
        vcpu_use: Option<Ratio>,
        caps_cpu: bool,
    ) -> Self {
        Self {
            governor,
            move_id,
            vcpu_use,
            caps_cpu,
        }
    }

    /// Steers until the follower hangs up.
    pub(crate) async fn run(
        self,
        mut crew: Crew,
        journal: &mut Journal,
        sink: EventSink,
    ) -> SteeringCost {
        let source = crew.source.borrow().clone();
        let cap = GuestCap::ready(&source, self.move_id, self.vcpu_use).await;
        let mut wheel = Wheel {
            crossing: Arc::clone(&crew.crossing),
            warned: HashSet::new(),
            governor: self.governor,
            cap,
            parameters: LiveParameters::default(),
            set: Held::default(),
            told: Told::default(),
            throttled: Ratio(0.0),
            cost: SteeringCost::default(),
            journal,
            sink,
        };
        if self.caps_cpu && !wheel.cap.is_possible() {
            wheel.hold_guest(Some(Ratio(1.0)));
        }
        let mut checks = interval(CAP_CHECK);
        checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                changed = crew.sights.changed() => {
                    let sight = *crew.sights.borrow_and_update();
                    let source = crew.source.borrow().clone();
                    let mut ahead = crew.sights.clone();
                    // A monitor that is slow to answer must not keep a cap on when the guest
                    // has stopped, nor the move from its end.
                    let steered = tokio::select! {
                        steered = wheel.steer(&sight, &source) => steered,
                        Ok(_) = ahead.wait_for(|s| s.is_beyond(&sight)) => None,
                    };
                    if let Some(reason) = steered {
                        // Full means that it is given up already.
                        let _ = crew.give_up.try_send(reason);
                    }
                    if changed.is_err() {
                        break;
                    }
                }
                _ = checks.tick() => wheel.check_cap(),
            }
        }
        wheel.let_go();
        wheel.cost
    }
}

/// What the parameters were set to and read back as.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Held {
    max_bandwidth: Option<ByteRate>,
    downtime_limit: Option<Duration>,
}

/// What holds, as the operator was told.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Told {
    share: Option<Ratio>,
    /// Whoever plans says at every pass what is planned.
    planned_in: u64,
    held: Held,
}

struct Wheel<'a> {
    crossing: Arc<Crossing>,
    /// What the operator was warned of.
    warned: HashSet<String>,
    governor: Governor<AnyController>,
    cap: GuestCap,
    parameters: LiveParameters,
    set: Held,
    told: Told,
    /// By how much the hypervisor slows the guest down, 0..1.
    throttled: Ratio,
    cost: SteeringCost,
    journal: &'a mut Journal,
    sink: EventSink,
}

impl Wheel<'_> {
    /// Does what a sight asks for; `Some` where the move is to be given up.
    async fn steer(&mut self, sight: &Sight, source: &Guest) -> Option<Reason> {
        let mut look = sight.look?;
        if let Some(percent) = sight.throttled_percent {
            self.throttled = Ratio((percent as f64 / 100.0).clamp(0.0, 1.0));
        }
        self.complete(&mut look);
        let asked = Instant::now();
        let actions = self.governor.input(&look);
        self.cost.count(asked.elapsed());
        let mut given_up = None;
        for action in actions {
            match action {
                Action::CapCpu { share } => self.hold_guest(Some(share)),
                Action::LiftCap => self.hold_guest(None),
                Action::SetMaxBandwidth(rate) => {
                    let value = json!((rate.0.round() as u64).max(1));
                    if self.set(source, "max-bandwidth", Some(value)).await {
                        self.set.max_bandwidth = Some(rate);
                    } else {
                        self.governor.not_done(&action);
                    }
                }
                // At the end of a move the undoing of its journal does it.
                Action::RestoreMaxBandwidth | Action::RestoreDowntimeLimit
                    if look.stage == Stage::Over => {}
                Action::RestoreMaxBandwidth => {
                    if self.set(source, "max-bandwidth", None).await {
                        self.set.max_bandwidth = None;
                    }
                }
                Action::SetDowntimeLimit(limit) => {
                    let value = json!((Millis::from(limit).0.round() as u64).max(1));
                    if self.set(source, "downtime-limit", Some(value)).await {
                        self.set.downtime_limit = Some(limit);
                    } else {
                        self.governor.not_done(&action);
                    }
                }
                Action::RestoreDowntimeLimit => {
                    if self.set(source, "downtime-limit", None).await {
                        self.set.downtime_limit = None;
                    }
                }
                Action::StartPostCopy => self.start_post_copy(source).await,
                Action::GiveUp(reason) => given_up = Some(reason),
            }
        }
        self.tell(&look);
        given_up
    }

    /// Never once a cancel is under way: the destination may be fenced then.
    async fn start_post_copy(&mut self, source: &Guest) {
        let crossing = Arc::clone(&self.crossing);
        let mut way = crossing.enter().await;
        if *way == Way::Cancelled {
            return;
        }
        // From here on nobody cancels, also where the answer does not come.
        *way = Way::PostCopy;
        if let Err(error) = postcopy::start(source).await {
            if error.is_refused() {
                *way = Way::Open;
                self.governor.not_done(&Action::StartPostCopy);
            }
            self.warn(format!("post-copy could not be started: {error}"));
        }
    }

    /// Share of the CPU time it uses that the guest gets.
    fn speed(&self) -> Ratio {
        Ratio(self.cap.in_force().0 * (1.0 - self.throttled.0))
    }

    /// What holds, as it was read back.
    fn complete(&self, look: &mut Look) {
        look.in_force.speed = self.speed();
        look.in_force.rate = self.set.max_bandwidth;
        if let Some(round) = &mut look.last_round {
            round.settings = look.in_force;
        }
    }

    fn hold_guest(&mut self, share: Option<Ratio>) {
        if let Err(problem) = self.cap.set(share, self.journal) {
            self.warn(format!(
                "{problem}; the move goes on without a cap on the guest's CPU"
            ));
            self.governor.cannot_cap();
        }
    }

    /// A cap that others took off is not fought for.
    fn check_cap(&mut self) {
        if let Some(problem) = self.cap.check() {
            self.warn(format!(
                "{problem}; the move goes on without a cap on the guest's CPU"
            ));
            self.governor.cannot_cap();
        }
    }

    async fn set(&mut self, source: &Guest, name: &str, value: Option<serde_json::Value>) -> bool {
        match self.parameters.set(source, self.journal, name, value).await {
            Ok(()) => true,
            Err(error) => {
                self.warn(format!(
                    "{name} could not be set: {error}; the move goes on without"
                ));
                false
            }
        }
    }

    fn tell(&mut self, look: &Look) {
        let share = self.speed();
        let ends_at = self.governor.controller().foreseen_end();
        let now = Told {
            share: Some(share),
            planned_in: ends_at.map_or(0, |_| look.pass),
            held: self.set,
        };
        if now != self.told && look.stage == Stage::PreCopy {
            (self.sink)(&MoveEvent::Steered {
                at_ms: Millis::from(look.now),
                cpu_share: share,
                max_bandwidth: self.set.max_bandwidth,
                downtime_limit_ms: self.set.downtime_limit.map(Millis::from),
                ends_at_ms: ends_at.map(Millis::from),
                lost_ms: Millis::from(self.governor.lost()),
            });
        }
        self.told = now;
    }

    fn warn(&mut self, message: String) {
        if self.warned.insert(message.clone()) {
            (self.sink)(&MoveEvent::Warning { message });
        }
    }

    /// Nobody steers any more: the guest gets its CPU back now, its threads go
    /// home when the journal is undone.
    fn let_go(&mut self) {
        if let Err(problem) = self.cap.set(None, self.journal) {
            tracing::warn!(%problem, "the cap is left to the undoing of the journal");
        }
        tracing::info!(
            steps = self.cost.steps,
            longest_us = self.cost.longest.as_micros(),
            total_ms = self.cost.total.as_millis(),
            "steered"
        );
    }
}

impl SteeringCost {
    fn count(&mut self, took: Duration) {
        self.steps += 1;
        self.longest = self.longest.max(took);
        self.total += took;
    }
}
