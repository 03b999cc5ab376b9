//! The least change that makes a move converge.

use vmferry_core::{ByteRate, Interval, LinkSpeed, Millis, Ratio, Remedy, RemedyKind};
use vmferry_precopy::postcopy::PostCopy;

use crate::forecast::{downtime_ms, total_ms};
use crate::sampler::{AtCommand, Sample, Sampler, Scenario};

/// A move that converges with this probability needs no remedy, and a remedy
/// has to reach it.
pub const SUFFICIENT_PROBABILITY: f64 = 0.95;

/// Fastest link worth proposing.
const FASTEST_LINK: ByteRate = ByteRate::from_mbit_per_s(100_000.0);
/// Ratio of neighbouring bandwidths that are tried.
const BANDWIDTH_STEP: f64 = 1.01;
/// Distance of neighbouring downtime limits that are tried, ms.
const DOWNTIME_STEP_MS: f64 = 10.0;
/// Most steps above the one found by bisection: convergence is not quite
/// monotone, because QEMU looks only between bursts.
const STEPS_ABOVE: u32 = 12;

/// Finds the least bandwidth, downtime limit and slowdown that make the
/// planned move converge, and post-copy, each verified by replays; and a note
/// where the bandwidth is not only the link's.
pub(crate) fn remedies(sampler: &Sampler<'_>, link: &LinkSpeed) -> (Vec<Remedy>, Option<String>) {
    let planned = sampler.planned;
    let efficiency = link.efficiency.0;
    let wire_now = planned.rules.max_bandwidth.map_or(link.wire_rate.0, |cap| {
        (cap.0 / efficiency).min(link.wire_rate.0)
    });
    let bandwidth_at = |step: u32| friendly_rate(wire_now * BANDWIDTH_STEP.powi(step as i32));
    let with_bandwidth = |wire: ByteRate| {
        let mut scenario = planned;
        let stream = wire.0 * efficiency;
        scenario.stream_rate = scenario.stream_rate.max(stream);
        scenario.rules.max_bandwidth = planned
            .rules
            .max_bandwidth
            .map(|cap| ByteRate(cap.0.max(stream)));
        scenario
    };
    let fastest = FASTEST_LINK.0.max(2.0 * wire_now);
    let bandwidth_steps = ((fastest / wire_now).ln() / BANDWIDTH_STEP.ln()).ceil() as u32;

    let limit_now = Millis::from(planned.rules.downtime_limit).0;
    let limit_at = |step: u32| {
        Millis(((limit_now / DOWNTIME_STEP_MS).floor() + f64::from(step)) * DOWNTIME_STEP_MS)
    };
    let longest = Millis::from(sampler.deadline).0;
    let limit_steps = ((longest - limit_now) / DOWNTIME_STEP_MS).max(0.0) as u32;
    let slowdown_at = |step: u32| Ratio(f64::from(step) / 100.0);

    let found = [
        least(sampler, bandwidth_steps, |step| {
            let bandwidth = bandwidth_at(step);
            (
                RemedyKind::Bandwidth { bandwidth },
                with_bandwidth(bandwidth),
            )
        }),
        least(sampler, limit_steps, |step| {
            let limit = limit_at(step);
            let mut scenario = planned;
            scenario.rules.downtime_limit = limit.duration();
            (RemedyKind::MaxDowntime { limit }, scenario)
        }),
        least(sampler, 99, |step| {
            let slowdown = slowdown_at(step);
            let mut scenario = planned;
            scenario.speed = 1.0 - slowdown.0;
            (RemedyKind::Slowdown { slowdown }, scenario)
        }),
    ];
    let capped = planned
        .rules
        .max_bandwidth
        .filter(|cap| cap.0 < FASTEST_LINK.0 * efficiency);
    let note = match (&found[0], capped) {
        (
            Some(Remedy {
                kind: RemedyKind::Bandwidth { bandwidth },
                ..
            }),
            Some(cap),
        ) if bandwidth.0 * efficiency > cap.0 => Some(if bandwidth.0 <= link.wire_rate.0 {
            format!(
                "The link would carry {bandwidth}: only max-bandwidth ({cap} of stream) has to be raised."
            )
        } else {
            format!(
                "A link of {bandwidth} helps only with max-bandwidth ({cap} of stream) raised to {} as well.",
                ByteRate(bandwidth.0 * efficiency)
            )
        }),
        _ => None,
    };
    let last = sampler.may_post_copy().then(|| post_copy(sampler));
    let found = found.into_iter().chain([last.flatten()]);
    (found.flatten().collect(), note)
}

