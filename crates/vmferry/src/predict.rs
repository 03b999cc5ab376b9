//! Says what a move would cost.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use vmferry_core::plan::MoveLimits;
use vmferry_core::{
    ByteRate, Bytes, GuestInfo, GuestUri, LinkSpeed, MoveEvent, Observation, PassRecord, Promise,
    StreamUri,
};
use vmferry_history::host_name;
use vmferry_hypervisor::qmp::{ConnectOptions, Guest};
use vmferry_measure::{ObserveOptions, observe};
use vmferry_migrate::EventSink;
use vmferry_model::cpu_profile::Caps;
use vmferry_model::{Assumptions, Progress, at_one_pace, reforecast};

use crate::Error;
use crate::document::{PredictReport, Versions};
use crate::earlier::Earlier;
use crate::energy::{HostNames, energy_forecast};
use crate::link::{self, RouteEnd};
use crate::measure::describe;
use crate::models::{Fitted, SEED};
use crate::profile;
use crate::profiling::{self, StoredProfile};
use crate::promising::{self, Known};

/// What a forecast is asked for.
#[derive(Clone, Debug)]
pub struct PredictOptions {
    /// Name of the model, one of [`models::NAMES`](crate::models::NAMES).
    pub model: String,
    /// The limits of the move.
    pub limits: MoveLimits,
    /// What the operator would be promised.
    pub promise: Option<Promise>,
    /// The link's rate, where the operator knows it.
    pub bandwidth: Option<ByteRate>,
    /// How to observe the guest.
    pub observe: ObserveOptions,
    /// An observation in a file, instead of a new one.
    pub profile: Option<PathBuf>,
    /// The other end, to look up or measure the rate of the route.
    pub route: Option<(GuestUri, StreamUri)>,
    /// CPU that the migration gets at either end.
    pub cpu: Caps,
}

/// Observes a guest and forecasts its move.
///
/// # Errors
/// When the guest cannot be reached or observed, or cannot be throttled as
/// promised, the rate of the link is unknown, or no forecast is possible: the model knows too little.
pub async fn predict(guest: &GuestUri, options: &PredictOptions) -> Result<PredictReport, Error> {
    let source = Guest::connect(guest, ConnectOptions::default()).await?;
    promising::dirty_limit_is_possible(&source, options.promise.as_ref()).await?;
    let capped = options.cpu.source.is_some() || options.cpu.destination.is_some();
    if capped && options.promise.is_some() {
        return Err(Error::Usage(
            "a promise is judged without caps on the migration's own CPU; leave --source-cpu and \
             --destination-cpu out, or ask without a promise"
                .to_owned(),
        ));
    }
    let destination = match &options.route {
        Some((uri, via)) => Some((Guest::connect(uri, ConnectOptions::default()).await?, via)),
        None => None,
    };
    let end = destination
        .as_ref()
        .map(|(destination, via)| RouteEnd { destination, via });
    let link = link::speed(options.bandwidth, &source, end).await?;
    let route = end.map(|end| end.route_from(&source));
    let info = source.info().await?;
    // Refused before the guest is watched for nothing.
    let cpu = match options.cpu {
        Caps {
            source: None,
            destination: None,
        } => None,
        _ => {
            let host = destination.as_ref().map(|(guest, _)| guest.host_info());
            let accelerator = info.accelerator.as_deref();
            Some(StoredProfile::find(&source.host_info(), host.as_ref(), accelerator).await?)
        }
    };
    drop(destination);
    let earlier = Earlier::of(&info, route, &options.model).await;
    let assumptions = assumptions(&source, &info, &earlier).await?;
    let model = Fitted::new(&options.model, &earlier, &info)?;
    let (observation, observed) = match &options.profile {
        Some(path) => {
            let made = profile::read_report(path)?;
            profile::fits(path, &made.observation, &info)?;
            (made.observation, made.options)
        }
        None => (
            observe(&source, &options.observe).await?,
            describe(&options.observe),
        ),
    };
    let known = Known {
        observation: &observation,
        link: &link,
        assumptions: &assumptions,
    };
    let promise = options.promise.as_ref();
    let limits = known.limits(&options.limits, promise)?;
    let forecast = async {
        let known = (&assumptions, &observation, &link, &limits);
        Ok::<_, Error>(match &cpu {
            None => (
                None,
                model.forecast(known.0, known.1, known.2, known.3).await?,
            ),
            Some(stored) => {
                let (cpu, forecast) =
                    profiling::forecast(&model, known, stored, options.cpu).await?;
                (Some(cpu), forecast)
            }
        })
    };
    let ((cpu, forecast), promise) = tokio::try_join!(forecast, known.promised(promise))?;
    let hosts = earlier.route().map_or_else(
        || HostNames {
            source: host_name(&source.host_info(), guest),
            destination: None,
        },
        HostNames::of,
    );
    let energy = energy_forecast(&hosts, &forecast).await;
    Ok(PredictReport {
        versions: Versions::default(),
        guest: observation.guest.clone(),
        host: observation.host.clone(),
        options: observed,
        link,
        limits: options.limits,
        promise,
        cpu,
        forecast,
        energy,
    })
}

