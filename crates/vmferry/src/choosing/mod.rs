//! Which guests of a host to move, where, and at what cost; and moving them.
//!
//! The flow of `liu2011` section 4: look at every guest's writes, combine that
//! with its history, set the rate, forecast, sort, migrate, and let the history
//! learn.

mod berths;
mod candidate;
mod executing;
mod found;
mod host;
mod host_uri;
mod observing;
mod pairing;
pub mod report;

use std::sync::Arc;

use vmferry_core::plan::MoveLimits;
use vmferry_core::{
    ByteRate, ExitCode, Forecast, HostInfo, Interval, Joules, Observation, Ratio, StreamUri,
};
use vmferry_measure::ObserveOptions;
use vmferry_model::choice::{
    self, Choice, Demand, MoveCost, Pick, Ranking, Term, Verdict, Weights, Worth,
};
use vmferry_precopy::tuning::AdaptiveRate;

pub use executing::{Executing, Ready, exit_code};
pub use found::Skipped;
pub use host::HostOfGuests;
pub use host_uri::{HostUri, HostUriError};
pub use observing::HOST_BUDGET;

use self::berths::Harbour;
use self::candidate::Candidate;
use self::report::{
    ChoiceReport, ChooseReport, DestinationReport, ForecastChangeReport, OptionReport,
    WeightChangeReport,
};
use crate::Error;
use crate::document::Versions;
use crate::earlier::Earlier;
use crate::measure::describe;
use crate::models::{self, Fitted};
use crate::predict::assumptions;

/// What a forecast says of the energy of both hosts; `None` where nothing is
/// known of this pair.
pub type EnergyForecast =
    Arc<dyn Fn(&HostInfo, &HostInfo, &Forecast) -> Option<Interval<Joules>> + Send + Sync>;

/// A host that guests may move to.
#[derive(Clone, Debug, PartialEq)]
pub struct DestinationHost {
    /// The host, with hypervisors that wait (`-incoming defer`).
    pub host: HostUri,
    /// Where they are to listen, one after another, as the source reaches it.
    pub via: StreamUri,
}

/// What is to be chosen, and how.
#[derive(Clone)]
pub struct ChooseOptions {
    /// The host whose guests are to move.
    pub from: HostUri,
    /// Hosts they may move to; at least one.
    pub to: Vec<DestinationHost>,
    /// What the host is to be rid of.
    pub demand: Demand,
    /// How much each quantity counts.
    pub weights: Weights,
    /// The dearest moves that would still be worth it; `None` meets the demand at
    /// any cost.
    pub worth: Option<Worth>,
    /// Name of the model, one of [`models::NAMES`].
    pub model: String,
    /// The limits of every move.
    pub limits: MoveLimits,
    /// A rate of its own for every guest, just above what it dirties (`liu2011`
    /// section 4.3); `None` leaves the rate to `limits`.
    pub rate: Option<AdaptiveRate>,
    /// The links' rate, where the operator knows it.
    pub bandwidth: Option<ByteRate>,
    /// How to observe; the budget is that of all guests together.
    pub observe: ObserveOptions,
    /// The energy of moves, where there is a profile of it.
    pub energy: Option<EnergyForecast>,
}

/// The answer, and what it takes to carry it out.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// The answer.
    pub report: ChooseReport,
    /// The moves, in order.
    pub ready: Vec<Ready>,
}

/// Looks at all guests of a host and chooses those that meet the demand at the
/// least cost. Changes nothing. `tell` hears what goes on.
///
/// # Errors
/// [`Error::Host`] where a host cannot be asked, or no guest runs on it; when a
/// link's rate is unknown; [`Error::Usage`] of weights or a demand that make no
/// sense; what kept the first guest from being forecast, where none could be.
pub async fn choose(options: &ChooseOptions, tell: impl Fn(&str)) -> Result<Chosen, Error> {
    models::describes_our_moves(&options.model)?;
    tell(&format!("looking for guests on {}", options.from));
    let found = found::on(&options.from).await?;
    let mut skipped = found.skipped;
    if found.running.is_empty() {
        return Err(no_guests(&options.from, &skipped));
    }
    skipped.extend(found.waiting.into_iter().map(|waiting| Skipped {
        monitor: waiting.info.uri.clone(),
        reason: format!("{} waits for a migration itself", waiting.info.label()),
    }));
    let names = candidate::names(&found.running);
    let mut guests: Vec<Candidate> = names
        .into_iter()
        .zip(found.running)
        .map(|(name, seen)| Candidate::new(name, seen))
        .collect();
    let mut harbours = Vec::new();
    for to in &options.to {
        let found = found::on(&to.host).await?;
        skipped.extend(found.skipped);
        harbours.push(Harbour {
            host: to.host.clone(),
            via: to.via.clone(),
            waiting: found.waiting,
            link: None,
        });
    }
    berths::measure_links(&mut harbours, &guests, options.bandwidth).await?;
    berths::find(&mut guests, &harbours, &options.limits).await;
    tell(&format!(
        "observing {} guests side by side for {:?} within {} of a core",
        guests.len(),
        options.observe.pages.window,
        options.observe.pages.budget
    ));
    let core_share = observe(&mut guests, &options.observe).await;
    forecast(&mut guests, &harbours, options).await?;
    decide(guests, &harbours, options, skipped, core_share)
}

fn no_guests(host: &HostUri, skipped: &[Skipped]) -> Error {
    let problem = match skipped {
        [] => "there is no QMP socket in it; start guests with -qmp unix:DIRECTORY/NAME,server=on,wait=off"
            .to_owned(),
        skipped => {
            let reasons: Vec<&str> = skipped.iter().map(|s| s.reason.as_str()).collect();
            format!("no guest runs behind its sockets: {}", reasons.join("; "))
        }
    };
    Error::Host {
        host: host.to_string(),
        problem,
    }
}

