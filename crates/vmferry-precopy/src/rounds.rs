//! Xen's pre-copy: rounds that send what the look before them found.

mod to_send;

use std::time::Duration;

use vmferry_core::{ByteRate, Bytes, PAGE_SIZE, Pages, Ratio};

use crate::dirt::AggregateDirt;
use crate::host_costs::HostCosts;
use crate::replay::{Pass, Replay, Switchover, bytes, duration};
use crate::stream::{PageCost, Stream};
use crate::tuning::{Round, Settings, Tuning};
use crate::xen_legacy::EarlyStop;
pub(crate) use to_send::{AmountToSend, PagesToSend, ToSend};

/// What ends the rounds; without anything they never end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) max_rounds: Option<u64>,
    pub(crate) few_pages: Option<Pages>,
    pub(crate) max_sent: Option<Ratio>,
    pub(crate) skip_redirtied: bool,
    pub(crate) early_stop: EarlyStop,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_rounds: None,
            few_pages: None,
            max_sent: None,
            skip_redirtied: false,
            early_stop: EarlyStop::Never,
        }
    }
}

/// The sender, the link, and the guest's clock beside the wall's: a guest that
/// is slowed down writes in t what it wrote in t times its speed.
pub(crate) struct Line {
    stream: Stream,
    /// Every page counts as having content: libxc sends zero pages in full.
    cost: PageCost,
    pub(crate) now: f64,
    /// Instant of the source of dirt.
    pub(crate) guest: f64,
    speed: f64,
}

impl Line {
    /// Sends pages while the guest runs.
    pub(crate) fn hand_over(&mut self, pages: f64) {
        let seconds = self.stream.send(pages, self.cost);
        self.now += seconds;
        self.guest += seconds * self.speed;
    }
}

/// A round just ended.
struct Ended {
    /// Pages it had to send.
    pages: f64,
    sent: f64,
    skipped: f64,
    dirtied: f64,
}

pub(crate) struct Rounds<'a, D, S> {
    dirt: &'a D,
    to_send: S,
    limits: Limits,
    costs: &'a HostCosts,
    line: Line,
    /// Guest's instant at which the dirty log was cleared.
    cleared: f64,
    settings: Settings,
    total: f64,
    total_sent: f64,
    last_sent: f64,
    passes: Vec<Pass>,
}

impl<'a, D: AggregateDirt, S: ToSend> Rounds<'a, D, S> {
    pub(crate) fn new(
        dirt: &'a D,
        to_send: S,
        limits: Limits,
        costs: &'a HostCosts,
        rate: ByteRate,
    ) -> Self {
        let stream = Stream::new(rate, costs);
        let setup = costs.setup.as_secs_f64();
        let total = to_send.pages();
        Self {
            dirt,
            to_send,
            limits,
            costs,
            line: Line {
                cost: stream.cost(0.0),
                stream,
                now: setup,
                guest: setup,
                speed: 1.0,
            },
            cleared: setup,
            settings: Settings::default(),
            total,
            total_sent: 0.0,
            // "Pretend we sent all the pages last iteration."
            last_sent: total,
            passes: Vec::new(),
        }
    }

    pub(crate) fn until_done(mut self, tuning: &mut impl Tuning, deadline: Duration) -> Replay {
        let settings = tuning.first();
        self.set(settings);
        let deadline = deadline.as_secs_f64();
        let mut switchover = None;
        while self.line.now <= deadline {
            let began = self.line.now;
            let ended = self.round();
            let last = self.is_last(&ended, tuning.rate_is_max());
            self.last_sent = ended.sent;
            // A guest that wrote nothing is stopped without another round.
            let last = last || ended.dirtied <= 0.0;
            let settings = tuning.next(&Round {
                number: self.passes.len() as u64,
                length: duration(self.line.now - began),
                sent: memory(ended.sent),
                skipped: memory(ended.skipped),
                dirtied: memory(ended.dirtied),
                settings: self.settings,
                last,
            });
            if last {
                switchover = Some(self.switch_over(settings));
                break;
            }
            self.look();
            self.set(settings);
        }
        Replay {
            dirty_syncs: self.passes.len() as u64 + u64::from(switchover.is_some()),
            passes: self.passes,
            switchover,
            total_time: duration(self.line.now),
            transferred: bytes(self.line.stream.sent),
        }
    }

    fn set(&mut self, settings: Settings) {
        self.settings = settings;
        self.line.stream.hold_to(settings.rate);
        self.line.speed = settings.speed.0.max(0.0);
    }

    fn round(&mut self) -> Ended {
        let pages = self.to_send.pages();
        let (start, sent_before) = (self.line.now, self.line.stream.sent);
        let skip = self.limits.skip_redirtied.then_some(self.cleared);
        let (sent, skipped) = self.to_send.send(&mut self.line, skip);
        self.total_sent += sent;
        self.passes.push(Pass {
            start: duration(start),
            dirtied: memory(pages),
            remaining: memory(pages),
            sent: bytes(self.line.stream.sent - sent_before),
        });
        Ended {
            pages,
            sent,
            skipped,
            dirtied: self.dirt.dirtied(self.cleared, self.line.guest).pages(),
        }
    }

    fn is_last(&self, ended: &Ended, rate_is_max: bool) -> bool {
        let limits = &self.limits;
        let outrun = match limits.early_stop {
            EarlyStop::Never => false,
            EarlyStop::GrowingRounds => ended.sent > self.last_sent,
            EarlyStop::DirtOutrunsLink => ended.dirtied >= ended.sent,
        };
        outrun && rate_is_max
            || limits
                .max_rounds
                .is_some_and(|most| self.passes.len() as u64 >= most)
            || limits
                .few_pages
                .is_some_and(|few| ended.pages < few.0 as f64)
            || limits
                .max_sent
                .is_some_and(|most| self.total_sent > most.0 * self.total)
    }

    /// Takes what the dirty log holds, and clears it.
    fn look(&mut self) {
        self.to_send.collect(self.cleared, self.line.guest);
        self.cleared = self.line.guest;
    }

    /// Stops the guest, looks once more, sends the rest and the devices.
    fn switch_over(&mut self, settings: Settings) -> Switchover {
        let (began, sent_before) = (self.line.now, self.line.stream.sent);
        let stop = self.costs.stop.as_secs_f64();
        self.line.stream.rest(stop);
        self.line.now += stop;
        self.line.guest += stop * self.line.speed;
        let stopped = self.line.now;
        self.look();
        self.set(Settings {
            speed: Ratio(0.0),
            ..settings
        });
        self.to_send.send(&mut self.line, None);
        let devices = PageCost {
            bytes: self.costs.device_state.0 as f64,
            cpu: self.costs.device_save.as_secs_f64(),
        };
        self.line.now += self.line.stream.send(1.0, devices);
        // The command ends when the guest runs at the destination.
        self.line.now += self.line.stream.drain_time() + self.costs.destination_start.as_secs_f64();
        Switchover {
            start: duration(began),
            downtime: duration(self.line.now - stopped),
            qemu_downtime: duration(self.line.now - stopped),
            sent: bytes(self.line.stream.sent - sent_before),
        }
    }
}

fn memory(pages: f64) -> Bytes {
    bytes(pages * PAGE_SIZE.0 as f64)
}
