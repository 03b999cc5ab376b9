//! A controller judged without a hypervisor: QEMU's rules over recorded dirt.

mod disturbance;

use std::time::Duration;

use vmferry_core::{ByteRate, Bytes, Ratio};
use vmferry_precopy::HostCosts;
use vmferry_precopy::dirt::{Dirt, PacedDirt};
use vmferry_precopy::qemu::{Rules, Stepped};
use vmferry_precopy::replay::{Pass, Switchover};
use vmferry_precopy::tuning::{Round, Settings};

use super::governor::{Action, Controller, Governor};
use super::look::{Look, Stage};
use super::promise::Reason;
pub use disturbance::Disturbance;
use disturbance::Unrest;

/// How often a controller is asked.
pub const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The conditions of a trial.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    /// What QEMU is set to before the move.
    pub rules: Rules,
    /// Costs of the hosts.
    pub costs: HostCosts,
    /// What the link carries, bytes of stream per second.
    pub link: ByteRate,
    /// What it carries from later instants on, by growing instant.
    pub link_changes: Vec<(Duration, ByteRate)>,
    /// Percent of dirt that one percent of CPU is worth: 1 where writes follow
    /// the CPU, 0 where they do not care.
    pub elasticity: f64,
    /// When the guest is stopped whatever remains: the cap on time.
    pub forced_after: Duration,
    /// How it differs from what the controller is told; `None` for not at all.
    pub disturbance: Option<Disturbance>,
}

impl Trial {
    /// QEMU's defaults but for the bandwidth, a guest whose dirt follows its
    /// CPU, two minutes.
    pub fn over(link: ByteRate) -> Self {
        Self {
            rules: Rules {
                max_bandwidth: None,
                ..Rules::default()
            },
            costs: HostCosts::default(),
            link,
            link_changes: Vec::new(),
            elasticity: 1.0,
            forced_after: Duration::from_secs(120),
            disturbance: None,
        }
    }
}

/// How a trial ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TrialEnd {
    /// Pre-copy converged.
    SwitchedOver,
    /// The guest was stopped at the cap on time.
    Forced,
    /// It went on by post-copy.
    PostCopy,
    /// The controller gave up.
    GaveUp(Reason),
}

/// What came of a trial.
#[derive(Clone, Debug, PartialEq)]
pub struct TrialOutcome {
    /// How it ended.
    pub end: TrialEnd,
    /// From the command to the end.
    pub total_time: Duration,
    /// STOP at the source to RESUME at the destination; `None` where the guest
    /// stayed.
    pub downtime: Option<Duration>,
    /// Bytes of stream.
    pub transferred: Bytes,
    /// The guest's work lost to caps and pause, in time at full speed. What a
    /// guest waits for pages in post-copy is not in it.
    pub lost: Duration,
    /// The passes of pre-copy.
    pub passes: Vec<Pass>,
    /// What was done, and when.
    pub actions: Vec<(Duration, Action)>,
}

impl TrialOutcome {
    /// Work lost over the time of the move, 0..1.
    pub fn slowdown(&self) -> Ratio {
        Ratio(self.lost.as_secs_f64() / self.total_time.as_secs_f64().max(1e-9))
    }
}

/// A move under way in a trial.
struct Underway<'a, D: Dirt> {
    trial: &'a Trial,
    dirt: &'a PacedDirt<D>,
    replay: Stepped<'a, PacedDirt<D>>,
    in_force: Settings,
    link: ByteRate,
    unrest: Unrest,
    /// A cap that was set and does not act yet, and when it will.
    coming_cap: Option<(Duration, Ratio)>,
    /// Until when the guest's speed is settled.
    paced_until: Duration,
    actions: Vec<(Duration, Action)>,
}

impl Trial {
    /// Moves a guest under a governor that was not used before.
    pub fn run<D: Dirt, C: Controller>(&self, dirt: D, governor: &mut Governor<C>) -> TrialOutcome {
        let dirt = PacedDirt::new(dirt);
        let mut underway = Underway {
            trial: self,
            dirt: &dirt,
            replay: Stepped::new(&dirt, &self.rules, &self.costs, self.link),
            in_force: Settings {
                rate: self.rules.max_bandwidth,
                speed: Ratio(1.0),
            },
            link: self.link,
            unrest: Unrest::new(self.disturbance),
            coming_cap: None,
            paced_until: Duration::ZERO,
            actions: Vec::new(),
        };
        let end = underway.until_done(governor);
        underway.over(end, governor)
    }
}

