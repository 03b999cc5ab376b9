//! What the trials say, beside what the paper claims.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::json;
use vmferry::choosing::HOST_BUDGET;
use vmferry::core::{Bytes, SCHEMA_VERSION};
use vmferry::model::choice::Terms;

use crate::policy::Policy;
use crate::real::{Real, energy};
use crate::record::{Moved, Records, Round};
use crate::{Fault, guests, site};

/// What the paper saves against choosing at random (`liu2011` section 5.4), and
/// least savings that were promised here: total time, downtime, traffic, energy.
const PAPER: [f64; 4] = [0.729, 0.935, 0.745, 0.736];
const QUANTITIES: [&str; 4] = ["total time", "downtime", "traffic", "energy by eq. 17"];
/// Trials of 20 in which the guest chosen was to be the one really best.
const BEST_OF_20: f64 = 19.0;

/// All trials of one policy.
#[derive(Clone, Debug, Serialize)]
struct Totals {
    policy: &'static str,
    trials: usize,
    total_time_s: f64,
    downtime_s: f64,
    traffic_mb: f64,
    energy_j: f64,
    /// Trials in which it chose the guest that is really the cheapest.
    best: usize,
    /// What its choices really cost beyond the cheapest, on a scale of 0..1; mean.
    regret: f64,
}

impl Totals {
    fn of(policy: Policy, rounds: &[Round], real: &Real) -> Result<Self, Fault> {
        let moves: Vec<&Moved> = rounds
            .iter()
            .flat_map(|round| &round.trials)
            .filter(|(made, _)| *made == policy)
            .map(|(_, moved)| moved)
            .collect();
        let best = real.best().ok_or("nothing was moved")?;
        let cost = |name: &str| real.cost(name).map_or(f64::NAN, |ranked| ranked.cost);
        let sum = |of: fn(&Moved) -> f64| moves.iter().map(|moved| of(moved)).sum::<f64>();
        let regrets = moves.iter().map(|moved| cost(&moved.guest) - cost(best));
        Ok(Self {
            policy: policy.title(),
            trials: moves.len(),
            total_time_s: sum(|moved| moved.total_time_ms.0 / 1e3),
            downtime_s: sum(|moved| moved.downtime_ms.0 / 1e3),
            traffic_mb: sum(|moved| moved.transferred_bytes.0 as f64 / 1e6),
            energy_j: sum(|moved| energy(moved.transferred_bytes).0),
            best: moves.iter().filter(|moved| moved.guest == best).count(),
            regret: regrets.sum::<f64>() / moves.len() as f64,
        })
    }

    const fn quantities(&self) -> [f64; 4] {
        [
            self.total_time_s,
            self.downtime_s,
            self.traffic_mb,
            self.energy_j,
        ]
    }

    /// Savings of this policy against another.
    fn saved(&self, against: &Self) -> [f64; 4] {
        let (of, other) = (self.quantities(), against.quantities());
        std::array::from_fn(|i| 1.0 - of[i] / other[i])
    }
}

/// A bar of the drawing.
#[derive(Clone, Debug)]
pub(crate) struct Cost {
    pub(crate) guest: String,
    /// By the forecasts, mean over the rounds; `None` where none was made.
    pub(crate) forecast: Option<Terms>,
    /// By the moves that were made.
    pub(crate) real: Terms,
}

pub(crate) struct Report<'a> {
    records: &'a Records,
    real: Real,
    totals: Vec<Totals>,
}

impl<'a> Report<'a> {
    pub(crate) fn of(records: &'a Records) -> Result<Self, Fault> {
        let real = Real::of(records)?;
        let of = |policy| Totals::of(policy, &records.rounds, &real);
        let totals = Policy::ALL.into_iter().map(of).collect::<Result<_, _>>()?;
        Ok(Self {
            totals,
            real,
            records,
        })
    }

    fn guided(&self) -> &Totals {
        &self.totals[Policy::Guided as usize]
    }

    fn random(&self) -> &Totals {
        &self.totals[Policy::Random as usize]
    }

    /// Shares of a core that observing all guests took, sorted.
    fn observing(&self) -> Vec<f64> {
        let shares = self.records.rounds.iter();
        let mut shares: Vec<f64> = shares
            .map(|round| round.choice.observing_core_share.0)
            .collect();
        shares.sort_by(f64::total_cmp);
        shares
    }

