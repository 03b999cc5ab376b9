//! Operations over time.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Points are kept this far apart, a little less than the tools' second.
const SPACING_NS: u64 = 900_000_000;

/// Operations done so far.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClientPoint {
    /// When, by `CLOCK_MONOTONIC`.
    pub at_ns: u64,
    /// Since the start.
    pub operations: u64,
}

/// Now by `CLOCK_MONOTONIC`.
pub(super) fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from);
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}

/// Adds a point, or moves the last one on where that is near the one before it. Counts never fall.
pub(super) fn add(series: &mut Vec<ClientPoint>, at_ns: u64, operations: u64) {
    let operations = series
        .last()
        .map_or(operations, |last| last.operations.max(operations));
    let point = ClientPoint { at_ns, operations };
    if let [.., before, last] = series.as_mut_slice()
        && last.at_ns.saturating_sub(before.at_ns) < SPACING_NS
    {
        *last = point;
        return;
    }
    series.push(point);
}

/// Operations at a moment, between the points around it in proportion; `None` outside the series.
pub(super) fn at(series: &[ClientPoint], at_ns: u64) -> Option<f64> {
    let after = series.partition_point(|point| point.at_ns < at_ns);
    let next = series.get(after)?;
    if next.at_ns == at_ns {
        return Some(next.operations as f64);
    }
    let before = series.get(after.checked_sub(1)?)?;
    let share = (at_ns - before.at_ns) as f64 / (next.at_ns - before.at_ns) as f64;
    Some(before.operations as f64 + share * (next.operations - before.operations) as f64)
}

/// Several clients' series as one: their sum at each of their points.
pub(super) fn sum(parts: &[&[ClientPoint]]) -> Vec<ClientPoint> {
    if let [only] = parts {
        return only.to_vec();
    }
    let mut times: Vec<u64> = parts
        .iter()
        .copied()
        .flatten()
        .map(|point| point.at_ns)
        .collect();
    times.sort_unstable();
    let mut series = Vec::new();
    for at_ns in times {
        let until = |part: &&[ClientPoint]| {
            let after = part.partition_point(|point| point.at_ns <= at_ns);
            after.checked_sub(1).map_or(0, |last| part[last].operations)
        };
        add(&mut series, at_ns, parts.iter().map(until).sum());
    }
    series
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    fn points(pairs: &[(u64, u64)]) -> Vec<ClientPoint> {
        let point = |&(at_ns, operations)| ClientPoint { at_ns, operations };
        pairs.iter().map(point).collect()
    }

    #[test]
    fn many_points_become_about_one_a_second() {
        let mut series = Vec::new();
        for tenth in 0..=35 {
            add(&mut series, tenth * S / 10, tenth * 10);
        }
        assert_eq!(
            series,
            points(&[
                (0, 0),
                (9 * S / 10, 90),
                (18 * S / 10, 180),
                (27 * S / 10, 270),
                (35 * S / 10, 350)
            ])
        );
        add(&mut series, 5 * S, 300);
        assert_eq!(series.last().expect("one").operations, 350, "no step back");
    }

    #[test]
    fn counts_between_points_are_in_proportion() {
        let series = points(&[(S, 0), (2 * S, 100), (4 * S, 100), (5 * S, 150)]);
        assert_eq!(at(&series, S + S / 2), Some(50.0));
        assert_eq!(at(&series, 3 * S), Some(100.0));
        assert_eq!(at(&series, 5 * S), Some(150.0));
        assert_eq!(at(&series, 6 * S), None);
        assert_eq!(at(&series, S / 2), None);
        assert_eq!(at(&[], S), None);
    }

    #[test]
    fn sums_hold_what_each_had_by_then() {
        let (one, other) = (points(&[(S, 1), (3 * S, 5)]), points(&[(2 * S, 10)]));
        assert_eq!(
            sum(&[&one, &other]),
            points(&[(S, 1), (2 * S, 11), (3 * S, 15)])
        );
        assert_eq!(sum(&[&one]), one);
        assert_eq!(sum(&[]), []);
    }
}
