//! QEMU's post-copy (`postcopy-ram`): pages are sent once, then the guest
//! moves, and what it wrote meanwhile follows while it runs at the destination.
//!
//! The pause holds the devices' state but no memory, so it does not depend on
//! what the guest writes, and the move ends after the first pass and the
//! fetching of what that pass left behind. The price: the guest waits for every
//! page it touches before its turn has come, and is lost if the link breaks.

use std::time::Duration;

use vmferry_core::{ByteRate, Bytes, PAGE_SIZE, Ratio};

use crate::dirt::UnitDirt;
use crate::host_costs::HostCosts;
use crate::replay::{bytes, duration};
use crate::stream::{PageCost, Stream};

/// Steps into which the time of fetching is cut.
const STEPS: usize = 64;

/// When to switch, and what a page fetched on demand costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    /// When the guest moves, from the command; `None` after the first pass.
    pub switch_after: Option<Duration>,
    /// `max-bandwidth` before the switch, bytes of stream per second; `None`
    /// is unlimited. Fetching is not held by it.
    pub max_bandwidth: Option<ByteRate>,
    /// `max-postcopy-bandwidth`, likewise, of the fetching; `None` is
    /// unlimited (0), QEMU's default.
    pub max_postcopy_bandwidth: Option<ByteRate>,
    /// From a fault at the destination to its request's arrival at the source
    /// and back, without the page itself and what lies before it.
    pub round_trip: Duration,
    /// `postcopy-preempt`: pages asked for have a channel of their own and do
    /// not queue behind those the sockets hold already.
    pub preempt: bool,
}

impl Default for Rules {
    /// Switch after the first pass; no limits; 0.5 ms; one channel.
    fn default() -> Self {
        Self {
            switch_after: None,
            max_bandwidth: None,
            max_postcopy_bandwidth: None,
            round_trip: Duration::from_micros(500),
            preempt: false,
        }
    }
}

/// One replay of a move by post-copy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PostCopy {
    /// When the guest was stopped at the source, from the command.
    pub switched_at: Duration,
    /// STOP at the source to RESUME at the destination.
    pub downtime: Duration,
    /// From the command until the last page has arrived.
    pub total_time: Duration,
    /// Memory that was missing at the destination when the guest resumed.
    pub fetched: Bytes,
    /// Bytes of the stream, headers included.
    pub transferred: Bytes,
    /// Pages that the guest had to wait for because it wrote to them before
    /// their turn. Pages it only reads are not in the observation: a least
    /// number.
    pub faults: f64,
    /// Share of the time between RESUME and the end that a virtual CPU waits
    /// for pages, 0..1, were all faults its own; for the same reason a least
    /// share.
    pub stall: Ratio,
}

/// Replays a move by post-copy over a link that carries `rate` bytes of stream
/// per second. It always ends.
pub fn replay<D: UnitDirt>(dirt: &D, rules: &Rules, costs: &HostCosts, rate: ByteRate) -> PostCopy {
    let held = |cap: Option<ByteRate>| ByteRate(cap.map_or(rate.0, |c| c.0.min(rate.0)));
    let before = held(rules.max_bandwidth);
    // Below the link the sockets are nearly empty.
    let costs = HostCosts {
        socket_buffer: if before.0 < rate.0 {
            Bytes(0)
        } else {
            costs.socket_buffer
        },
        ..*costs
    };
    let first = FirstPass::sent(dirt, rules, &costs, before);
    let mut stream = first.stream;

    // The devices' state queues behind what the sockets hold.
    stream.rest(costs.stop.as_secs_f64());
    let devices = PageCost {
        bytes: costs.device_state.0 as f64,
        cpu: costs.device_save.as_secs_f64(),
    };
    let saving = stream.send(1.0, devices);
    let downtime = costs.stop.as_secs_f64()
        + saving
        + stream.drain_time()
        + costs.destination_start.as_secs_f64();
    let resumed = first.ended + downtime;

    let fetching = held(rules.max_postcopy_bandwidth);
    let queue = if rules.preempt {
        0.0
    } else {
        costs.socket_buffer.0 as f64 / fetching.0.max(1.0)
    };
    let mut missing = Missing {
        pages: first.pending,
        zero: first.zero,
    };
    let on_stream = missing.bytes(dirt.units().len(), &stream);
    let memory = missing.pages.iter().sum::<f64>() * PAGE_SIZE.0 as f64;
    let time = on_stream / fetching.0.max(1.0);
    let latency =
        rules.round_trip.as_secs_f64() + queue + stream.cost(0.0).bytes / fetching.0.max(1.0);
    let (faults, stalled) = missing.fetch(dirt, first.ended, time, latency);
    PostCopy {
        switched_at: duration(first.ended),
        downtime: duration(downtime),
        total_time: duration(resumed + time),
        fetched: bytes(memory),
        transferred: bytes(stream.sent + on_stream),
        faults,
        stall: Ratio(if time > 0.0 { stalled / time } else { 0.0 }),
    }
}

