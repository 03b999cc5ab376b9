//! The rounds of pre-copy and what they cost the guest (`jin2011` eq. 1-7).

use std::time::Duration;

use vmferry_core::{ByteRate, Bytes, Ratio};

/// What pre-copy in rounds depends on (`jin2011` section 3).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PreCopy {
    /// M: the guest's memory; above 0.
    pub memory: Bytes,
    /// B: what the move gets of the link; above 0.
    pub bandwidth: ByteRate,
    /// h: what may be left for the last round; above 0.
    pub threshold: Bytes,
    /// N: most rounds, the last with the guest stopped included; above 1.
    pub most_rounds: u32,
}

/// What the rounds come to.
#[derive(Clone, Debug, PartialEq)]
pub struct Rounds {
    /// t_i: seconds of each round; the last with the guest stopped.
    pub times_s: Vec<f64>,
    /// R = T_c B / M: all that is sent over the memory there is (eq. 4); from
    /// 1 up.
    pub redundancy: f64,
}

impl Rounds {
    /// n: number of rounds (eq. 2).
    pub fn count(&self) -> usize {
        self.times_s.len()
    }

    /// T_c = sum t_i, seconds (eq. 3).
    pub fn copy_time_s(&self) -> f64 {
        self.times_s.iter().sum()
    }

    /// t_n: seconds that the last round keeps the guest stopped.
    pub fn downtime_s(&self) -> f64 {
        self.times_s.last().copied().unwrap_or(0.0)
    }
}

impl PreCopy {
    /// Xen's settings as `jin2011` gives them: N = 30 rounds, h = 256 KiB.
    pub const fn xen(memory: Bytes, bandwidth: ByteRate) -> Self {
        Self {
            memory,
            bandwidth,
            threshold: Bytes(256 << 10),
            most_rounds: 30,
        }
    }

    /// The rounds of a guest that dirties `dirty_rate(i)` in round i, from 1
    /// (eq. 1-4): t_1 = M / B, t_i = p_(i-1) t_(i-1) / B, until p_i t_i is at
    /// most h or N rounds are done. Where a round would dirty more than all
    /// memory, it dirties all of it: the worst last round takes M / B, as
    /// section 3 has it.
    pub fn rounds(&self, mut dirty_rate: impl FnMut(u32) -> ByteRate) -> Rounds {
        let (memory, bandwidth) = (self.memory.0 as f64, self.bandwidth.0);
        let mut times_s = vec![memory / bandwidth];
        for round in 1..self.most_rounds.max(1) {
            let time = times_s[times_s.len() - 1];
            let dirtied = (dirty_rate(round).0.max(0.0) * time).min(memory);
            times_s.push(dirtied / bandwidth);
            if dirtied <= self.threshold.0 as f64 {
                break;
            }
        }
        let redundancy = times_s.iter().sum::<f64>() * bandwidth / memory;
        Rounds {
            times_s,
            redundancy,
        }
    }

    /// The *migration barrier*: the greatest constant dirty rate with which
    /// the rounds reach the threshold, (h / M)^(1 / (N - 1)) B (eq. 5). Beyond
    /// it the downtime explodes.
    pub fn barrier(&self) -> ByteRate {
        let left = (self.threshold / self.memory).0;
        let rounds = f64::from(self.most_rounds.max(2) - 1);
        self.bandwidth * Ratio(left.powf(1.0 / rounds))
    }
}

/// Instructions that a guest executes in `time` using a share `used` of a CPU
/// that executes `frequency` a second: I = F U T (eq. 6).
pub fn instructions(frequency: f64, used: Ratio, time: Duration) -> f64 {
    frequency * used.0 * time.as_secs_f64()
}

/// A move as eq. 7 sees it: how much CPU the guest used, and for how long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Method {
    /// U: the guest's average CPU use during the move, 0..1.
    pub used: Ratio,
    /// T: the move's total time.
    pub time: Duration,
}

