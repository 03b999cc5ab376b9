//! The best time to start, and whether it is worth waiting for.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vmferry_core::{Interval, Millis};

use super::profile::{CostOf, Profile, TimeCost};
use super::spread::difference;
use crate::remedies::SUFFICIENT_PROBABILITY;

/// What makes one start better than another. A move that is likely to converge
/// (with 95 %) comes before one that is not, whatever is preferred; of those
/// that are not, the likelier comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Preference {
    /// Those whose median downtime keeps the limit that was asked for come
    /// first; among them the least total time.
    #[default]
    InOrder,
    /// The least expected total time.
    Time,
    /// The least expected downtime.
    Downtime,
    /// The least expected traffic.
    Traffic,
}

/// A time to start a move.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StartTime {
    /// The instant.
    pub at: Timestamp,
    /// The same by the local clock, for example `2026-03-01 03:15`.
    pub local: String,
    /// What a move costs then; `None` where nothing is known of that time of
    /// day.
    pub cost: Option<TimeCost>,
}

/// Whether to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Advice {
    /// Now is the best of the times that are known.
    MoveNow,
    /// The best time is better than now: their 90 % intervals do not overlap.
    Wait,
    /// No difference worth waiting for: the intervals overlap, or there is
    /// none.
    NoDifference,
    /// Nothing is known of a move that starts now.
    NowUnknown,
}

/// What is saved by waiting, where it lies with 90 %: now less then. Negative
/// where waiting costs more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Saving {
    /// Gain in the probability of converging, -1..1.
    pub converges_probability: Interval<f64>,
    /// Total migration time.
    pub total_time_ms: Option<Interval<Millis>>,
    /// STOP at the source to RESUME at the destination.
    pub downtime_ms: Option<Interval<Millis>>,
    /// Bytes of the stream.
    pub transferred_bytes: Option<Interval<f64>>,
}

/// The best time to start.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// Which of the start times; the earliest of equals.
    pub best: usize,
    /// Those whose interval overlaps that of the best, itself included.
    pub as_good: Vec<usize>,
    /// Whether to wait for it.
    pub advice: Advice,
    /// What waiting saves; `None` where now is unknown.
    pub saving: Option<Saving>,
}

/// The times to start from `now` on: now, then the beginning of every part of
/// the day until `within` is over.
pub fn start_times(profile: &Profile, now: Timestamp, within: Duration) -> Vec<StartTime> {
    let clock = profile.clock();
    let within = SignedDuration::try_from(within).unwrap_or(SignedDuration::MAX);
    let end = now.checked_add(within).unwrap_or(Timestamp::MAX);
    std::iter::successors(Some(now), |at| {
        Some(clock.next(*at)).filter(|next| next > at)
    })
    .take_while(|at| *at <= end)
    .map(|at| StartTime {
        at,
        local: clock.local(at),
        cost: profile.at(at).cloned(),
    })
    .collect()
}

/// The best of some start times, the first of which is now. `max_downtime` is
/// the limit that was asked for. `None` where none of them is known.
pub fn choose(
    starts: &[StartTime],
    preference: Preference,
    max_downtime: Option<Millis>,
) -> Option<Choice> {
    let rank = |cost: &TimeCost| preference.rank(cost, max_downtime);
    let known = || {
        (0..)
            .zip(starts)
            .filter_map(|(i, s)| Some((i, s.cost.as_ref()?)))
    };
    let (best, best_cost) = known().min_by(|a, b| rank(a.1).total_cmp(&rank(b.1)))?;
    let apart = |cost: &TimeCost| preference.apart(best_cost, cost, max_downtime);
    let now = starts.first().and_then(|start| start.cost.as_ref());
    let advice = match now {
        None => Advice::NowUnknown,
        Some(now) if rank(now).total_cmp(&rank(best_cost)).is_eq() => Advice::MoveNow,
        Some(now) if apart(now) => Advice::Wait,
        Some(_) => Advice::NoDifference,
    };
    Some(Choice {
        best,
        as_good: known()
            .filter(|(i, cost)| *i == best || !apart(cost))
            .map(|(i, _)| i)
            .collect(),
        advice,
        saving: now.map(|now| saving(now, best_cost)),
    })
}

/// What starts are ordered by: first the class, then the number within it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rank(Class, f64);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    /// Likely to converge, and within the limit where that counts.
    Good,
    /// Likely to converge; the downtime breaks the limit.
    OverLimit,
    /// Not likely to converge.
    Unlikely,
}

impl Rank {
    pub(super) fn total_cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0).then(self.1.total_cmp(&other.1))
    }
}

impl Preference {
    /// Less is better.
    pub(super) fn rank(self, cost: &TimeCost, max_downtime: Option<Millis>) -> Rank {
        let converges = cost.converges_probability.p50;
        match self.quantity(cost) {
            Some(quantity) if converges >= SUFFICIENT_PROBABILITY => {
                let over = cost
                    .downtime_ms
                    .zip(max_downtime)
                    .is_some_and(|(downtime, limit)| downtime.one_move.p50 > limit);
                let class = match self {
                    Self::InOrder if over => Class::OverLimit,
                    _ => Class::Good,
                };
                Rank(class, quantity.expected)
            }
            _ => Rank(Class::Unlikely, -converges),
        }
    }

    /// Whether one start is better than another for sure: the 90 % intervals of
    /// what tells them apart do not overlap.
    fn apart(self, better: &TimeCost, other: &TimeCost, max_downtime: Option<Millis>) -> bool {
        let beyond = |a: Option<Interval<f64>>, b: Option<Interval<f64>>| {
            a.zip(b).is_some_and(|(a, b)| a.p95 < b.p5)
        };
        let classes = [better, other].map(|cost| self.rank(cost, max_downtime).0);
        match classes {
            [_, Class::Unlikely] => {
                other.converges_probability.p95 < better.converges_probability.p5
            }
            [Class::Good, Class::OverLimit] => beyond(
                better.downtime_ms.and_then(interval),
                other.downtime_ms.and_then(interval),
            ),
            _ => beyond(
                self.quantity(better).and_then(|q| q.expected_interval),
                self.quantity(other).and_then(|q| q.expected_interval),
            ),
        }
    }

    /// The quantity that is preferred to be small.
    fn quantity(self, cost: &TimeCost) -> Option<CostOf<f64>> {
        match self {
            Self::InOrder | Self::Time => cost.total_time_ms.map(|c| c.map(|ms| ms.0)),
            Self::Downtime => cost.downtime_ms.map(|c| c.map(|ms| ms.0)),
            Self::Traffic => cost.transferred_bytes.map(|c| c.map(|b| b.0 as f64)),
        }
    }
}

fn interval(cost: CostOf<Millis>) -> Option<Interval<f64>> {
    cost.map(|ms| ms.0).expected_interval
}

fn saving(now: &TimeCost, then: &TimeCost) -> Saving {
    let saved = |of: fn(&TimeCost) -> Option<Interval<f64>>| {
        of(now)
            .zip(of(then))
            .map(|(now, then)| difference(now, then))
    };
    Saving {
        converges_probability: difference(then.converges_probability, now.converges_probability),
        total_time_ms: saved(|c| c.total_time_ms.and_then(interval)).map(|i| i.map(Millis)),
        downtime_ms: saved(|c| c.downtime_ms.and_then(interval)).map(|i| i.map(Millis)),
        transferred_bytes: saved(|c| {
            let bytes = c.transferred_bytes?.map(|bytes| bytes.0 as f64);
            bytes.expected_interval
        }),
    }
}
