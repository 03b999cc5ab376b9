//! Several migrations at once between two hosts.
//!
//! The paper bounds them: none ends earlier than alone, and together they need
//! at least the sum of the CPU that each needs (`dom0cpu` section 5). The
//! estimate shares what there is. At every moment each migration gets the
//! largest rate at which no end's CPU and no link is asked for more than it
//! has, all alike until their own limits (max-min fairness, which is what TCP
//! and the kernel's scheduler aim at). A migration advances by the part of it
//! that it would do in that time at that rate: slower rates cost a guest that
//! writes more than proportionally, and that is in its time at the rate.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vmferry_core::{ByteRate, Millis, Ratio};

/// Changes of rates after which an estimate gives up: more than twice as many
/// as any number of migrations that begin and end can make.
const MOST_STEPS: usize = 10_000;
/// Fewer migrations at once are better when they take no longer than this much
/// more: each is over earlier, and fewer guests are slowed down.
pub(super) const AS_GOOD: f64 = 0.01;

/// Time of a migration alone at a rate of its stream; `None` where it does not
/// converge at that rate.
pub type TimeAt<'a> = &'a dyn Fn(ByteRate) -> Option<Duration>;

/// One migration among several.
#[derive(Clone, Copy)]
pub struct Demand<'a> {
    /// Most that its threads can do, whatever else happens.
    pub most: ByteRate,
    /// CPU that sending a byte takes at the source, s.
    pub source_cpu_s_per_byte: f64,
    /// CPU that loading a byte takes at the destination, s.
    pub destination_cpu_s_per_byte: f64,
    /// Its time alone, by rate.
    pub time_at: TimeAt<'a>,
}

/// What all migrations share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shared {
    /// Stream that the link carries.
    pub link: ByteRate,
    /// CPUs for migrations.
    pub cpus: Cpus,
}

/// CPUs for migrations; 2.0 are two of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cpus {
    /// Of the source, and of the destination.
    Apart(f64, f64),
    /// Of the one machine that both are on (a testbed).
    OneMachine(f64),
}

impl Shared {
    /// What there is of the link and of CPUs.
    fn capacities(&self) -> [f64; 3] {
        match self.cpus {
            Cpus::Apart(source, destination) => [self.link.0, source, destination],
            Cpus::OneMachine(cpus) => [self.link.0, cpus, f64::INFINITY],
        }
    }

    /// What a byte takes of them.
    fn need(&self, demand: &Demand<'_>) -> [f64; 3] {
        let source = demand.source_cpu_s_per_byte.max(0.0);
        let destination = demand.destination_cpu_s_per_byte.max(0.0);
        match self.cpus {
            Cpus::Apart(..) => [1.0, source, destination],
            Cpus::OneMachine(_) => [1.0, source + destination, 0.0],
        }
    }
}

/// What several migrations take.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ParallelEstimate {
    /// When each ends, from the first command, in their order.
    pub ends_ms: Vec<Millis>,
    /// When the last ends.
    pub makespan_ms: Millis,
    /// No earlier can the last end (`dom0cpu`: each alone).
    pub least_makespan_ms: Millis,
    /// CPUs that all together need at least, at the rates each has alone: source
    /// and destination.
    pub least_cpus: (f64, f64),
}

/// How many migrations to make at once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Concurrency {
    /// The best number.
    pub best: usize,
    /// What every number from 1 on takes; `None` where some never end.
    pub makespans_ms: Vec<Option<Millis>>,
}