/// Work lost by the second way to move against the first, in seconds of a CPU:
/// U_1 T_1 - U_2 T_2 - U_des (T_1 - T_2) (eq. 7 over F), where `destination`
/// is the use that the guest has once it arrived. Times the instructions a
/// second it is I_L; negative where work was gained.
pub fn efficiency_loss_s(first: Method, second: Method, destination: Ratio) -> f64 {
    let work = |method: Method| instructions(1.0, method.used, method.time);
    let later = first.time.as_secs_f64() - second.time.as_secs_f64();
    work(first) - work(second) - destination.0 * later
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fig2() -> PreCopy {
        PreCopy::xen(Bytes::from_mib(800), ByteRate::from_mbit_per_s(200.0))
    }

    #[test]
    fn the_migration_barrier_of_figure_2() {
        let barrier = fig2().barrier();
        assert!((barrier.mbit_per_s() - 151.41).abs() < 0.005, "{barrier:?}");
        // At the barrier the last round sends the threshold, beyond it more and more.
        let downtime = |mbit: f64| {
            fig2()
                .rounds(|_| ByteRate::from_mbit_per_s(mbit))
                .downtime_s()
        };
        let at = downtime(barrier.mbit_per_s());
        assert!((at - 262_144.0 / 25e6).abs() < 1e-4, "{at}");
        assert!(downtime(151.0) <= at + 1e-9);
        // 33.55 s of memory, times 0.8^29 and 0.9^29.
        assert!((downtime(160.0) - 0.0519).abs() < 1e-4);
        assert!((downtime(180.0) - 1.580).abs() < 1e-3);
        // As fast as the link: all memory with the guest stopped, in 30 rounds.
        let failed = fig2().rounds(|_| ByteRate::from_mbit_per_s(200.0));
        let all = 800.0 * 1_048_576.0 / 25e6;
        assert!((failed.downtime_s() - all).abs() < 1e-9);
        assert_eq!((failed.count(), failed.redundancy.round()), (30, 30.0));
        // Nor does it get worse.
        let worse = fig2().rounds(|_| ByteRate::from_mbit_per_s(4798.0));
        assert_eq!(worse, failed);
    }

    #[test]
    fn efficiency_loss_of_the_published_move() {
        let method = |used, s| Method {
            used: Ratio(used),
            time: Duration::from_secs_f64(s),
        };
        let lost = efficiency_loss_s(method(0.99, 42.968), method(0.94, 43.986), Ratio(0.99));
        assert!((lost - 2.2).abs() < 0.005, "{lost}");
        assert_eq!(instructions(2e9, Ratio(0.5), Duration::from_secs(3)), 3e9);
        // Against no move at all it is the loss of the move itself.
        let alone = efficiency_loss_s(method(0.9, 10.0), method(0.0, 0.0), Ratio(0.9));
        assert!(alone.abs() < 1e-9);
    }

    #[test]
    fn rounds_follow_each_rate() {
        // 100 MB at 10 MB/s: 10 s, then 50 MB, then 10 MB, then 0.
        let precopy = PreCopy {
            memory: Bytes(100_000_000),
            bandwidth: ByteRate(10e6),
            threshold: Bytes(1000),
            most_rounds: 30,
        };
        let rates = [5e6, 2e6, 0.0];
        let found = precopy.rounds(|round| ByteRate(rates[round as usize - 1]));
        assert_eq!(found.times_s, [10.0, 5.0, 1.0, 0.0]);
        assert_eq!((found.copy_time_s(), found.redundancy), (16.0, 1.6));
    }

    proptest! {
        /// Below the barrier the last round is no longer than h / B; above, longer.
        #[test]
        fn the_barrier_parts_short_downtimes_from_long(
            mib in 64u64..65_536, mbit in 100f64..10_000.0, share in 0.5f64..1.5,
        ) {
            let precopy = PreCopy::xen(Bytes::from_mib(mib), ByteRate::from_mbit_per_s(mbit));
            prop_assume!((share - 1.0).abs() > 1e-6);
            let rate = precopy.barrier() * Ratio(share);
            let found = precopy.rounds(|_| rate);
            let short = precopy.threshold.0 as f64 / precopy.bandwidth.0;
            prop_assert_eq!(found.downtime_s() <= short, share < 1.0);
            prop_assert!(found.redundancy >= 1.0 && found.count() <= 30);
        }
    }
}
