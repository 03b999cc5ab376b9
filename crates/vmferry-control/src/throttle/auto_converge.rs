//! QEMU's own auto-converge, for comparison.

use std::time::Duration;

use vmferry_core::{Bytes, Ratio};

use super::governor::{Controller, Wish};
use super::look::Look;

/// `migration_trigger_throttle` of QEMU 10 as it is (`migration/ram.c`): a
/// period is at least a second and ends with a look at the dirty log; where it
/// dirtied more than half of what it sent, for the second time, every virtual
/// CPU is slowed down by 20 %, then by 10 points more, up to 99 %. Never
/// lowered before the end.
///
/// Left out: the looks that a running throttle forces every five seconds within
/// the first pass since 9.2.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AutoConverge {
    /// `throttle-trigger-threshold`.
    pub trigger: Ratio,
    /// `cpu-throttle-initial`.
    pub initial: Ratio,
    /// `cpu-throttle-increment`.
    pub increment: Ratio,
    /// `max-cpu-throttle`.
    pub most: Ratio,
    throttle: Ratio,
    high_periods: u32,
    period: Period,
    seen: u64,
}

/// What was counted since the last period ended.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Period {
    length: Duration,
    sent: Bytes,
    dirtied: Bytes,
}

impl Default for AutoConverge {
    /// QEMU's defaults: 50 %, 20 %, 10 %, 99 %.
    fn default() -> Self {
        Self {
            trigger: Ratio(0.5),
            initial: Ratio(0.2),
            increment: Ratio(0.1),
            most: Ratio(0.99),
            throttle: Ratio(0.0),
            high_periods: 0,
            period: Period::default(),
            seen: 0,
        }
    }
}

impl AutoConverge {
    fn period_over(&mut self) {
        let period = std::mem::take(&mut self.period);
        if (period.dirtied.0 as f64) <= period.sent.0 as f64 * self.trigger.0 {
            return;
        }
        self.high_periods += 1;
        if self.high_periods < 2 {
            return;
        }
        self.high_periods = 0;
        let next = if self.throttle.0 > 0.0 {
            self.throttle.0 + self.increment.0
        } else {
            self.initial.0
        };
        self.throttle = Ratio(next.min(self.most.0));
    }
}

impl Controller for AutoConverge {
    fn decide(&mut self, look: &Look, _: Duration) -> Wish {
        if let Some(round) = look.last_round.filter(|round| round.number > self.seen) {
            self.seen = round.number;
            self.period.length += round.length;
            self.period.sent += round.sent;
            self.period.dirtied += round.dirtied;
            if self.period.length > Duration::from_secs(1) {
                self.period_over();
            }
        }
        Wish {
            share: Ratio(1.0 - self.throttle.0),
            ..Wish::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::throttle::look::Stage;
    use vmferry_precopy::tuning::{Round, Settings};

    fn share(auto: &mut AutoConverge, number: u64, ms: u64, sent: u64, dirtied: u64) -> f64 {
        let look = Look {
            now: Duration::from_secs(number),
            stage: Stage::PreCopy,
            pass: number + 1,
            in_pass: Duration::ZERO,
            remaining: Bytes(1 << 28),
            transferred: Bytes(0),
            last_round: Some(Round {
                number,
                length: Duration::from_millis(ms),
                sent: Bytes(sent),
                skipped: Bytes(0),
                dirtied: Bytes(dirtied),
                settings: Settings::default(),
                last: false,
            }),
            in_force: Settings::default(),
        };
        let share = auto.decide(&look, Duration::ZERO).share.0;
        (share * 100.0).round()
    }

    #[test]
    fn a_step_every_second_high_period() {
        let mut auto = AutoConverge::default();
        let shares: Vec<f64> = (1..=20)
            .map(|round| share(&mut auto, round, 2000, 100, 90))
            .collect();
        assert_eq!(shares[..6], [100.0, 80.0, 80.0, 70.0, 70.0, 60.0]);
        assert_eq!(shares[17..], [1.0, 1.0, 1.0]);
    }

    #[test]
    fn short_passes_are_counted_together_and_calm_ones_not() {
        let mut auto = AutoConverge::default();
        for round in 1..=8 {
            assert_eq!(share(&mut auto, round, 250, 100, 90), 100.0);
        }
        assert_eq!(share(&mut auto, 9, 250, 100, 90), 100.0);
        assert_eq!(share(&mut auto, 10, 300, 100, 90), 80.0);
        for round in 11..20 {
            assert_eq!(share(&mut auto, round, 2000, 100, 40), 80.0);
        }
    }
}