/// What the hypervisor is set to and is able to, and what earlier moves over
/// the route taught.
pub(crate) async fn assumptions(
    source: &Guest,
    guest: &GuestInfo,
    earlier: &Earlier,
) -> Result<Assumptions, Error> {
    let mut assumptions = Assumptions::for_guest(guest).with(&earlier.experience());
    let set = source.parameters().await?;
    let rules = &mut assumptions.rules;
    if let Some(limit) = set.downtime_limit_ms {
        rules.downtime_limit = Duration::from_millis(limit);
    }
    let rate = |bytes: u64| (bytes > 0).then_some(ByteRate(bytes as f64));
    if let Some(bytes) = set.max_bandwidth_bytes_per_s {
        rules.max_bandwidth = rate(bytes);
    }
    rules.switchover_bandwidth = set.avail_switchover_bandwidth_bytes_per_s.and_then(rate);
    assumptions.post_copy = source.capabilities().await?.contains_key("postcopy-ram");
    Ok(assumptions)
}

/// Forecasts the rest of a move at every pass, by our own replays and
/// uncorrected, whichever model forecast the whole.
pub(crate) struct Reforecaster {
    observation: Observation,
    link: LinkSpeed,
    limits: MoveLimits,
    assumptions: Assumptions,
}

impl Reforecaster {
    pub(crate) fn new(
        observation: Observation,
        link: LinkSpeed,
        limits: MoveLimits,
        assumptions: Assumptions,
    ) -> Self {
        Self {
            // Once, not at every pass.
            observation: at_one_pace(observation),
            link,
            limits,
            assumptions,
        }
    }

    /// A sink that hands every event on, and adds a reforecast after every
    /// pass. It computes on a thread of its own, and skips a pass that comes
    /// while it is still busy.
    pub(crate) fn listen(self, next: EventSink) -> EventSink {
        let this = Arc::new(self);
        let before: Arc<Mutex<Option<PassRecord>>> = Arc::default();
        let busy = Arc::new(tokio::sync::Semaphore::new(1));
        Arc::new(move |event| {
            next(event);
            let MoveEvent::Pass { pass } = event else {
                return;
            };
            let last = before
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .replace(pass.clone());
            let (Some(progress), Ok(permit)) = (
                progress(pass, last.as_ref()),
                Arc::clone(&busy).try_acquire_owned(),
            ) else {
                return;
            };
            let (this, next, at_ms) = (Arc::clone(&this), Arc::clone(&next), pass.at_ms);
            tokio::task::spawn_blocking(move || {
                let made = reforecast(
                    &this.observation,
                    &this.link,
                    &this.limits,
                    &this.assumptions,
                    &progress,
                    SEED,
                );
                match made {
                    Ok(made) => next(&MoveEvent::Reforecast {
                        at_ms,
                        pass: made.pass,
                        converges_probability: made.converges_probability,
                        total_time_ms: made.total_time_ms,
                        downtime_ms: made.downtime_ms,
                    }),
                    Err(error) => tracing::warn!(%error, "reforecast"),
                }
                drop(permit);
            });
        })
    }
}

/// Where a move stands at the beginning of a pass; `None` in the first one,
/// which the forecast itself describes.
fn progress(pass: &PassRecord, last: Option<&PassRecord>) -> Option<Progress> {
    let last = last?;
    let elapsed = pass.at_ms.duration();
    let transferred = pass.transferred_bytes?;
    let seconds = elapsed.as_secs_f64();
    Some(Progress {
        elapsed,
        remaining: pass.remaining_bytes?,
        passes: pass.pass,
        transferred,
        in_pass: Duration::ZERO,
        last_pass: Some(elapsed.saturating_sub(last.at_ms.duration())),
        measured_rate: (seconds > 1.0 && transferred > Bytes(0))
            .then(|| ByteRate(transferred.0 as f64 / seconds)),
    })
}
