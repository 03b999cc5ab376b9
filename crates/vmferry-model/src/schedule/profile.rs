//! What a move costs by the time of day.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vmferry_core::{Bytes, Interval, Millis};

use super::day_clock::DayClock;
use super::spread::{BetweenDays, ByDay, share};
use super::timed_move::{Origin, TimedMove};
use crate::forecast::SPEAKABLE_PROBABILITY;
use crate::predictor::Ended;

/// One quantity of a move at a time of day.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CostOf<T> {
    /// What to expect: the mean over days of each day's mean.
    pub expected: T,
    /// Where that expectation lies with 90 %, between days and between moves;
    /// `None` where there are too few of both to tell.
    pub expected_interval: Option<Interval<T>>,
    /// Percentiles of a single move.
    pub one_move: Interval<T>,
}

/// What a move costs when it starts at a time of day; of those that converge.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TimeCost {
    /// When that part of the day begins by the local clock, for example `03:15`.
    pub from: String,
    /// Days of which anything is known at that time.
    pub days: u32,
    /// Moves replayed over recorded page history.
    pub replays: u32,
    /// Real moves.
    pub moves: u32,
    /// Share of the moves that converge within the deadline, 0..1: p50 is the
    /// mean over days, p5 and p95 where it lies with 90 %.
    pub converges_probability: Interval<f64>,
    /// Total migration time; `None` where fewer than 5 % converge.
    pub total_time_ms: Option<CostOf<Millis>>,
    /// STOP at the source to RESUME at the destination.
    pub downtime_ms: Option<CostOf<Millis>>,
    /// Bytes of the stream.
    pub transferred_bytes: Option<CostOf<Bytes>>,
}

/// What a move costs by the time of day.
#[derive(Clone, Debug)]
pub struct Profile {
    clock: DayClock,
    parts: Vec<Option<TimeCost>>,
    days: usize,
}

/// Everything known of one part of the day.
#[derive(Default)]
struct Seen {
    days: BTreeMap<Date, Vec<Option<Ended>>>,
    replays: u32,
    moves: u32,
    /// Moves that do not overlap in time, and when the last of them ended.
    apart: usize,
    busy_until: Option<Timestamp>,
    /// The same of moves that converge.
    total: ByDay,
    downtime: ByDay,
    transferred: ByDay,
}

impl Profile {
    /// Of moves in any order; one that did not converge took `deadline`.
    pub fn of(moves: &[TimedMove], clock: &DayClock, deadline: Duration) -> Self {
        let mut ordered: Vec<&TimedMove> = moves.iter().collect();
        ordered.sort_by_key(|timed| timed.at);
        let mut seen: Vec<Seen> = Vec::new();
        seen.resize_with(clock.parts(), Seen::default);
        let mut days = BTreeSet::new();
        for timed in ordered {
            let day = clock.day(timed.at);
            days.insert(day);
            seen[clock.part(timed.at)].add(timed, day, deadline);
        }
        for part in &mut seen {
            part.gather();
        }
        let between = |of: fn(&Seen) -> &ByDay| BetweenDays::of(seen.iter().map(of));
        let between = [
            between(|s| &s.total),
            between(|s| &s.downtime),
            between(|s| &s.transferred),
        ];
        Self {
            parts: (0..)
                .zip(&seen)
                .map(|(part, seen)| seen.cost(clock.name(part), between))
                .collect(),
            clock: clock.clone(),
            days: days.len(),
        }
    }

    /// The parts of the day, from midnight; `None` where nothing is known.
    pub fn parts(&self) -> &[Option<TimeCost>] {
        &self.parts
    }

    /// What a move costs that starts at an instant; `None` where nothing is
    /// known of that time of day.
    pub fn at(&self, at: Timestamp) -> Option<&TimeCost> {
        self.parts[self.clock.part(at)].as_ref()
    }