impl<D: Dirt> Underway<'_, D> {
    fn until_done<C: Controller>(&mut self, governor: &mut Governor<C>) -> TrialEnd {
        loop {
            let look = self.look(Stage::PreCopy);
            if let Some(end) = self.obey(governor.input(&look)) {
                return end;
            }
            let now = self.replay.now();
            if now >= self.trial.forced_after {
                return TrialEnd::Forced;
            }
            let next = (now + self.unrest.next_look()).min(self.trial.forced_after);
            if self.advance(next) {
                return TrialEnd::SwitchedOver;
            }
        }
    }

    /// Goes on to an instant and tells whether the guest was stopped.
    fn advance(&mut self, until: Duration) -> bool {
        loop {
            let now = self.replay.now();
            self.follow_the_link(now);
            let next = self.unrest.next_note(now, until);
            self.pace(next);
            if self.replay.advance(next).is_some() {
                return true;
            }
            let now = self.replay.now();
            self.unrest.note(now, self.replay.remaining());
            if now >= until {
                return false;
            }
        }
    }

    fn follow_the_link(&mut self, now: Duration) {
        let changes = self.trial.link_changes.iter();
        let change = changes.take_while(|(since, _)| *since <= now).last();
        let rate = change.map_or(self.trial.link, |(_, rate)| *rate);
        let rate = self.unrest.link_rate(now, rate);
        if rate != self.link {
            self.link = rate;
            self.replay.set_link_rate(rate);
        }
    }

    fn look(&mut self, stage: Stage) -> Look {
        let passes = self.replay.passes();
        let now = self.replay.now();
        let begun = passes.last().map_or(Duration::ZERO, |pass| pass.start);
        let last_round = match passes {
            [.., before, pass] => Some(Round {
                number: passes.len() as u64 - 1,
                length: pass.start.saturating_sub(before.start),
                sent: before.sent,
                skipped: Bytes(0),
                dirtied: pass.dirtied,
                settings: self.in_force,
                last: false,
            }),
            _ => None,
        };
        let last_round = last_round.map(|round| self.unrest.told(round));
        let remaining = self.replay.remaining();
        Look {
            now,
            stage,
            pass: self.replay.dirty_syncs(),
            in_pass: now.saturating_sub(begun),
            remaining: self.unrest.told_to_remain(now, remaining),
            transferred: self.replay.transferred(),
            last_round,
            in_force: self.in_force,
        }
    }

    /// Does what is asked for, and tells the end that is part of it.
    fn obey(&mut self, actions: Vec<Action>) -> Option<TrialEnd> {
        let now = self.replay.now();
        let mut end = None;
        for action in actions {
            self.actions.push((now, action));
            match action {
                Action::CapCpu { share } => self.cap(now, share),
                Action::LiftCap => self.cap(now, Ratio(1.0)),
                Action::SetMaxBandwidth(rate) => self.hold(Some(rate)),
                Action::RestoreMaxBandwidth => self.hold(self.trial.rules.max_bandwidth),
                Action::SetDowntimeLimit(limit) => self.replay.set_downtime_limit(limit),
                Action::RestoreDowntimeLimit => self
                    .replay
                    .set_downtime_limit(self.trial.rules.downtime_limit),
                Action::StartPostCopy => end = Some(TrialEnd::PostCopy),
                Action::GiveUp(reason) => end = Some(TrialEnd::GaveUp(reason)),
            }
        }
        end
    }

    fn cap(&mut self, now: Duration, share: Ratio) {
        let coming = self.unrest.granted(now, share);
        self.coming_cap = Some(coming);
        if coming.0 <= now {
            self.pace(now);
        }
    }

    /// Settles the guest's speed up to an instant: what is replayed never asks
    /// for later.
    fn pace(&mut self, until: Duration) {
        while let Some((since, share)) = self.coming_cap.filter(|(since, _)| *since <= until) {
            let since = since.max(self.paced_until);
            self.pace_at_this_cap(since);
            self.paced_until = since;
            self.in_force.speed = share;
            self.coming_cap = None;
        }
        self.pace_at_this_cap(until);
        self.paced_until = self.paced_until.max(until);
    }

    fn pace_at_this_cap(&self, until: Duration) {
        let share = self.in_force.speed.0.max(0.0);
        let pace = share.powf(self.trial.elasticity);
        let from = self.paced_until;
        let Some(period) = self.unrest.cap_period().filter(|_| pace < 1.0) else {
            self.dirt.set_speed(from, Ratio(pace));
            return;
        };
        let runs = period.mul_f64(pace);
        let mut begin = period * (from.as_nanos() / period.as_nanos()) as u32;
        while begin < until {
            for (since, speed) in [(begin, 1.0), (begin + runs, 0.0)] {
                if since < until {
                    self.dirt.set_speed(since.max(from), Ratio(speed));
                }
            }
            begin += period;
        }
    }

    fn hold(&mut self, rate: Option<ByteRate>) {
        self.in_force.rate = rate;
        self.replay.set_max_bandwidth(rate);
    }

    fn over<C: Controller>(mut self, end: TrialEnd, governor: &mut Governor<C>) -> TrialOutcome {
        let switch = match end {
            TrialEnd::GaveUp(_) => None,
            _ => Some(self.replay.force_switchover()),
        };
        // What post-copy leaves for later is fetched while the guest runs.
        let pause = |switch: Switchover| match end {
            TrialEnd::PostCopy => {
                let costs = &self.trial.costs;
                costs.stop
                    + costs.device_save
                    + (costs.device_state + costs.socket_buffer) / self.link
                    + costs.destination_start
            }
            _ => switch.downtime,
        };
        let downtime = switch.map(pause);
        let stopped = switch.map_or(self.replay.now(), |switch| switch.start);
        let mut look = Look {
            now: stopped,
            ..self.look(Stage::Stopped)
        };
        let undo = governor.input(&look);
        self.obey(undo);
        let lost = governor.lost() + downtime.unwrap_or_default();
        look = self.look(Stage::Over);
        let undo = governor.input(&look);
        self.obey(undo);
        let replay = self.replay.into_replay();
        TrialOutcome {
            end,
            total_time: replay.total_time,
            downtime,
            transferred: replay.transferred,
            lost,
            passes: replay.passes,
            actions: self.actions,
        }
    }
}
