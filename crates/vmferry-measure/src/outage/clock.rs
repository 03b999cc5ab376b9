//! Two clocks of one machine: the monotonic one that probes use, and the one on the wall, by which
//! QEMU stamps its events.

use nix::time::{ClockId, clock_gettime};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vmferry_core::Millis;

/// Readings of a pair; the tightest counts.
const TRIES: usize = 5;

/// Now by `CLOCK_MONOTONIC`, in ns: the clock of all times named `_ns` here. It is the same in every
/// network namespace of a machine.
#[must_use]
pub fn monotonic_ns() -> u64 {
    read(ClockId::CLOCK_MONOTONIC)
}

fn read(clock: ClockId) -> u64 {
    // Both clocks exist on every Linux, and are positive.
    clock_gettime(clock).map_or(0, |time| {
        u64::try_from(time.tv_sec()).unwrap_or(0) * 1_000_000_000
            + u64::try_from(time.tv_nsec()).unwrap_or(0)
    })
}

/// One moment by both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClockPair {
    /// By `CLOCK_MONOTONIC`.
    pub monotonic_ns: u64,
    /// By `CLOCK_REALTIME`, since 1970.
    pub realtime_ns: u64,
    /// Time between the readings of the two: how exact the pair is.
    pub uncertainty_ns: u64,
}

impl ClockPair {
    /// This moment.
    #[must_use]
    pub fn now() -> Self {
        let one = || {
            let before = monotonic_ns();
            let realtime_ns = read(ClockId::CLOCK_REALTIME);
            let uncertainty_ns = monotonic_ns().saturating_sub(before);
            Self {
                monotonic_ns: before + uncertainty_ns / 2,
                realtime_ns,
                uncertainty_ns,
            }
        };
        (1..TRIES).map(|_| one()).fold(one(), |best, next| {
            if next.uncertainty_ns < best.uncertainty_ns {
                next
            } else {
                best
            }
        })
    }
}

/// Converts between the clocks, from a pair at the start of a measurement and one at its end: the
/// clock on the wall may be slewed or set in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Clocks {
    /// At the start.
    pub start: ClockPair,
    /// At the end.
    pub end: ClockPair,
}

impl Clocks {
    /// How far the clock on the wall ran ahead of the monotonic one from start to end, in ms;
    /// negative where it fell behind. More than some ms means that it was set, and times converted
    /// in between are uncertain by this much.
    #[must_use]
    pub fn drift(&self) -> Millis {
        let (monotonic, realtime) = self.spans();
        Millis((realtime - monotonic) / 1e6)
    }

    /// The monotonic time of a time on the wall (ns since 1970). A drift is spread evenly from start
    /// to end; before and after them, the clocks run alike. `None` for times before the boot.
    #[must_use]
    pub fn monotonic_ns(&self, realtime_ns: u64) -> Option<u64> {
        let since = signed(realtime_ns, self.start.realtime_ns);
        let (monotonic, realtime) = self.spans();
        let elapsed = if since <= 0.0 || realtime <= 0.0 {
            since
        } else if since >= realtime {
            since - realtime + monotonic
        } else {
            since * (monotonic / realtime)
        };
        shifted(self.start.monotonic_ns, elapsed)
    }

    /// The time on the wall (ns since 1970) of a monotonic time; the inverse of
    /// [`monotonic_ns`](Self::monotonic_ns).
    #[must_use]
    pub fn realtime_ns(&self, monotonic_ns: u64) -> Option<u64> {
        let since = signed(monotonic_ns, self.start.monotonic_ns);
        let (monotonic, realtime) = self.spans();
        let elapsed = if since <= 0.0 || monotonic <= 0.0 || realtime <= 0.0 {
            since
        } else if since >= monotonic {
            since - monotonic + realtime
        } else {
            since * (realtime / monotonic)
        };
        shifted(self.start.realtime_ns, elapsed)
    }

    /// Time from start to end by each clock.
    fn spans(&self) -> (f64, f64) {
        (
            signed(self.end.monotonic_ns, self.start.monotonic_ns),
            signed(self.end.realtime_ns, self.start.realtime_ns),
        )
    }
}

/// A difference in ns; exact below 104 days.
fn signed(later: u64, earlier: u64) -> f64 {
    if later >= earlier {
        (later - earlier) as f64
    } else {
        -((earlier - later) as f64)
    }
}

fn shifted(time: u64, by: f64) -> Option<u64> {
    time.checked_add_signed(by.round() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(monotonic_ns: u64, realtime_ns: u64) -> ClockPair {
        ClockPair {
            monotonic_ns,
            realtime_ns,
            uncertainty_ns: 0,
        }
    }

    #[test]
    fn this_machine_s_clocks_agree_within_a_measurement() {
        let start = ClockPair::now();
        let clocks = Clocks {
            start,
            end: ClockPair::now(),
        };
        let at = clocks.monotonic_ns(start.realtime_ns).expect("after boot");
        assert_eq!(at, start.monotonic_ns);
        assert!(start.realtime_ns > start.monotonic_ns);
    }

    #[test]
    fn a_drift_is_told_and_spread() {
        let base = 1_700_000_000_000_000_000;
        // 10 s in which the clock on the wall gains 2 ms.
        let clocks = Clocks {
            start: pair(50_000_000_000, base),
            end: pair(60_000_000_000, base + 10_002_000_000),
        };
        assert_eq!(clocks.drift(), Millis(2.0));
        let half = clocks.monotonic_ns(base + 5_001_000_000);
        assert_eq!(half, Some(55_000_000_000));
        assert_eq!(
            clocks.realtime_ns(55_000_000_000),
            Some(base + 5_001_000_000)
        );
        let after = clocks.monotonic_ns(base + 11_002_000_000);
        assert_eq!(after, Some(61_000_000_000));
        assert_eq!(
            clocks.monotonic_ns(base - 1_000_000_000),
            Some(49_000_000_000)
        );
        assert_eq!(clocks.monotonic_ns(0), None);
    }

    #[test]
    fn one_pair_alone_converts() {
        let now = pair(5_000, 90_000);
        let clocks = Clocks {
            start: now,
            end: now,
        };
        assert_eq!(clocks.monotonic_ns(90_100), Some(5_100));
        assert_eq!(clocks.realtime_ns(4_900), Some(89_900));
        assert_eq!(clocks.drift(), Millis(0.0));
    }
}
