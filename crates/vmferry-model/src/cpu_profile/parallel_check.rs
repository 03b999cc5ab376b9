//! Estimates of several migrations at once beside real ones.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use vmferry_core::{ByteRate, Bytes, Millis, Ratio};

use super::evaluation::quantile;
use super::parallel::{AS_GOOD, Cpus, Demand, Shared, estimate};
use super::point::ParallelPoint;

/// Migrations at once, and what was estimated of them from one alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ParallelCheck {
    /// How many guests.
    pub guests: u32,
    /// As measured, the median of repeats.
    pub makespan_ms: Millis,
    /// As estimated.
    pub estimated_ms: Millis,
    /// The lower bound: one alone.
    pub least_ms: Millis,
    /// Estimate over measurement, less one.
    pub error: Ratio,
    /// Processor time that all threads of all of them used, sending and loading,
    /// the median of repeats; `None` where it was not metered.
    pub cpu_ms: Option<Millis>,
    /// The lower bound: what one alone used, times their number.
    pub least_cpu_ms: Option<Millis>,
}

/// The number of guests to move at once when there are many: the one with the
/// least time a guest.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BestAtOnce {
    /// As measured.
    pub measured: u32,
    /// As estimated from one alone.
    pub estimated: u32,
    /// How much longer all of them take with the number that was estimated.
    pub loss: Ratio,
}

impl BestAtOnce {
    /// Among one alone and the numbers that were checked; fewer at once are
    /// preferred where they take hardly longer. `None` where none was checked.
    pub fn of(checks: &[ParallelCheck]) -> Option<Self> {
        let alone = checks.first()?.least_ms;
        let numbers: Vec<(u32, f64, f64)> = [(1, alone.0, alone.0)]
            .into_iter()
            .chain(checks.iter().map(|check| {
                let each = |all: Millis| all.0 / f64::from(check.guests);
                (
                    check.guests,
                    each(check.makespan_ms),
                    each(check.estimated_ms),
                )
            }))
            .collect();
        let best = |time: fn(&(u32, f64, f64)) -> f64| {
            let least = numbers.iter().map(time).fold(f64::INFINITY, f64::min);
            let good = |one: &&(u32, f64, f64)| time(one) <= least * (1.0 + AS_GOOD);
            numbers.iter().find(good).copied()
        };
        let (measured, estimated) = (best(|one| one.1)?, best(|one| one.2)?);
        Some(Self {
            measured: measured.0,
            estimated: estimated.0,
            loss: Ratio((estimated.1 / measured.1 - 1.0).max(0.0)),
        })
    }
}

impl ParallelCheck {
    /// Compares guests that do not write: their time is their volume over their
    /// rate. `cpu_s_per_byte` is what sending and loading take. Empty where one
    /// alone was not measured.
    pub fn of(
        points: &[ParallelPoint],
        cpu_s_per_byte: (f64, f64),
        link: ByteRate,
        cpus: Cpus,
    ) -> Vec<Self> {
        let Some(alone) = median(points, 1, makespan) else {
            return Vec::new();
        };
        let volume = points
            .iter()
            .find(|point| point.guests == 1)
            .map_or(Bytes(0), |point| point.transferred_bytes);
        let time_at =
            move |rate: ByteRate| Duration::try_from_secs_f64(volume.0 as f64 / rate.0).ok();
        let demand = Demand {
            most: ByteRate(volume.0 as f64 / (alone.0 / 1e3)),
            source_cpu_s_per_byte: cpu_s_per_byte.0,
            destination_cpu_s_per_byte: cpu_s_per_byte.1,
            time_at: &time_at,
        };
        let mut numbers: Vec<u32> = points.iter().map(|point| point.guests).collect();
        numbers.sort_unstable();
        numbers.dedup();
        let check = |guests: u32| {
            let measured = median(points, guests, makespan)?;
            let demands = vec![demand; guests as usize];
            let made = estimate(&demands, Shared { link, cpus }, demands.len())?;
            Some(Self {
                guests,
                makespan_ms: measured,
                estimated_ms: made.makespan_ms,
                least_ms: made.least_makespan_ms,
                error: Ratio(made.makespan_ms.0 / measured.0 - 1.0),
                cpu_ms: median(points, guests, cpu),
                least_cpu_ms: median(points, 1, cpu).map(|one| Millis(one.0 * f64::from(guests))),
            })
        };
        numbers
            .into_iter()
            .filter(|n| *n > 1)
            .filter_map(check)
            .collect()
    }
}

fn makespan(point: &ParallelPoint) -> Option<Millis> {
    Some(point.makespan_ms)
}

fn cpu(point: &ParallelPoint) -> Option<Millis> {
    Some(Millis(point.source_cpu_ms?.0 + point.destination_cpu_ms?.0))
}

fn median(
    points: &[ParallelPoint],
    guests: u32,
    of: fn(&ParallelPoint) -> Option<Millis>,
) -> Option<Millis> {
    let alike = points.iter().filter(|point| point.guests == guests);
    let mut all: Vec<f64> = alike.filter_map(|point| Some(of(point)?.0)).collect();
    all.sort_by(f64::total_cmp);
    quantile(&all, 0.5).map(Millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(guests: u32, makespan_s: f64) -> ParallelPoint {
        ParallelPoint {
            guests,
            total_times_ms: vec![Millis(makespan_s * 1e3); guests as usize],
            makespan_ms: Millis(makespan_s * 1e3),
            transferred_bytes: Bytes(1_000_000_000 * u64::from(guests)),
            source_cpu_ms: Some(Millis(200.0 * f64::from(guests))),
            destination_cpu_ms: Some(Millis(1800.0 * f64::from(guests))),
        }
    }

    #[test]
    fn estimates_stand_beside_measurements() {
        // One alone uses one of two CPUs, most of it at the destination.
        let points = [point(1, 2.0), point(2, 2.1), point(4, 4.4)];
        let made = ParallelCheck::of(
            &points,
            (0.2e-9, 1.8e-9),
            ByteRate(1e10),
            Cpus::OneMachine(2.0),
        );
        assert_eq!(made.len(), 2);
        assert!((made[0].estimated_ms.0 - 2000.0).abs() < 1.0, "{made:?}");
        assert!((made[1].estimated_ms.0 - 4000.0).abs() < 1.0, "{made:?}");
        assert!((made[1].error.0 + 0.0909).abs() < 1e-3 && made[1].least_ms == Millis(2000.0));
        assert_eq!(made[1].cpu_ms, Some(Millis(8000.0)));
        assert_eq!(made[1].cpu_ms, made[1].least_cpu_ms);
        // Two at once, as measured and as estimated: four take 1.1 s each, two 1.05 s.
        let best = BestAtOnce::of(&made).unwrap();
        assert_eq!((best.measured, best.estimated), (2, 2));
        assert_eq!(best.loss, Ratio(0.0));
        assert_eq!(BestAtOnce::of(&[]), None);
        let none = ParallelCheck::of(
            &points[1..],
            (1e-9, 1e-9),
            ByteRate(1e10),
            Cpus::Apart(1.0, 1.0),
        );
        assert_eq!(none, []);
    }
}