/// Observes every guest; returns the share of a core that took.
async fn observe(guests: &mut [Candidate], options: &ObserveOptions) -> Ratio {
    let monitors: Vec<_> = guests.iter().map(|g| g.seen.monitor.clone()).collect();
    let seen = observing::all(&monitors, options).await;
    let mut share = 0.0;
    for (guest, seen) in guests.iter_mut().zip(seen) {
        match seen {
            Ok(seen) => {
                share += seen.cost.cpu.0;
                guest.observation = Some(seen);
            }
            Err(error) => {
                guest.lack.get_or_insert_with(|| error.to_string());
            }
        }
    }
    Ratio(share)
}

/// Forecasts every guest that has a place to go to.
///
/// # Errors
/// Where the model itself is at fault; what the first guest lacked, where all of
/// them lacked something to be forecast.
async fn forecast(
    guests: &mut [Candidate],
    harbours: &[Harbour],
    options: &ChooseOptions,
) -> Result<(), Error> {
    let mut first = None;
    for guest in guests.iter_mut() {
        if let Err(error) = forecast_one(guest, harbours, options).await {
            if matches!(error, Error::Usage(_) | Error::Internal(_)) {
                return Err(error);
            }
            guest.lack.get_or_insert_with(|| error.to_string());
            first.get_or_insert(error);
        }
    }
    match first {
        Some(error) if guests.iter().all(|guest| guest.forecast.is_none()) => Err(error),
        _ => Ok(()),
    }
}

async fn forecast_one(
    guest: &mut Candidate,
    harbours: &[Harbour],
    options: &ChooseOptions,
) -> Result<(), Error> {
    let (Some(berth), Some(observation)) = (&guest.berth, &guest.observation) else {
        return Ok(());
    };
    let harbour = &harbours[berth.host];
    let waiting = harbour
        .waiting
        .iter()
        .find(|waiting| berth.monitors.first() == Some(&waiting.info.uri));
    let (Some(waiting), Some(link)) = (waiting, &harbour.link) else {
        return Ok(());
    };
    guest.max_bandwidth = options
        .rate
        .map(|rate| courteous(&rate, observation))
        .or(options.limits.max_bandwidth);
    let limits = MoveLimits {
        max_bandwidth: guest.max_bandwidth,
        ..options.limits
    };
    let (source, info) = (&guest.seen.monitor, &guest.seen.info);
    let end = crate::link::RouteEnd {
        destination: &waiting.monitor,
        via: &harbour.via,
    };
    let earlier = Earlier::of(info, Some(end.route_from(source)), &options.model).await;
    let assumptions = assumptions(source, info, &earlier).await?;
    let model = Fitted::new(&options.model, &earlier, info)?;
    let made = model
        .forecast(&assumptions, observation, link, &limits)
        .await?;
    let (from, to) = (source.host_info(), waiting.monitor.host_info());
    guest.energy = options.energy.as_ref().and_then(|of| of(&from, &to, &made));
    guest.forecast = Some(made);
    Ok(())
}

/// R = D + delta within a least and a most (`liu2011` section 4.3), for the whole
/// move by what was dirtied within a second.
fn courteous(rate: &AdaptiveRate, observation: &Observation) -> ByteRate {
    let dirty = observation.summary().dirty_rate_1s_bytes_per_s;
    let wanted = dirty + rate.delta.0;
    ByteRate(wanted.min(rate.most.0).max(rate.least.0))
}

/// Ranks, chooses, and gives everyone chosen a hypervisor of its own. Where two
/// want the same one, the dearer is left out and the choice made again.
fn decide(
    mut guests: Vec<Candidate>,
    harbours: &[Harbour],
    options: &ChooseOptions,
    skipped: Vec<Skipped>,
    core_share: Ratio,
) -> Result<Chosen, Error> {
    let mut notes = Vec::new();
    let weights = counted(&guests, options.weights, &mut notes);
    let (ranking, choice, destinations) = loop {
        let profiles: Vec<_> = guests.iter().map(Candidate::profile).collect();
        let ranking = choice::rank(&profiles, weights)?;
        let choice = choice::choose(&profiles, &ranking, options.demand, options.worth.as_ref())?;
        match berths::assign(&choice.pick.members, &guests) {
            Ok(destinations) => break (ranking, choice, destinations),
            Err(place) => {
                guests[place].lack = Some(
                    "the only destination that takes it is taken by a cheaper guest; start one more with -incoming defer"
                        .to_owned(),
                );
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

/// The weights that can count: energy only where it is known of every guest that
/// has a forecast.
fn counted(guests: &[Candidate], weights: Weights, notes: &mut Vec<String>) -> Weights {
    let unknown = guests
        .iter()
        .any(|g| g.forecast.is_some() && g.energy.is_none());
    if !unknown || weights.of(Term::Energy) == 0.0 {
        return weights;
    }
    let counted = weights.without_energy();
    notes.push(format!(
        "Energy has no weight, since there is no energy profile of these hosts; {counted} counts instead. Between one pair of hosts energy grows with the traffic alone (liu2011 eq. 14), so that the weight of traffic stands for it."
    ));
    counted
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
        downtime: vmferry_core::Millis(scale.downtime),
        total_time: vmferry_core::Millis(scale.time),
        transferred: vmferry_core::Bytes(scale.traffic as u64),
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

/// The exit code of an answer that is not carried out.
pub fn advice(report: &ChooseReport) -> ExitCode {
    match report.choice.verdict {
        Verdict::Move => ExitCode::Done,
        Verdict::NotEnough { .. } | Verdict::NotWorth { .. } => ExitCode::AdvisedAgainst,
    }
}