    pub(crate) fn costs(&self) -> Vec<Cost> {
        let real = &self.real;
        real.ranking
            .ranked
            .iter()
            .map(|ranked| {
                let name = &real.guests[ranked.index].name;
                let said: Vec<Terms> = self
                    .records
                    .rounds
                    .iter()
                    .flat_map(|round| &round.choice.guests)
                    .filter(|guest| guest.name == *name && guest.cost.is_some())
                    .filter_map(|guest| real.parts_forecast(guest))
                    .collect();
                let sum = said
                    .iter()
                    .fold(Terms::default(), |sum, parts| sum + *parts);
                let count = said.len() as f64;
                Cost {
                    guest: name.clone(),
                    forecast: (!said.is_empty()).then(|| Terms::each(|term| sum.of(term) / count)),
                    real: ranked.parts,
                }
            })
            .collect()
    }

    pub(crate) fn markdown(&self) -> String {
        let mut out = String::new();
        let rounds = self.records.rounds.len();
        let _ = writeln!(
            out,
            "# Choosing what to move, on real QEMU\n\n\
             {rounds} rounds on QEMU under TCG over a link of {}, made and reported by `cargo xtask bench choose`: the experiment of `liu2011` section 5.4. \
             In every round `choose` observes all eight guests at once for {:?} within {} of a core; then each way of choosing names a guest by that same look, and the guest is moved for real and started again. \
             Moves begin with a downtime limit of {:?}; one that has not converged after {:?} gets a limit that ends it, as Xen ends every move and operators do step by step.\n",
            site::LINK,
            site::WINDOW,
            HOST_BUDGET,
            site::LIMIT,
            site::RAISED_AFTER,
        );
        self.verdicts(&mut out);
        self.policies(&mut out);
        self.guests(&mut out);
        self.trials(&mut out);
        out
    }

    fn verdicts(&self, out: &mut String) {
        let (guided, random) = (self.guided(), self.random());
        let saved = guided.saved(random);
        out.push_str("## Against choosing at random\n\n| | saved here | saved in the paper | |\n|---|---|---|---|\n");
        for ((name, saved), paper) in QUANTITIES.iter().zip(saved).zip(PAPER) {
            let _ = writeln!(
                out,
                "| {name} | {:.1} % | {:.1} % | {} |",
                saved * 100.0,
                paper * 100.0,
                met(saved >= paper)
            );
        }
        let wanted = BEST_OF_20 / 20.0;
        let share = guided.best as f64 / guided.trials as f64;
        let _ = writeln!(
            out,
            "\nThe guest really best was chosen in {} of {} trials ({}; asked for: {:.0} of 20). \
             Regret against it: {:.4} on the scale of costs from 0 to 1, {:.1} % of what it costs.",
            guided.best,
            guided.trials,
            met(share >= wanted),
            BEST_OF_20,
            guided.regret,
            100.0 * guided.regret / self.best_cost(),
        );
        for policy in [Policy::Smallest, Policy::Quietest] {
            let other = &self.totals[policy as usize];
            let saved = guided.saved(other);
            let _ = writeln!(
                out,
                "\nAgainst {}: total time {:.1} %, downtime {:.1} %, traffic {:.1} % saved ({}).",
                other.policy,
                saved[0] * 100.0,
                saved[1] * 100.0,
                saved[2] * 100.0,
                met(guided.regret < other.regret),
            );
        }
        let observing = self.observing();
        let at = |q: f64| observing[((observing.len() - 1) as f64 * q).round() as usize] * 100.0;
        let _ = writeln!(
            out,
            "\nObserving all eight guests took {:.2} % of a core in the median, {:.2} % at most ({}; asked for: 4 %), by the observers' own clocks; `cargo xtask bench choose --observe` measures it by the whole process.\n",
            at(0.5),
            at(1.0),
            met(at(1.0) <= 4.0)
        );
    }

    fn best_cost(&self) -> f64 {
        let best = self.real.ranking.ranked.first();
        best.map_or(f64::NAN, |ranked| ranked.cost)
    }