    /// The clock by which the day is divided.
    pub fn clock(&self) -> &DayClock {
        &self.clock
    }

    /// Days of which anything is known.
    pub fn days(&self) -> usize {
        self.days
    }

    /// Parts of the day of which anything is known.
    pub fn known(&self) -> usize {
        self.parts.iter().flatten().count()
    }
}

impl Seen {
    fn add(&mut self, timed: &TimedMove, day: Date, deadline: Duration) {
        match timed.origin {
            Origin::Replayed => self.replays += 1,
            Origin::Recorded => self.moves += 1,
        }
        if self.busy_until.is_none_or(|end| timed.at >= end) {
            let took = timed.ended.map_or(deadline.as_secs_f64(), |e| e.total_s);
            let took = SignedDuration::try_from_secs_f64(took).unwrap_or(SignedDuration::MAX);
            self.busy_until = Some(timed.at.checked_add(took).unwrap_or(Timestamp::MAX));
            self.apart += 1;
        }
        self.days.entry(day).or_default().push(timed.ended);
    }

    fn gather(&mut self) {
        let of = |days: &BTreeMap<Date, Vec<Option<Ended>>>, value: fn(&Ended) -> f64| {
            let days = days.values();
            days.map(|day| day.iter().flatten().map(value).collect::<Vec<f64>>())
                .filter(|day| !day.is_empty())
                .collect()
        };
        self.total.days = of(&self.days, |e| e.total_s);
        self.downtime.days = of(&self.days, |e| e.downtime_s);
        self.transferred.days = of(&self.days, |e| e.transferred);
        for cost in [&mut self.total, &mut self.downtime, &mut self.transferred] {
            cost.apart = self.apart;
        }
    }

    fn cost(&self, from: String, between: [Option<BetweenDays>; 3]) -> Option<TimeCost> {
        let shares: Vec<f64> = self
            .days
            .values()
            .map(|day| day.iter().flatten().count() as f64 / day.len() as f64)
            .collect();
        let converges = share(&shares, self.apart)?;
        let speakable = converges.p50 >= SPEAKABLE_PROBABILITY;
        let cost = |values: &ByDay, between| {
            let known = speakable.then(|| values.expected().zip(values.one_move()));
            known.flatten().map(|(expected, one_move)| CostOf {
                expected,
                expected_interval: values.expectation(between),
                one_move,
            })
        };
        let [total, downtime, transferred] = between;
        let millis = |seconds: f64| Millis(seconds * 1e3);
        Some(TimeCost {
            from,
            days: self.days.len() as u32,
            replays: self.replays,
            moves: self.moves,
            converges_probability: converges,
            total_time_ms: cost(&self.total, total).map(|c| c.map(millis)),
            downtime_ms: cost(&self.downtime, downtime).map(|c| c.map(millis)),
            transferred_bytes: cost(&self.transferred, transferred)
                .map(|c| c.map(|bytes| Bytes(bytes.round().max(0.0) as u64))),
        })
    }
}

impl<T: Copy + PartialOrd> CostOf<T> {
    /// Where a move to come lies with at least 90 %: one move spreads about an
    /// expectation that few days tell only within an interval of its own. The
    /// hull of both, about the median of one move.
    pub fn of_moves_to_come(&self) -> Interval<T> {
        let mut hull = self.one_move;
        if let Some(expected) = self.expected_interval {
            if expected.p5 < hull.p5 {
                hull.p5 = expected.p5;
            }
            if expected.p95 > hull.p95 {
                hull.p95 = expected.p95;
            }
        }
        hull
    }
}

impl<T> CostOf<T> {
    /// The same in another unit.
    pub fn map<U>(self, mut f: impl FnMut(T) -> U) -> CostOf<U> {
        CostOf {
            expected: f(self.expected),
            expected_interval: self.expected_interval.map(|i| i.map(&mut f)),
            one_move: self.one_move.map(&mut f),
        }
    }
}
