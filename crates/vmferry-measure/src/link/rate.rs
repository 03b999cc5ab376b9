//! From readings of counters to a rate.

use std::time::Duration;

use vmferry_core::{ByteRate, LinkSource, LinkSpeed, Ratio};

use super::LinkOptions;

/// Parts of the transfer whose rates are compared.
const PARTS: usize = 10;

/// No better than repeats of one migration (1-2 %).
const LEAST_SD: f64 = 0.01;

/// Payload shares that TCP can have: below, others used the interface at the same time; above, it
/// counts less than what passes through it.
const BELIEVABLE_EFFICIENCY: std::ops::RangeInclusive<f64> = 0.8..=1.0;

/// Counters at one instant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Reading {
    /// Since the start.
    pub(super) at: Duration,
    /// Bytes the interface has sent.
    pub(super) wire: u64,
    /// Bytes that have arrived.
    pub(super) payload: u64,
}

/// The speed after the warm-up; `None` where nothing arrived.
pub(super) fn link_speed(readings: &[Reading], options: &LinkOptions) -> Option<LinkSpeed> {
    let warm = readings
        .iter()
        .position(|r| r.at >= options.warm_up || r.payload >= options.limit.0 / 4)
        // A transfer that ends within its warm-up is taken whole.
        .filter(|first| first + 1 < readings.len())
        .unwrap_or(0);
    let steady = &readings[warm..];
    let (first, last) = (steady.first()?, steady.last()?);
    let stream = rate(first, last, |r| r.payload)?;
    let wire = rate(first, last, |r| r.wire);
    let efficiency = wire
        .map(|wire| stream / wire)
        .filter(|share| BELIEVABLE_EFFICIENCY.contains(share))
        .unwrap_or(LinkSpeed::TCP_OVER_ETHERNET.0);
    Some(LinkSpeed {
        wire_rate: ByteRate(stream / efficiency),
        efficiency: Ratio(efficiency),
        relative_sd: Ratio(standard_error(steady, stream).max(LEAST_SD)),
        source: LinkSource::Measured,
    })
}

fn rate(first: &Reading, last: &Reading, bytes: impl Fn(&Reading) -> u64) -> Option<f64> {
    let time = last.at.checked_sub(first.at)?.as_secs_f64();
    let sent = bytes(last).checked_sub(bytes(first))?;
    (time > 0.0 && sent > 0).then(|| sent as f64 / time)
}

/// Relative standard error of the mean between parts of the transfer.
fn standard_error(steady: &[Reading], mean: f64) -> f64 {
    let parts = PARTS.min(steady.len() - 1);
    let at = |part: usize| &steady[part * (steady.len() - 1) / parts];
    let rates: Vec<f64> = (0..parts)
        .map(|part| rate(at(part), at(part + 1), |r| r.payload).unwrap_or(0.0))
        .collect();
    if parts < 2 {
        return LEAST_SD;
    }
    let squares: f64 = rates.iter().map(|rate| (rate / mean - 1.0).powi(2)).sum();
    (squares / (parts - 1) as f64 / parts as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readings(wire_per_ms: u64, payload_per_ms: u64) -> Vec<Reading> {
        (0..=200)
            .map(|i| Reading {
                at: Duration::from_millis(i * 10),
                // A token bucket gives 1 MB at once.
                wire: i * 10 * wire_per_ms + u64::from(i > 0) * 1_000_000,
                payload: i * 10 * payload_per_ms + u64::from(i > 0) * 1_000_000,
            })
            .collect()
    }

    #[test]
    fn the_burst_is_left_out() {
        let speed = link_speed(&readings(50_000, 47_800), &LinkOptions::default()).unwrap();
        assert!((speed.wire_rate.mbit_per_s() - 400.0).abs() < 1e-6);
        assert!((speed.efficiency.0 - 0.956).abs() < 1e-9);
        assert_eq!(speed.relative_sd, Ratio(LEAST_SD));
        assert_eq!(speed.source, LinkSource::Measured);
    }

    #[test]
    fn other_traffic_does_not_lower_the_efficiency() {
        let speed = link_speed(&readings(100_000, 47_800), &LinkOptions::default()).unwrap();
        assert_eq!(speed.efficiency, LinkSpeed::TCP_OVER_ETHERNET);
        assert!((speed.stream_rate().0 - 47_800_000.0).abs() < 1.0);
    }

    #[test]
    fn a_wavering_link_says_so_and_a_dead_one_is_none() {
        let mut wavering = readings(50_000, 47_800);
        for reading in &mut wavering {
            let ms = reading.at.as_millis() as u64;
            reading.payload += if (ms / 400).is_multiple_of(2) {
                ms * 10_000
            } else {
                0
            };
        }
        let speed = link_speed(&wavering, &LinkOptions::default()).unwrap();
        assert!(speed.relative_sd.0 > 0.02, "{speed:?}");
        assert_eq!(
            link_speed(&readings(0, 0)[1..], &LinkOptions::default()),
            None
        );
        assert_eq!(link_speed(&[], &LinkOptions::default()), None);
    }

    #[test]
    fn a_transfer_shorter_than_its_warm_up_is_taken_whole() {
        let speed = link_speed(&readings(50_000, 47_800)[..5], &LinkOptions::default()).unwrap();
        assert!(speed.stream_rate().0 > 40e6);
    }
}