/// Post-copy after the first pass; `None` where not even that ends in time.
fn post_copy(sampler: &Sampler<'_>) -> Option<Remedy> {
    let moves: Vec<PostCopy> = (0..sampler.count())
        .map(|number| sampler.by_post_copy(number, &sampler.planned))
        .filter(|m| m.total_time <= sampler.deadline)
        .collect();
    let probability = moves.len() as f64 / f64::from(sampler.count());
    let median = |of: fn(&PostCopy) -> f64| {
        let values: Vec<f64> = moves.iter().map(of).collect();
        Interval::of_samples(&values).map(|i| i.p50)
    };
    (probability >= SUFFICIENT_PROBABILITY).then_some(Remedy {
        kind: RemedyKind::PostCopy {
            stall: Ratio(median(|m| m.stall.0)?),
        },
        converges_probability: probability,
        total_time_ms: median(|m| Millis::from(m.total_time).0).map(Millis),
        downtime_ms: median(|m| Millis::from(m.downtime).0).map(Millis),
    })
}

/// The least step from 1 to `most` whose scenario converges often enough.
fn least(
    sampler: &Sampler<'_>,
    most: u32,
    at: impl Fn(u32) -> (RemedyKind, Scenario),
) -> Option<Remedy> {
    if most == 0 || !suffices(sampler, &at(most).1) {
        return None;
    }
    let (mut fails, mut works) = (0, most);
    while works - fails > 1 {
        let middle = fails + (works - fails) / 2;
        if suffices(sampler, &at(middle).1) {
            works = middle;
        } else {
            fails = middle;
        }
    }
    // What is reported was replayed as it stands and with draws of its own:
    // the bisection picks among draws, and would flatter itself.
    (works..=most.min(works + STEPS_ABOVE))
        .map(at)
        .map(|(kind, scenario)| remedy(sampler, kind, &scenario))
        .find(|remedy| remedy.converges_probability >= SUFFICIENT_PROBABILITY)
}

/// Whether a scenario converges often enough; stops at the first failure too
/// many.
fn suffices(sampler: &Sampler<'_>, scenario: &Scenario) -> bool {
    let count = sampler.count();
    let allowed = (f64::from(count) * (1.0 - SUFFICIENT_PROBABILITY) + 1e-9).floor() as usize;
    (0..count)
        .filter(|number| {
            let sample = sampler.sample(*number, scenario, &AtCommand);
            !sample.replay.converged_within(sampler.deadline)
        })
        .take(allowed + 1)
        .count()
        <= allowed
}

fn remedy(sampler: &Sampler<'_>, kind: RemedyKind, scenario: &Scenario) -> Remedy {
    let samples: Vec<Sample> = (sampler.count()..2 * sampler.count())
        .map(|number| sampler.sample(number, scenario, &AtCommand))
        .filter(|s| s.replay.converged_within(sampler.deadline))
        .collect();
    let median = |of: fn(&Sample) -> f64| {
        let values: Vec<f64> = samples.iter().map(of).collect();
        Interval::of_samples(&values).map(|i| Millis(i.p50))
    };
    Remedy {
        kind,
        converges_probability: samples.len() as f64 / f64::from(sampler.count()),
        total_time_ms: median(total_ms),
        downtime_ms: median(downtime_ms),
    }
}

/// Rounds a rate up to three digits of bits per second.
fn friendly_rate(bytes_per_s: f64) -> ByteRate {
    let bits = ByteRate(bytes_per_s).bits_per_s();
    let unit = 10f64.powi((bits.log10().floor() as i32 - 2).max(0));
    ByteRate::from_bits_per_s((bits / unit - 1e-6).ceil() * unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_rounded_up_to_three_digits() {
        let mbit = |n: f64| friendly_rate(ByteRate::from_mbit_per_s(n).0).mbit_per_s();
        assert!((mbit(400.0) - 400.0).abs() < 1e-9);
        assert!((mbit(412.3) - 413.0).abs() < 1e-9);
        assert!((mbit(41_201.0) - 41_300.0).abs() < 1e-9);
        assert!((mbit(9.871) - 9.88).abs() < 1e-9);
    }
}