/// When migrations begun in their order, at most `at_once` under way, end;
/// `None` where one never does.
pub fn estimate(
    demands: &[Demand<'_>],
    shared: Shared,
    at_once: usize,
) -> Option<ParallelEstimate> {
    let mut waiting: Vec<usize> = (0..demands.len()).rev().collect();
    let mut under_way: Vec<(usize, f64)> = Vec::new();
    let mut ends = vec![0.0; demands.len()];
    let mut now = 0.0;
    for _ in 0..MOST_STEPS {
        while under_way.len() < at_once.max(1)
            && let Some(next) = waiting.pop()
        {
            under_way.push((next, 1.0));
        }
        if under_way.is_empty() {
            return finish(demands, shared, &ends);
        }
        let active: Vec<&Demand<'_>> = under_way.iter().map(|(n, _)| &demands[*n]).collect();
        let rates = fair_rates(&active, shared);
        // Seconds that each still takes at its rate.
        let left: Vec<f64> = under_way
            .iter()
            .zip(&rates)
            .map(|((n, part), rate)| {
                (demands[*n].time_at)(ByteRate(*rate))
                    .map_or(f64::INFINITY, |time| part * time.as_secs_f64())
            })
            .collect();
        let step = left.iter().copied().fold(f64::INFINITY, f64::min);
        if !step.is_finite() {
            return None;
        }
        now += step;
        for ((n, part), left) in under_way.iter_mut().zip(&left) {
            *part = if *left <= step {
                0.0
            } else {
                *part * (1.0 - step / left)
            };
            if *part <= 0.0 {
                ends[*n] = now;
            }
        }
        under_way.retain(|(_, part)| *part > 0.0);
    }
    None
}

fn finish(demands: &[Demand<'_>], shared: Shared, ends: &[f64]) -> Option<ParallelEstimate> {
    let mut least = Duration::ZERO;
    let mut cpus = (0.0, 0.0);
    for demand in demands {
        let alone = fair_rates(&[demand], shared)[0];
        least = least.max((demand.time_at)(ByteRate(alone))?);
        cpus.0 += alone * demand.source_cpu_s_per_byte;
        cpus.1 += alone * demand.destination_cpu_s_per_byte;
    }
    let ends_ms: Vec<Millis> = ends.iter().map(|end| Millis(end * 1e3)).collect();
    let last = ends.iter().copied().fold(0.0, f64::max);
    Some(ParallelEstimate {
        makespan_ms: Millis(last * 1e3),
        ends_ms,
        least_makespan_ms: least.into(),
        least_cpus: cpus,
    })
}

/// The number of migrations at once with which all end earliest; fewer where
/// that takes hardly longer. `None` where every number leaves some that never
/// end.
pub fn best_concurrency(demands: &[Demand<'_>], shared: Shared) -> Option<Concurrency> {
    let makespans: Vec<Option<f64>> = (1..=demands.len())
        .map(|at_once| Some(estimate(demands, shared, at_once)?.makespan_ms.0))
        .collect();
    let best = makespans.iter().flatten().copied().reduce(f64::min)?;
    let first = |made: &Option<f64>| made.is_some_and(|made| made <= best * (1.0 + AS_GOOD));
    Some(Concurrency {
        best: makespans.iter().position(first)? + 1,
        makespans_ms: makespans.into_iter().map(|made| made.map(Millis)).collect(),
    })
}

/// CPU caps, alike for all, under which migrations at once ask for no more than
/// the CPUs there are: each gets its share.
pub fn even_cap(cpus: f64, migrations: usize) -> Ratio {
    Ratio((cpus / migrations.max(1) as f64).min(1.0))
}

/// Max-min fair rates: all grow alike; what a resource that is used up serves,
/// or what has all it can take, stops growing.
fn fair_rates(demands: &[&Demand<'_>], shared: Shared) -> Vec<f64> {
    let capacities = shared.capacities();
    let need = |demand: &Demand<'_>| shared.need(demand);
    let mut rates = vec![0.0; demands.len()];
    let mut growing: Vec<bool> = demands.iter().map(|demand| demand.most.0 > 0.0).collect();
    while growing.contains(&true) {
        // How much further all that grow may grow.
        let mut further = f64::INFINITY;
        for (at, demand) in demands.iter().enumerate() {
            if growing[at] {
                further = further.min(demand.most.0 - rates[at]);
            }
        }
        for (which, capacity) in capacities.iter().enumerate() {
            let used: f64 = demands
                .iter()
                .zip(&rates)
                .map(|(d, rate)| need(d)[which] * rate)
                .sum();
            let asked: f64 = (demands.iter().zip(&growing))
                .filter(|(_, grows)| **grows)
                .map(|(d, _)| need(d)[which])
                .sum();
            if asked > 0.0 {
                further = further.min(((capacity - used) / asked).max(0.0));
            }
        }
        for (rate, grows) in rates.iter_mut().zip(&growing) {
            if *grows {
                *rate += further;
            }
        }
        let mut stopped = false;
        for (which, capacity) in capacities.iter().enumerate() {
            let used: f64 = demands
                .iter()
                .zip(&rates)
                .map(|(d, rate)| need(d)[which] * rate)
                .sum();
            if used >= capacity * (1.0 - 1e-9) {
                for (demand, grows) in demands.iter().zip(&mut growing) {
                    if *grows && need(demand)[which] > 0.0 {
                        *grows = false;
                        stopped = true;
                    }
                }
            }
        }
        for (at, demand) in demands.iter().enumerate() {
            if growing[at] && rates[at] >= demand.most.0 * (1.0 - 1e-9) {
                growing[at] = false;
                stopped = true;
            }
        }
        if !stopped {
            break;
        }
    }
    rates
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GIB: f64 = 1_073_741_824.0;

    /// A gibibyte that is never written: time is volume over rate.
    fn quiet(rate: ByteRate) -> Option<Duration> {
        Duration::try_from_secs_f64(GIB / rate.0).ok()
    }

    /// A guest that rewrites 100 MB every second: V/(R - D).
    fn writer(rate: ByteRate) -> Option<Duration> {
        (rate.0 > 1.1e8).then(|| Duration::from_secs_f64(GIB / (rate.0 - 1e8)))
    }

    fn demand(time_at: TimeAt<'_>) -> Demand<'_> {
        Demand {
            most: ByteRate(4e8),
            source_cpu_s_per_byte: 1.0 / 2e9,
            destination_cpu_s_per_byte: 1.0 / 4e8,
            time_at,
        }
    }

    const HOSTS: Shared = Shared {
        link: ByteRate(1.2e9),
        cpus: Cpus::Apart(2.0, 2.0),
    };

    #[test]
    fn until_cpu_is_short_migrations_do_not_hinder_each_other() {
        let two = [demand(&quiet); 2];
        let made = estimate(&two, HOSTS, 2).unwrap();
        let alone = GIB / 4e8 * 1e3;
        assert!((made.makespan_ms.0 - alone).abs() < 1.0);
        assert!((made.least_makespan_ms.0 - alone).abs() < 1.0);
        // Two loaders need two CPUs.
        assert!((made.least_cpus.1 - 2.0).abs() < 1e-6 && (made.least_cpus.0 - 0.4).abs() < 1e-6);
        // Four share those two CPUs: twice the bound.
        let four = [demand(&quiet); 4];
        let made = estimate(&four, HOSTS, 4).unwrap();
        assert!((made.makespan_ms.0 - 2.0 * alone).abs() < 1.0, "{made:?}");
        assert!((made.least_makespan_ms.0 - alone).abs() < 1.0);
    }

    #[test]
    fn as_many_at_once_as_the_hosts_carry() {
        let eight = [demand(&quiet); 8];
        let chosen = best_concurrency(&eight, HOSTS).unwrap();
        assert_eq!(chosen.best, 2);
        let ms = |at: usize| chosen.makespans_ms[at - 1].unwrap().0;
        assert!((ms(1) / ms(2) - 2.0).abs() < 1e-6 && (ms(8) / ms(2) - 1.0).abs() < 1e-6);
        // A link that one migration fills.
        let narrow = Shared {
            link: ByteRate(1e8),
            ..HOSTS
        };
        assert_eq!(best_concurrency(&eight, narrow).unwrap().best, 1);
    }

    #[test]
    fn writers_must_not_wait_for_each_other() {
        // Four share 8e8 bytes/s: 2e8 each, of which half is rewritten.
        let four = [demand(&writer); 4];
        let chosen = best_concurrency(&four, HOSTS).unwrap();
        assert_eq!(chosen.best, 2);
        assert!(chosen.makespans_ms[3].unwrap().0 > 1.4 * chosen.makespans_ms[1].unwrap().0);
        // Ten would never end.
        let ten = [demand(&writer); 10];
        assert_eq!(estimate(&ten, HOSTS, 10), None);
        assert_eq!(best_concurrency(&ten, HOSTS).unwrap().makespans_ms[9], None);
    }

    #[test]
    fn on_one_machine_both_ends_ask_for_the_same_cpus() {
        let one = Shared {
            cpus: Cpus::OneMachine(2.0),
            ..HOSTS
        };
        let four = [demand(&quiet); 4];
        let made = estimate(&four, one, 4).unwrap();
        // A byte takes 1/2e9 + 1/4e8 s there.
        let seconds = 4.0 * GIB * (1.0 / 2e9 + 1.0 / 4e8) / 2.0;
        assert!(
            (made.makespan_ms.0 / 1e3 - seconds).abs() < 1e-3,
            "{made:?}"
        );
    }

    #[test]
    fn a_cap_for_each() {
        assert_eq!(even_cap(2.0, 4), Ratio(0.5));
        assert_eq!(even_cap(2.0, 1), Ratio(1.0));
    }

    proptest! {
        #[test]
        fn never_below_the_bound_and_never_above_capacity(
            rates in prop::collection::vec(1e7f64..1e9, 1..6),
            link in 1e8f64..2e9,
            cpus in 0.2f64..4.0,
        ) {
            let demands: Vec<Demand<'_>> = rates
                .iter()
                .map(|rate| Demand { most: ByteRate(*rate), ..demand(&quiet) })
                .collect();
            let shared = Shared { link: ByteRate(link), cpus: Cpus::Apart(cpus, cpus) };
            let all: Vec<&Demand<'_>> = demands.iter().collect();
            let fair = fair_rates(&all, shared);
            prop_assert!(fair.iter().sum::<f64>() <= link * 1.000_001);
            prop_assert!(fair.iter().sum::<f64>() / 4e8 <= cpus * 1.000_001);
            let made = estimate(&demands, shared, demands.len()).unwrap();
            prop_assert!(made.makespan_ms.0 >= made.least_makespan_ms.0 * 0.999_999);
        }
    }
}
