//! Which guests of a host to move, where, and at what cost; and moving them.
//!
//! The flow of `liu2011` section 4: look at every guest's writes, combine that
//! with its history, set the rate, forecast, sort, migrate, and let the history
//! learn.

mod berths;
mod candidate;
mod deciding;
mod executing;
mod forecasting;
mod found;
mod host;
mod host_uri;
mod observing;
mod pairing;
pub mod report;

use vmferry_core::plan::MoveLimits;
use vmferry_core::{ByteRate, ExitCode, Ratio, StreamUri};
use vmferry_measure::ObserveOptions;
use vmferry_model::choice::{ChoiceError, Demand, Term, Verdict, Weights, Worth};
use vmferry_precopy::tuning::AdaptiveRate;

pub use executing::{Executing, Ready, exit_code};
pub use found::Skipped;
pub use host::HostOfGuests;
pub use host_uri::{HostUri, HostUriError};
pub use observing::HOST_BUDGET;

use self::berths::Harbour;
use self::candidate::Candidate;
use self::report::ChooseReport;
use crate::{Error, models};

/// Where hypervisors of another machine listen unless told otherwise: the first
/// port that libvirt gives to migrations, which firewalls of such hosts let in.
pub const USUAL_PORT: u16 = 49152;

/// A host that guests may move to.
#[derive(Clone, Debug, PartialEq)]
pub struct DestinationHost {
    /// The host, with hypervisors that wait (`-incoming defer`).
    pub host: HostUri,
    /// Where they are to listen, one after another, as the source reaches it.
    pub via: StreamUri,
}

impl DestinationHost {
    /// A host with the address to listen at, or, of another machine, at its own
    /// name and [`USUAL_PORT`]. `None` of a directory of this machine without one.
    pub fn new(host: HostUri, via: Option<StreamUri>) -> Option<Self> {
        let via = via.or_else(|| match &host {
            HostUri::Directory(_) => None,
            HostUri::Ssh { destination, .. } => Some(StreamUri {
                host: destination.host.clone(),
                port: USUAL_PORT,
            }),
        })?;
        Some(Self { host, via })
    }
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
    // Known now, and not only when all guests were observed. Whether energy counts
    // depends on profiles.
    if let Some(worth) = &options.worth
        && let Some(term) = worth.lacks(&options.weights)
        && term != Term::Energy
    {
        return Err(ChoiceError::Worth { term }.into());
    }
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
    tell(&format!("forecasting {} guests", guests.len()));
    forecasting::all(&mut guests, &harbours, options).await?;
    deciding::decide(guests, &harbours, options, skipped, core_share).await
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
    for (guest, seen) in guests.iter_mut().zip(seen.each) {
        match seen {
            Ok(seen) => guest.observation = Some(seen),
            Err(error) => {
                guest.lack.get_or_insert_with(|| error.to_string());
            }
        }
    }
    seen.core_share
}

/// The exit code of an answer that is not carried out.
pub fn advice(report: &ChooseReport) -> ExitCode {
    match report.choice.verdict {
        Verdict::Move => ExitCode::Done,
        Verdict::NotEnough { .. } | Verdict::NotWorth { .. } => ExitCode::AdvisedAgainst,
    }
}