    fn policies(&self, out: &mut String) {
        out.push_str("## All trials of each way of choosing\n\n| | trials | total time | downtime | traffic | energy by eq. 17 | really best | mean regret |\n|---|---|---|---|---|---|---|---|\n");
        for totals in &self.totals {
            let _ = writeln!(
                out,
                "| {} | {} | {:.1} s | {:.2} s | {:.0} MB | {:.0} J | {} | {:.3} |",
                totals.policy,
                totals.trials,
                totals.total_time_s,
                totals.downtime_s,
                totals.traffic_mb,
                totals.energy_j,
                totals.best,
                totals.regret
            );
        }
    }

    fn guests(&self, out: &mut String) {
        out.push_str("\n## What every guest really costs\n\nMeans over all its moves, ranked by a cost with a third each for downtime, total time and traffic. ![costs](costs.svg)\n\n| guest | load | memory | CPU | dirty rate | moves | total time | downtime | traffic | cost |\n|---|---|---|---|---|---|---|---|---|---|\n");
        let last = &self.records.rounds[self.records.rounds.len() - 1].choice;
        for ranked in &self.real.ranking.ranked {
            let profile = &self.real.guests[ranked.index];
            let Some(cost) = &profile.cost else {
                continue;
            };
            let load = guests::GUESTS
                .iter()
                .find(|(name, ..)| *name == profile.name);
            let seen = last.guests.iter().find(|guest| guest.name == profile.name);
            let _ = writeln!(
                out,
                "| {} | `{}` | {} | {} | {} | {} | {} | {} | {:.0} MB | {:.3} |",
                profile.name,
                load.map_or("", |(.., load)| load),
                seen.and_then(|s| s.memory_bytes).unwrap_or_default(),
                seen.and_then(|s| s.cpu_cores)
                    .map_or_else(|| "-".to_owned(), |cpu| cpu.to_string()),
                seen.and_then(|s| s.dirty_rate_1s_bytes_per_s)
                    .map_or_else(|| "-".to_owned(), |rate| format!("{:.1} MB/s", rate / 1e6)),
                self.real.moves[ranked.index],
                cost.total_time,
                cost.downtime,
                mega(cost.transferred),
                ranked.cost
            );
        }
    }

    fn trials(&self, out: &mut String) {
        out.push_str("\n## Every trial\n\nThe guest moved: total time, downtime, traffic.\n\n|");
        for policy in Policy::ALL {
            let _ = write!(out, " {} |", policy.title());
        }
        out.push_str("\n|---|---|---|---|\n");
        for round in &self.records.rounds {
            out.push('|');
            for (_, moved) in &round.trials {
                let _ = write!(
                    out,
                    " {}: {}, {}, {:.0} MB |",
                    moved.guest,
                    moved.total_time_ms,
                    moved.downtime_ms,
                    mega(moved.transferred_bytes)
                );
            }
            out.push('\n');
        }
    }

    pub(crate) fn json(&self) -> Result<String, Fault> {
        let saved = self.guided().saved(self.random());
        let named = |values: [f64; 4]| {
            json!({
                "total_time": values[0],
                "downtime": values[1],
                "traffic": values[2],
                "energy": values[3],
            })
        };
        let guests: Vec<_> = self
            .real
            .ranking
            .ranked
            .iter()
            .map(|ranked| {
                let profile = &self.real.guests[ranked.index];
                json!({
                    "guest": profile.name,
                    "kind": guests::kind(&profile.name),
                    "moves": self.real.moves[ranked.index],
                    "mean": profile.cost,
                    "cost": ranked.cost,
                })
            })
            .collect();
        let rounds: Vec<_> = self
            .records
            .rounds
            .iter()
            .map(|round| {
                json!({
                    "observing_core_share": round.choice.observing_core_share,
                    "forecasts": round.choice.guests,
                    "trials": round.trials,
                })
            })
            .collect();
        let document = json!({
            "schema_version": SCHEMA_VERSION,
            "link_bytes_per_s": site::LINK.0,
            "saved_against_random": named(saved),
            "saved_in_the_paper": named(PAPER),
            "policies": self.totals,
            "guests": guests,
            "references": self.records.references,
            "rounds": rounds,
        });
        Ok(serde_json::to_string_pretty(&document)? + "\n")
    }
}

fn mega(bytes: Bytes) -> f64 {
    bytes.0 as f64 / 1e6
}

const fn met(is: bool) -> &'static str {
    if is { "met" } else { "**missed**" }
}
