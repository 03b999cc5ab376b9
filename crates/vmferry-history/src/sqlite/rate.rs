//! What a route's earlier moves say of its rate.

use vmferry_core::{ByteRate, LinkSource, LinkSpeed, Ratio};

/// Moves that are looked at: a route may have changed since older ones.
pub(super) const LATEST_MOVES: i64 = 20;

/// Shorter moves are left out: set-up and switchover, in which little is
/// sent, take tens of milliseconds each and would lower the rate by more than
/// repeats of one move differ.
pub(super) const SHORTEST_MS: f64 = 2000.0;

/// QEMU's own `max-bandwidth`, in force where the plan sets none. Records do not
/// tell whether the hypervisor was set otherwise: a stream that is clearly
/// faster shows it, one that is about as fast teaches nothing.
pub(super) const DEFAULT_CAP: ByteRate = ByteRate(134_217_728.0);

/// A stream at this share of its `max-bandwidth` or above was held by it, not by
/// the link: over the whole move, set-up and switchover lower the rate by a few
/// percent. 1 Gbit/s stays below, at 89 % of QEMU's own.
pub(super) const HELD_SHARE: f64 = 0.9;

/// Repeats of one migration differ by 1-2 % in time, so no fewer moves can
/// promise less.
const LEAST_RELATIVE_SD: f64 = 0.01;

/// Assumed of fewer than three moves, which show no spread.
const UNKNOWN_RELATIVE_SD: f64 = 0.05;

/// The median of the rates (bytes per second), and as their spread the median
/// distance from it, scaled to a standard deviation: one move over a busy
/// link does not count much.
pub(super) fn learned(mut rates: Vec<f64>) -> Option<LinkSpeed> {
    rates.retain(|rate| rate.is_finite() && *rate > 0.0);
    let rate = median(&mut rates)?;
    let relative_sd = if rates.len() < 3 {
        UNKNOWN_RELATIVE_SD
    } else {
        let mut distances: Vec<f64> = rates.iter().map(|r| (r - rate).abs()).collect();
        // 1.4826 x the median absolute deviation is a normal distribution's
        // standard deviation.
        1.4826 * median(&mut distances)? / rate
    };
    Some(LinkSpeed {
        wire_rate: ByteRate(rate),
        efficiency: LinkSpeed::TCP_OVER_ETHERNET,
        relative_sd: Ratio(relative_sd.max(LEAST_RELATIVE_SD)),
        source: LinkSource::History,
    })
}

fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(values[middle]),
        _ => Some((values[middle - 1] + values[middle]) / 2.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_slow_move_does_not_count_much() {
        let link = learned(vec![50e6, 49e6, 51e6, 50e6, 5e6]).unwrap();
        assert_eq!(link.wire_rate, ByteRate(50e6));
        assert!((link.relative_sd.0 - 1.4826 * 0.02).abs() < 1e-9);
        assert_eq!(learned(vec![50e6; 9]).unwrap().relative_sd, Ratio(0.01));
        assert_eq!(learned(vec![40e6, 50e6]).unwrap().wire_rate, ByteRate(45e6));
        assert_eq!(learned(vec![0.0, f64::NAN]), None);
    }
}
