//! Ranks, chooses, and says why.

use vmferry_core::{Bytes, Joules, Millis, Ratio};
use vmferry_model::choice::{self, Choice, Demand, MoveCost, Pick, Ranking, Term, Weights};

use super::berths::{self, Harbour};
use super::candidate::Candidate;
use super::found::Skipped;
use super::report::{
    ChoiceReport, ChooseReport, DestinationReport, ForecastChangeReport, OptionReport,
    WeightChangeReport,
};
use super::{ChooseOptions, Chosen, Ready, forecasting};
use crate::Error;
use crate::document::Versions;
use crate::measure::describe;

/// Ranks, chooses, and gives everyone chosen a hypervisor of its own. Where two
/// want the same one, one of them goes to another host that takes it, else the
/// dearer is left out; and the choice is made again.
///
/// # Errors
/// Of weights or a demand that make no sense, and of the model.
pub(super) async fn decide(
    mut guests: Vec<Candidate>,
    harbours: &[Harbour],
    options: &ChooseOptions,
    skipped: Vec<Skipped>,
    core_share: Ratio,
) -> Result<Chosen, Error> {
    let mut notes = Vec::new();
    let (ranking, choice, destinations) = loop {
        let (weights, note) = counted(&guests, options.weights);
        let profiles: Vec<_> = guests.iter().map(Candidate::profile).collect();
        let ranking = choice::rank(&profiles, weights)?;
        let choice = choice::choose(&profiles, &ranking, options.demand, options.worth.as_ref())?;
        match berths::assign(&choice.pick.members, &guests) {
            Ok(destinations) => {
                notes.extend(note);
                break (ranking, choice, destinations);
            }
            Err(late) => {
                let Some(turned) = berths::who_gives_way(&choice.pick.members, &guests, late)
                else {
                    guests[late].lack = Some(
                        "every destination that takes it is taken by a cheaper guest; start one more with -incoming defer"
                            .to_owned(),
                    );
                    continue;
                };
                let guest = &mut guests[turned];
                match berths::turn(guest, harbours, &options.limits).await {
                    Ok(()) => {
                        forecasting::one(guest, harbours, options).await?;
                    }
                    Err(why) => tracing::debug!(guest.name, why, "goes nowhere else"),
                }
            }
        }
    };
    if options.demand == Demand::Count(1) && ranking.ranked.len() == 1 {
        notes.push("Only one guest may move, so that there is nothing to compare it with.".into());
    }
    if matches!(options.demand, Demand::Cpu(_)) && guests.iter().any(|g| g.profile().cpu.is_none())
    {
        notes.push("Guests whose processor time cannot be seen free none by this count.".into());
    }
    let ready = choice
        .pick
        .members
        .iter()
        .zip(destinations)
        .filter_map(|(place, destination)| {
            let guest = &guests[*place];
            let harbour = &harbours[guest.berth.as_ref()?.host];
            Some(Ready {
                name: guest.name.clone(),
                plan: berths::plan(guest, destination, harbour, &options.limits),
                observation: guest.observation.clone()?,
                link: harbour.link.clone()?,
            })
        })
        .collect();
    let order = ranking.ranked.iter().map(|ranked| ranked.index);
    let order = order.chain(ranking.excluded.iter().map(|(index, _)| *index));
    let report = ChooseReport {
        versions: Versions::default(),
        from: options.from.clone(),
        to: harbours.iter().map(destination).collect(),
        demand: options.demand,
        weights: ranking.weights,
        largest: largest(&ranking),
        worth: options.worth,
        model: options.model.clone(),
        limits: options.limits,
        options: describe(&options.observe),
        observing_core_share: core_share,
        guests: order
            .map(|place| guests[place].report(place, &ranking, &choice.pick.members))
            .collect(),
        skipped,
        choice: answer(&choice, &guests),
        moves: Vec::new(),
        notes,
    };
    Ok(Chosen { report, ready })
}

/// The weights that can count, and a note where energy cannot: it has to be known
/// of every guest that may move, and by the same meters.
fn counted(guests: &[Candidate], weights: Weights) -> (Weights, Option<String>) {
    if weights.of(Term::Energy) == 0.0 {
        return (weights, None);
    }
    let mut energies = guests
        .iter()
        .filter(|guest| guest.may_move())
        .map(|guest| guest.energy.as_ref().filter(|e| e.energy_j.is_some()));
    let Some(first) = energies.next() else {
        return (weights, None);
    };
    let meters = first.map(|energy| &energy.meters);
    let why = if first.is_none() || energies.clone().any(|energy| energy.is_none()) {
        "there is no energy profile of both hosts of every move"
    } else if energies.any(|energy| energy.map(|energy| &energy.meters) != meters) {
        "the energy profiles are of different meters, which do not compare"
    } else {
        return (weights, None);
    };
    let counted = weights.without_energy();
    let note = format!(
        "Energy has no weight, since {why}; {counted} counts instead. Between one pair of hosts energy grows with the traffic alone (liu2011 eq. 14), so that the weight of traffic stands for it."
    );
    (counted, Some(note))
}

fn destination(harbour: &Harbour) -> DestinationReport {
    DestinationReport {
        host: harbour.host.clone(),
        via: harbour.via.clone(),
        waiting: u32::try_from(harbour.waiting.len()).unwrap_or(u32::MAX),
        link: harbour.link.clone(),
    }
}

fn largest(ranking: &Ranking) -> Option<MoveCost> {
    let scale = &ranking.scale;
    (!ranking.ranked.is_empty()).then(|| MoveCost {
        downtime: Millis(scale.downtime),
        total_time: Millis(scale.time),
        transferred: Bytes(scale.traffic as u64),
        energy: (scale.energy > 0.0).then_some(Joules(scale.energy)),
    })
}

fn answer(choice: &Choice, guests: &[Candidate]) -> ChoiceReport {
    let names = |members: &[usize]| members.iter().map(|i| guests[*i].name.clone()).collect();
    let option = |pick: &Pick| OptionReport {
        guests: names(&pick.members),
        cost: pick.cost,
        parts: pick.parts,
        frees: pick.freed,
    };
    ChoiceReport {
        verdict: choice.verdict,
        option: option(&choice.pick),
        proof: choice.proof,
        runner_up: choice.runner_up.as_ref().map(option),
        weight_change: choice
            .weight_change
            .as_ref()
            .map(|change| WeightChangeReport {
                term: change.term,
                from: change.from,
                to: change.to,
                then: names(&change.then),
            }),
        forecast_change: choice.forecast_change.map(|change| ForecastChangeReport {
            term: change.term,
            from: change.from,
            to: change.to,
        }),
    }
}
