//! What earlier moves over a route tell of its hosts and its link.

use std::time::Duration;

use vmferry_core::{ByteRate, MoveRecord, OutcomeStatus, PAGE_SIZE};
use vmferry_precopy::{PAGE_ON_STREAM, ZERO_PAGE_ON_STREAM};

use crate::assumptions::Assumptions;
use crate::forecast::OURS;

/// What is believed before the first move counts as much as so many moves.
const PRIOR_MOVES: f64 = 2.0;
/// A median absolute deviation times this is the standard deviation of a
/// normal distribution.
const MAD_TO_SD: f64 = 1.4826;
/// Moves shorter than this tell nothing of a rate: start and end weigh more.
const SHORTEST_MS: f64 = 1000.0;
/// A stream at this share of `max-bandwidth` or above was held by it.
const HELD_SHARE: f64 = 0.97;
/// Least share of a stream that must be repeats, measured and forecast, to
/// compare dirt: below, the rest of the traffic drowns it.
const LEAST_REPEATS: f64 = 0.03;
/// A difference between the two downtimes below this share of what the sockets
/// are assumed to hold means that the source waited for the destination.
const WAITED_SHARE: f64 = 0.25;
/// Range in which the sockets' fill may differ from what is assumed; the rest
/// of a pause is the destination's.
pub(crate) const SOCKET_RANGE: (f64, f64) = (0.25, 2.0);

/// One quantity as moves show it: what to expect of the next move.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The median over the moves, drawn towards what is assumed without them.
    pub median: f64,
    /// Standard deviation to expect of the next move: from move to move
    /// (median absolute deviation), and what so few moves leave open.
    pub spread: f64,
    /// Number of moves behind it; 0 says what is assumed without any.
    pub n: u32,
}

/// What is believed before the first move.
#[derive(Clone, Copy, Debug)]
struct Prior {
    centre: f64,
    /// Standard deviation between moves over one route.
    noise: f64,
    /// Standard deviation between routes.
    doubt: f64,
}

/// Link's achieved rate over the assumed one. 0.99 to 1.01 on a shaped link
/// with nothing else on it; operators and routes differ more.
const LINK: Prior = Prior {
    centre: 1.0,
    noise: 0.01,
    doubt: 0.01,
};
/// Sockets' fill over the assumed one, as a logarithm.
const SOCKETS: Prior = Prior {
    centre: 0.0,
    noise: 0.25,
    doubt: 0.15,
};
/// Dirt during the move over dirt before it, as a logarithm; its centre is what
/// [`Assumptions::dirt`] takes for granted.
const DIRT: Prior = Prior {
    centre: 0.0,
    noise: 0.03,
    doubt: 0.01,
};

/// What earlier moves over one route tell, between the same hosts and under
/// the same accelerator. With few records every estimate stays near what
/// [`Assumptions`] take for granted, and its spread wide.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Experience {
    /// Moves that told anything.
    pub moves: u32,
    /// Rate of the stream achieved over the rate assumed, of moves that
    /// `max-bandwidth` did not hold. What was sent has crossed the link when
    /// the guest resumes: transferred / (total time + downtime - QEMU's
    /// downtime). (Over the total time alone it is 0.5 to 2.5 % too high: the
    /// sockets still hold megabytes then.)
    pub link_rate: Estimate,
    /// Fill of the sockets at the switchover over the assumed fill, as a
    /// logarithm: from STOP-to-RESUME minus QEMU's own downtime, or, where that
    /// is nothing because the source waits for the destination
    /// (`return-path`), minus what was left at the stop over the rate.
    pub sockets: Estimate,
    /// Milliseconds from the last byte's arrival to RESUME at the destination:
    /// what the sockets do not explain of the same difference.
    pub destination_start_ms: Estimate,
    /// Milliseconds of QEMU's own downtime beyond the data: without what was
    /// left at the stop and the devices' state over the rate, and without the
    /// stop itself; of moves whose last pass tells what was left. It may be
    /// negative, for the last bytes are handed over and not delivered: -30 to 9
    /// ms, median -23 ms (five moves under TCG, 200 to 800 Mbit/s).
    pub source_pause_ms: Estimate,
    /// Dirt during the move over dirt before it, as a logarithm: measured share
    /// of repeats over the forecast's (median), times the factor that forecast
    /// assumed. The *share of repeats* is what
    /// was sent beyond the first pass, over all that was sent; with passes
    /// that shrink by a constant ratio it is that ratio, dirty rate over
    /// bandwidth.
    pub dirt: Estimate,
}