/// Memory as it stands when the guest stops.
struct FirstPass {
    stream: Stream,
    ended: f64,
    /// Pages of each unit that the destination does not have.
    pending: Vec<f64>,
    /// Share of zero pages among them.
    zero: Vec<f64>,
}

impl FirstPass {
    fn sent<D: UnitDirt>(dirt: &D, rules: &Rules, costs: &HostCosts, rate: ByteRate) -> Self {
        let units = dirt.units();
        let mut stream = Stream::new(rate, costs);
        let began = costs.setup.as_secs_f64();
        let end = rules
            .switch_after
            .map_or(f64::INFINITY, |at| at.as_secs_f64().max(began));
        let mut now = began;
        let mut pending: Vec<f64> = units.iter().map(|u| u.pages).collect();
        let mut zero: Vec<f64> = units.iter().map(|u| u.zero).collect();
        for (unit, left) in units.iter().zip(&mut pending) {
            let cost = stream.cost(unit.zero);
            let pages = left.min(stream.pages_within(end - now, cost));
            now += stream.send(pages, cost);
            *left -= pages;
            if *left > 0.0 {
                break;
            }
        }
        // All that was written since the log began is sent anew.
        dirt.visit_dirtied(0..units.len(), began, now, &mut |unit, share| {
            let untouched = pending[unit] * (1.0 - share);
            pending[unit] = units[unit].pages * share + untouched;
            if pending[unit] > 0.0 {
                zero[unit] *= untouched / pending[unit];
            }
        });
        Self {
            stream,
            ended: now,
            pending,
            zero,
        }
    }
}

/// What the destination lacks.
struct Missing {
    pages: Vec<f64>,
    zero: Vec<f64>,
}

impl Missing {
    /// Bytes on the stream of the first `units` units.
    fn bytes(&self, units: usize, stream: &Stream) -> f64 {
        let pages = self.pages.iter().zip(&self.zero).take(units);
        pages.map(|(p, zero)| p * stream.cost(*zero).bytes).sum()
    }

    /// Fetches it all in `time` seconds, by address and on demand, while the
    /// guest goes on from the instant `stopped` of its own time. Tells the
    /// faults and the seconds they held a virtual CPU up.
    fn fetch<D: UnitDirt>(
        &mut self,
        dirt: &D,
        stopped: f64,
        time: f64,
        latency: f64,
    ) -> (f64, f64) {
        let units = dirt.units().len();
        let step = time / STEPS as f64;
        let (mut faults, mut stalled, mut lived) = (0.0, 0.0, 0.0);
        let mut cursor = 0;
        let share = self.pages.iter().sum::<f64>() / STEPS as f64;
        for _ in 0..STEPS {
            if step <= 0.0 {
                break;
            }
            // At full speed so many pages would be missed; every one takes its
            // time from the guest's, so that the guest comes only so far.
            let from = stopped + lived;
            let pages = &self.pages;
            let mut missed = 0.0;
            dirt.visit_dirtied(cursor..units, from, from + step, &mut |unit, s| {
                missed += pages[unit] * s;
            });
            let speed = step / (step + missed * latency);
            let ran = step * speed;
            let pages = &mut self.pages;
            let asked = missed * speed;
            dirt.visit_dirtied(cursor..units, from, from + step, &mut |unit, s| {
                pages[unit] *= 1.0 - s * speed;
            });
            faults += asked;
            stalled += step - ran;
            lived += ran;
            // What the link has left goes by address.
            let mut room = (share - asked).max(0.0);
            while cursor < units && room > 0.0 {
                let here = self.pages[cursor].min(room);
                self.pages[cursor] -= here;
                room -= here;
                if self.pages[cursor] > 0.0 {
                    break;
                }
                cursor += 1;
            }
        }
        (faults, stalled)
    }
}
