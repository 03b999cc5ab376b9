//! Whether it pays to empty a host and switch it off.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vmferry_core::{Interval, Joules, Millis, Watts};

use super::profile::TimeCost;

/// What a move takes of energy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum EnergyModel {
    /// In proportion to what is sent (`liu2011` eq. 14-17).
    Traffic {
        /// Joules per megabyte (10^6 bytes) of the stream.
        per_megabyte: f64,
        /// Joules of every move beside.
        per_move: Joules,
    },
    /// This power for as long as a move lasts, both hosts together.
    Power(Watts),
}

/// `E[J] = 0.512 V_mig[MB] + 20.165`, as `liu2011` fitted it to its own pair of
/// hosts (R^2 0.993). Other hosts have other constants; its claim is an error
/// below 10 %.
pub const LIU2011_ENERGY: EnergyModel = EnergyModel::Traffic {
    per_megabyte: 0.512,
    per_move: Joules(20.165),
};

/// A host is emptied, switched off, switched on, and filled again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Consolidation {
    /// Guests that have to leave it, all like this one; above 0.
    pub guests: u32,
    /// Power saved while it is off.
    pub host_power: Watts,
    /// What it takes to switch it off and on again.
    pub boot_energy: Joules,
    /// What a move takes.
    pub moving: EnergyModel,
}

/// How long a host has to stay off for its guests' moves to pay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BreakEven {
    /// Moves: every guest away and back.
    pub moves: u32,
    /// What one move takes.
    pub move_energy_j: Interval<Joules>,
    /// What all moves and the boot take.
    pub energy_j: Interval<Joules>,
    /// Least time the host has to stay off.
    pub off_ms: Interval<Millis>,
    /// Time that the moves take, one after another; the host is on meanwhile.
    pub moving_ms: Interval<Millis>,
}

impl Consolidation {
    /// The break-even for moves that cost as at a time of day. The interval is
    /// that of a move to come ([`CostOf::of_moves_to_come`]), as if all of them
    /// erred together: it is wide rather than narrow. `None` where moves do not
    /// converge.
    ///
    /// [`CostOf::of_moves_to_come`]: super::CostOf::of_moves_to_come
    pub fn break_even(&self, cost: &TimeCost) -> Option<BreakEven> {
        let total = cost.total_time_ms?.of_moves_to_come();
        let transferred = cost.transferred_bytes?.of_moves_to_come();
        let moves = self.guests.saturating_mul(2);
        let each = match self.moving {
            EnergyModel::Traffic {
                per_megabyte,
                per_move,
            } => transferred.map(|sent| Joules(per_megabyte * sent.0 as f64 / 1e6) + per_move),
            EnergyModel::Power(power) => total.map(|total| power * total.duration()),
        };
        let energy = each.map(|joules| joules * f64::from(moves) + self.boot_energy);
        let off = |joules: Joules| -> Duration { joules / self.host_power };
        Some(BreakEven {
            moves,
            move_energy_j: each,
            energy_j: energy,
            off_ms: energy.map(|joules| off(joules).into()),
            moving_ms: total.map(|total| Millis(total.0 * f64::from(moves))),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::CostOf;
    use vmferry_core::Bytes;

    fn cost(mb: [u64; 3], seconds: [f64; 3]) -> TimeCost {
        let interval = |[p5, p50, p95]: [f64; 3]| Interval { p5, p50, p95 };
        let of = |i: Interval<f64>| CostOf {
            expected: i.p50,
            expected_interval: None,
            one_move: i,
        };
        TimeCost {
            from: "03:00".into(),
            days: 1,
            replays: 1,
            moves: 0,
            converges_probability: interval([0.9, 1.0, 1.0]),
            total_time_ms: Some(of(interval(seconds)).map(|s| Millis(s * 1e3))),
            downtime_ms: None,
            transferred_bytes: Some(
                of(interval(mb.map(|mb| mb as f64))).map(|mb| Bytes(mb as u64 * 1_000_000)),
            ),
        }
    }

    #[test]
    fn break_even_by_hand() {
        let plan = Consolidation {
            guests: 5,
            host_power: Watts(180.0),
            boot_energy: Joules(30_000.0),
            moving: LIU2011_ENERGY,
        };
        let cost = cost([500, 1000, 2000], [10.0, 20.0, 40.0]);
        let found = plan.break_even(&cost).unwrap();
        // 0.512 x 1000 + 20.165 = 532.165 J a move, ten moves, and the boot.
        assert_eq!(found.moves, 10);
        assert!((found.move_energy_j.p50.0 - 532.165).abs() < 1e-9);
        assert!((found.energy_j.p50.0 - 35_321.65).abs() < 1e-6);
        // Over 180 W: 196.2 s.
        assert!((found.off_ms.p50.0 / 1e3 - 196.231_388).abs() < 1e-3);
        assert!((found.off_ms.p5.0 / 1e3 - (10.0 * 276.165 + 30e3) / 180.0).abs() < 1e-3);
        assert!((found.off_ms.p95.0 / 1e3 - (10.0 * 1044.165 + 30e3) / 180.0).abs() < 1e-3);
        assert_eq!(found.moving_ms.p50, Millis(200_000.0));

        // 20 W for 20 s are 400 J.
        let powered = Consolidation {
            moving: EnergyModel::Power(Watts(20.0)),
            boot_energy: Joules(0.0),
            ..plan
        };
        let found = powered.break_even(&cost).unwrap();
        assert!((found.off_ms.p50.0 - 4000.0 / 180.0 * 1e3).abs() < 1e-3);
    }

    #[test]
    fn few_days_widen_the_break_even() {
        let plan = Consolidation {
            guests: 5,
            host_power: Watts(180.0),
            boot_energy: Joules(30_000.0),
            moving: LIU2011_ENERGY,
        };
        let mut cost = cost([500, 1000, 2000], [10.0, 20.0, 40.0]);
        let sent = cost.transferred_bytes.as_mut().unwrap();
        // Days tell the expectation less well above than one move spreads, and
        // better below.
        sent.expected_interval = Some(Interval {
            p5: 800,
            p50: 1200,
            p95: 4000,
        })
        .map(|i| i.map(|mb| Bytes(mb * 1_000_000)));
        let found = plan.break_even(&cost).unwrap();
        let off = |mb: f64| (10.0 * (0.512 * mb + 20.165) + 30e3) / 180.0;
        assert!((found.off_ms.p5.0 / 1e3 - off(500.0)).abs() < 1e-3);
        assert!((found.off_ms.p50.0 / 1e3 - off(1000.0)).abs() < 1e-3);
        assert!((found.off_ms.p95.0 / 1e3 - off(4000.0)).abs() < 1e-3);
        assert_eq!(found.moving_ms.p95, Millis(400_000.0));
        // The other way round.
        let total = cost.total_time_ms.as_mut().unwrap();
        total.expected_interval = Some(Interval {
            p5: Millis(2e3),
            p50: Millis(20e3),
            p95: Millis(30e3),
        });
        let found = plan.break_even(&cost).unwrap();
        assert_eq!(found.moving_ms.p5, Millis(20_000.0));
        assert_eq!(found.moving_ms.p95, Millis(400_000.0));
    }

    #[test]
    fn moves_that_never_end_pay_nothing_back() {
        let mut cost = cost([1; 3], [1.0; 3]);
        cost.total_time_ms = None;
        let plan = Consolidation {
            guests: 1,
            host_power: Watts(1.0),
            boot_energy: Joules(0.0),
            moving: LIU2011_ENERGY,
        };
        assert_eq!(plan.break_even(&cost), None);
    }
}