impl Experience {
    /// Learns from the records of moves over one route, whatever their order.
    /// Records without outcome, of moves that did not complete, of post-copies,
    /// or without what is needed are passed over.
    pub fn of(records: &[MoveRecord]) -> Self {
        let lessons: Vec<Lesson> = records.iter().filter_map(Lesson::of).collect();
        let known = |pick: fn(&Lesson) -> Option<f64>| -> Vec<f64> {
            lessons
                .iter()
                .filter_map(pick)
                .filter(|v| v.is_finite())
                .collect()
        };
        let assumed = records
            .first()
            .map_or_else(Assumptions::kvm, |r| Assumptions::for_guest(&r.guest));
        Self {
            moves: lessons.len() as u32,
            link_rate: LINK.with(&known(|l| l.link_rate)),
            sockets: SOCKETS.with(&known(|l| l.sockets)),
            destination_start_ms: range(assumed.destination_start).with(&known(|l| l.start_ms)),
            source_pause_ms: range(assumed.device_save).with(&known(|l| l.source_pause_ms)),
            dirt: Prior {
                centre: assumed.dirt.median.ln(),
                ..DIRT
            }
            .with(&known(|l| l.dirt)),
        }
    }
}

/// A range of times that is taken for granted, in milliseconds.
fn range((least, most): (Duration, Duration)) -> Prior {
    let (least, most) = (least.as_secs_f64() * 1e3, most.as_secs_f64() * 1e3);
    // Half of the variance of the range is between moves, half between hosts.
    let sd = (most - least) / 12f64.sqrt();
    Prior {
        centre: (least + most) / 2.0,
        noise: sd / 2f64.sqrt(),
        doubt: sd / 2f64.sqrt(),
    }
}

impl Prior {
    /// What is believed after some moves.
    fn with(self, values: &[f64]) -> Estimate {
        let n = values.len() as f64;
        let weight = PRIOR_MOVES + n;
        let Some(seen) = median(values) else {
            return Estimate {
                median: self.centre,
                spread: self.noise.hypot(self.doubt),
                n: 0,
            };
        };
        let off: Vec<f64> = values.iter().map(|v| (v - seen).abs()).collect();
        let seen_noise = MAD_TO_SD * median(&off).unwrap_or_default();
        let noise = (PRIOR_MOVES * self.noise.powi(2) + n * seen_noise.powi(2)) / weight;
        let doubt = self.doubt.powi(2) * PRIOR_MOVES / weight;
        Estimate {
            median: (PRIOR_MOVES * self.centre + n * seen) / weight,
            spread: (noise + doubt).sqrt(),
            n: values.len() as u32,
        }
    }
}

/// What one move tells.
struct Lesson {
    link_rate: Option<f64>,
    sockets: Option<f64>,
    start_ms: Option<f64>,
    source_pause_ms: Option<f64>,
    dirt: Option<f64>,
}

impl Lesson {
    fn of(record: &MoveRecord) -> Option<Self> {
        let outcome = record.outcome.as_ref()?;
        let link = record.link.as_ref()?;
        // The pause of a post-copy is of other parts: nothing is left to send when the guest stops.
        if outcome.status != OutcomeStatus::Completed || outcome.post_copy {
            return None;
        }
        let total = outcome.total_time_ms?.0;
        let transferred = outcome.transferred_bytes?.0 as f64;
        // Bytes per millisecond.
        let assumed = link.stream_rate().0 / 1e3;
        let sane = total > 0.0 && transferred > 0.0 && assumed.is_finite() && assumed > 0.0;
        if !sane {
            return None;
        }
        let pause = outcome.downtime_ms.map(|d| d.0);
        let own = outcome.qemu_downtime_ms.map(|d| d.0);
        let gap = pause.zip(own).map(|(pause, own)| (pause - own).max(0.0));
        let crossed = transferred / (total + gap.unwrap_or(0.0));
        let cap = record
            .plan
            .limits
            .max_bandwidth
            .or(Assumptions::for_guest(&record.guest).rules.max_bandwidth)
            .map_or(f64::INFINITY, |cap| cap.0 / 1e3);
        let held = crossed >= HELD_SHARE * cap || cap < assumed;
        let rate = if held {
            crossed
        } else {
            crossed.min(2.0 * assumed)
        };
        let pause = Pause::of(record, rate);
        let (sockets, start_ms) = match pause.beyond_source {
            Some(beyond) if held => (None, Some(beyond)),
            Some(beyond) => split(record, beyond, rate),
            None => (None, None),
        };
        Some(Self {
            link_rate: (!held && total >= SHORTEST_MS).then_some(crossed / assumed),
            sockets,
            start_ms,
            source_pause_ms: pause.source,
            dirt: dirt(record),
        })
    }
}

/// The parts of a pause that are not memory, ms.
struct Pause {
    /// The source's, without the stop and the devices' state.
    source: Option<f64>,
    /// From the last byte in the source's socket to RESUME.
    beyond_source: Option<f64>,
}

