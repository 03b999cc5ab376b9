//! What else administrators ask: moves within a downtime promised, and whether
//! a consolidation pays.

use vmferry_core::{Interval, Millis};
use vmferry_model::SUFFICIENT_PROBABILITY;
use vmferry_model::schedule::{
    Consolidation, EnergyModel, LIU2011_ENERGY, Profile, Sla, StartTime, TimeCost,
};

use super::HostOff;
use super::report::{BestStart, ConsolidationAnswer, SlaAnswer, SlaTime};

/// How many moves fit into a downtime promised, hour by hour.
pub(super) fn sla_answer(sla: Sla, counts_degraded: bool, hours: &Profile) -> SlaAnswer {
    let time = |cost: &TimeCost| -> Option<SlaTime> {
        let pause = cost.downtime_ms?.of_moves_to_come();
        let each = if counts_degraded {
            let total = cost.total_time_ms?.of_moves_to_come();
            // The pause may end after the source has done.
            Interval {
                p5: Millis(total.p5.0.max(pause.p5.0)),
                p50: Millis(total.p50.0.max(pause.p50.0)),
                p95: Millis(total.p95.0.max(pause.p95.0)),
            }
        } else {
            pause
        };
        Some(SlaTime {
            from: cost.from.clone(),
            converges_probability: cost.converges_probability.p50,
            each_ms: each,
            median_moves: sla.moves(each.p50),
            costly_moves: sla.moves(each.p95),
        })
    };
    let hours: Vec<SlaTime> = hours.parts().iter().flatten().filter_map(time).collect();
    let sure = hours
        .iter()
        .filter(|hour| hour.converges_probability >= SUFFICIENT_PROBABILITY);
    SlaAnswer {
        sla,
        counts_degraded,
        best: sure
            .min_by(|a, b| a.each_ms.p95.0.total_cmp(&b.each_ms.p95.0))
            .cloned(),
        hours,
    }
}

/// How long a host has to stay off.
pub(super) fn consolidation(
    off: HostOff,
    best: Option<&BestStart>,
    now: Option<&StartTime>,
    notes: &mut Vec<String>,
) -> ConsolidationAnswer {
    let plan = Consolidation {
        guests: off.guests,
        host_power: off.host_power,
        boot_energy: off.boot_energy,
        moving: off.move_power.map_or(LIU2011_ENERGY, EnergyModel::Power),
    };
    notes.push(
        "Break-even: every guest moves away and back, each move costs the same, and the other hosts need no more power than before."
            .to_owned(),
    );
    if off.move_power.is_none() {
        notes.push(
            "A move takes 0.512 J per MB sent and 20.165 J beside (liu2011, fitted to its own two hosts; MB read as 10^6 bytes); give --move-power for yours."
                .to_owned(),
        );
    }
    if off.boot_energy.0 == 0.0 {
        notes.push(
            "Switching the host off and on was taken to cost nothing; give --boot-energy."
                .to_owned(),
        );
    }
    let at = |cost: Option<&TimeCost>| cost.and_then(|cost| plan.break_even(cost));
    ConsolidationAnswer {
        guests: off.guests,
        host_power_w: off.host_power,
        boot_energy_j: off.boot_energy,
        move_power_w: off.move_power,
        at_best: at(best.map(|best| &best.cost)),
        at_now: at(now.and_then(|now| now.cost.as_ref())),
    }
}