impl Pause {
    fn of(record: &MoveRecord, rate: f64) -> Self {
        let nothing = Self {
            source: None,
            beyond_source: None,
        };
        let Some(outcome) = &record.outcome else {
            return nothing;
        };
        let (Some(pause), Some(own)) = (outcome.downtime_ms, outcome.qemu_downtime_ms) else {
            return nothing;
        };
        let assumed = Assumptions::for_guest(&record.guest);
        let stop = assumed.costs.stop.as_secs_f64() * 1e3;
        let devices = assumed.costs.device_state.0 as f64 / rate;
        let memory = memory_sent_stopped(record, rate);
        let gap = (pause.0 - own.0).max(0.0);
        let fill = assumed.socket_fill.at(ByteRate(rate * 1e3)).0 as f64 / rate;
        if gap >= WAITED_SHARE * fill {
            return Self {
                source: memory.map(|memory| own.0 - memory - devices - stop),
                beyond_source: Some(gap),
            };
        }
        // With `return-path` the source's clock waits for the destination: the
        // source's own part is not seen, and taken as assumed.
        let (least, most) = assumed.device_save;
        let save = (least + most).as_secs_f64() * 1e3 / 2.0;
        Self {
            source: None,
            // Less than sockets hold at least: what was left comes from an older look, and tells nothing.
            beyond_source: memory
                .map(|memory| pause.0 - memory - devices - stop - save)
                .filter(|beyond| *beyond >= WAITED_SHARE * fill),
        }
    }
}

/// Splits the pause that is not the source's between the sockets' fill, as far
/// as that is plausible, and the destination's start.
fn split(record: &MoveRecord, gap: f64, rate: f64) -> (Option<f64>, Option<f64>) {
    let assumed = Assumptions::for_guest(&record.guest);
    let (least, most) = assumed.destination_start;
    let start = (least + most).as_secs_f64() * 1e3 / 2.0;
    let fill = assumed.socket_fill.at(ByteRate(rate * 1e3)).0 as f64 / rate;
    let (low, high) = SOCKET_RANGE;
    let factor = ((gap - start) / fill).clamp(low, high);
    (
        Some(factor.ln()),
        Some((gap - factor * fill).clamp(0.0, gap)),
    )
}

/// Time that the memory sent with the guest stopped takes, ms; `None` where
/// nobody saw how much it was.
fn memory_sent_stopped(record: &MoveRecord, rate: f64) -> Option<f64> {
    let outcome = record.outcome.as_ref()?;
    let own = outcome.qemu_downtime_ms?.0;
    let last = outcome.pass_list.last()?;
    // Only the look with the guest stopped counts what is left then. A reply
    // that came late says 0, one that came early what was left before.
    if Some(last.pass) != outcome.passes {
        return None;
    }
    let left = last.remaining_bytes?.0 as f64;
    let time = left * PAGE_ON_STREAM.0 as f64 / PAGE_SIZE.0 as f64 / rate;
    (left > 0.0 && own > 0.5 * time && time > 0.2 * own).then_some(time)
}

/// Dirt during the move over the dirt forecast, as a logarithm.
fn dirt(record: &MoveRecord) -> Option<f64> {
    let forecast = record.forecast.as_ref()?;
    let seen = &forecast.observation;
    let pages = seen.migrated_pages.0 as f64;
    let zero = seen.zero?.0;
    let first =
        pages * ((1.0 - zero) * PAGE_ON_STREAM.0 as f64 + zero * ZERO_PAGE_ON_STREAM.0 as f64);
    let repeats = |transferred: f64| (transferred - first) / transferred;
    // Corrected traffic hides what dirt did, and other models err for other reasons.
    if !OURS.contains(&forecast.model.name.as_str()) {
        return None;
    }
    let by_itself = forecast.uncorrected();
    let said = repeats(by_itself.transferred_bytes?.p50.0 as f64);
    let was = repeats(record.outcome.as_ref()?.transferred_bytes?.0 as f64);
    let assumed = by_itself.dirt_factor;
    (said > LEAST_REPEATS && was > LEAST_REPEATS && assumed > 0.0)
        .then(|| (assumed * was / said).ln())
}

impl Estimate {
    /// The estimate as a range of equal likelihood, in milliseconds from 0 up.
    pub(crate) fn range_ms(&self) -> (Duration, Duration) {
        let half = self.spread * 3f64.sqrt();
        let ms = |v: f64| Duration::from_secs_f64(v.max(0.0) / 1e3);
        (ms(self.median - half), ms(self.median + half))
    }
}

fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        n if n % 2 == 1 => Some(sorted[middle]),
        _ => Some((sorted[middle - 1] + sorted[middle]) / 2.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_more_moves_the_narrower(value in -1f64..1.0, n in 0usize..60) {
            let prior = Prior { centre: 0.0, noise: 0.1, doubt: 0.2 };
            let before = prior.with(&vec![value; n]);
            let after = prior.with(&vec![value; n + 1]);
            prop_assert!(after.spread < before.spread);
            prop_assert!((after.median - value).abs() <= (before.median - value).abs() + 1e-12);
            prop_assert!(after.spread > 0.0);
        }

        #[test]
        fn one_wild_move_moves_little(n in 6usize..60, wild in -1e6f64..1e6) {
            let prior = Prior { centre: 0.0, noise: 0.1, doubt: 0.2 };
            let mut values = vec![0.3; n];
            let calm = prior.with(&values);
            values[0] = wild;
            let shaken = prior.with(&values);
            prop_assert!((calm.median - shaken.median).abs() < 1e-9, "{calm:?} {shaken:?}");
        }
    }
}
