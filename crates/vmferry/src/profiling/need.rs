//! What a move needs to be over in time: the least CPU, or the least bandwidth.

use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vmferry_core::plan::MoveLimits;
use vmferry_core::{
    ByteRate, GuestInfo, GuestUri, HostInfo, Interval, LinkSpeed, Millis, Observation, Ratio,
};
use vmferry_hypervisor::qmp::{ConnectOptions, Guest};
use vmferry_measure::observe;
use vmferry_migrate::migration_threads::LEAST_CAP;
use vmferry_model::cpu_profile::{Caps, GuestProfile, Intensive};
use vmferry_model::{Assumptions, SUFFICIENT_PROBABILITY, forecast};

use super::limits::{profile_for, throughput};
use super::several::Several;
use super::stored::StoredProfile;
use crate::Error;
use crate::document::{ObservingOptions, Versions};
use crate::earlier::Earlier;
use crate::link::{self, RouteEnd};
use crate::measure::describe;
use crate::models::{DEFAULT, SEED};
use crate::predict::{PredictOptions, assumptions};
use crate::profile;
use crate::promising::ADVISABLE;

/// Halvings (of the logarithm) in which a least value is sought: from 1 to
/// 100 % of a CPU the answer is within 2 %.
const STEPS: u32 = 8;
/// A move among several that takes longer is taken for one that never ends.
const LONG: Duration = Duration::from_secs(3600);
/// The least bandwidth that is looked at.
const LEAST_BANDWIDTH: ByteRate = ByteRate::from_mbit_per_s(1.0);

/// What a move needs to be over in time, each on its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Need {
    /// CPU at the source, the destination uncapped.
    pub source_cpu: Option<Least>,
    /// CPU at the destination, the source uncapped.
    pub destination_cpu: Option<Least>,
    /// CPU at both ends, the same share at each.
    pub both_cpu: Option<Least>,
    /// Bandwidth, with all the CPU there is; `None` where even the whole link is
    /// not enough.
    pub bandwidth: Option<LeastBandwidth>,
}

/// The least share of a CPU.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Least {
    /// The share of one CPU for the migration's threads.
    pub share: Ratio,
    /// Stream that the hosts manage with it, bytes per second: the bandwidth cap
    /// that does the same.
    #[serde(rename = "rate_bytes_per_s")]
    pub rate: ByteRate,
    /// The move's time with it.
    pub total_time_ms: Option<Interval<Millis>>,
}

/// The least bandwidth.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LeastBandwidth {
    /// Stream, bytes per second (`--max-bandwidth`).
    #[serde(rename = "rate_bytes_per_s")]
    pub rate: ByteRate,
    /// The move's time with it.
    pub total_time_ms: Option<Interval<Millis>>,
    /// The cap on the source's CPU that does the same; `None` without a profile,
    /// or where no cap is so fast.
    pub source_cap: Option<Ratio>,
    /// The same at the destination.
    pub destination_cap: Option<Ratio>,
}

/// `vmferry need -o json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NeedReport {
    /// Versions.
    #[serde(flatten)]
    pub versions: Versions,
    /// The guest.
    pub guest: GuestInfo,
    /// The host it runs on.
    pub host: HostInfo,
    /// How it was observed, now or for the profile file.
    pub options: ObservingOptions,
    /// The link as it was assumed.
    pub link: LinkSpeed,
    /// The limits: the deadline is what must be met.
    pub limits: MoveLimits,
    /// Probability with which the deadline is met.
    pub probability: f64,
    /// What the profiling guest uses whose laws were taken; `None` where only
    /// bandwidth was asked for.
    pub profile: Option<Intensive>,
    /// How intensively.
    pub intensity: Option<Ratio>,
    /// Whether that guest uses much more than this one: what is needed is then
    /// an upper bound.
    pub upper_bound: bool,
    /// When the profile was made.
    pub profile_made_at: Option<Timestamp>,
    /// What is needed.
    #[serde(flatten)]
    pub need: Need,
    /// What moving several guests like this one takes; `None` where that was not
    /// asked, or the profile does not tell.
    pub several: Option<Several>,
    /// What the reader should know, each a sentence.
    pub notes: Vec<String>,
}

impl NeedReport {
    /// Whether the deadline can be met at all.
    pub fn is_possible(&self) -> bool {
        self.need.bandwidth.is_some() || self.need.source_cpu.is_some()
    }
}

/// Observes a guest and finds what its move needs to be over within the
/// deadline of `options`, by replays at ever other limits. `with_cpu` asks for
/// CPU too, which takes a profile of the hosts; `guests` above 1 asks how many
/// such guests to move at once.
///
/// # Errors
/// As [`predict`](crate::predict::predict); [`Error::NoCpuProfile`] where no
/// profile holds for the hosts.
pub async fn need(
    guest: &GuestUri,
    options: &PredictOptions,
    with_cpu: bool,
    guests: usize,
) -> Result<NeedReport, Error> {
    let source = Guest::connect(guest, ConnectOptions::default()).await?;
    let destination = match &options.route {
        Some((uri, via)) => Some((Guest::connect(uri, ConnectOptions::default()).await?, via)),
        None => None,
    };
    let end = destination
        .as_ref()
        .map(|(destination, via)| RouteEnd { destination, via });
    let info = source.info().await?;
    let stored = if with_cpu {
        let host = destination.as_ref().map(|(guest, _)| guest.host_info());
        let accelerator = info.accelerator.as_deref();
        Some(StoredProfile::find(&source.host_info(), host.as_ref(), accelerator).await?)
    } else {
        None
    };
    let link = link::speed(options.bandwidth, &source, end).await?;
    let route = end.map(|end| end.route_from(&source));
    let earlier = Earlier::of(&info, route, DEFAULT).await;
    let assumed = assumptions(&source, &info, &earlier).await?;
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
    let search = Search {
        observation,
        link,
        limits: options.limits,
        assumptions: assumed,
    };
    let compute = move || search.report(stored, observed, guests);
    let made = tokio::task::spawn_blocking(compute).await;
    made.map_err(|error| Error::Internal(format!("the search failed: {error}")))?
}

struct Search {
    observation: Observation,
    link: LinkSpeed,
    limits: MoveLimits,
    assumptions: Assumptions,
}

/// A move's time, where it is over in time often enough.
type InTime = Option<Option<Interval<Millis>>>;

impl Search {
    fn report(
        self,
        stored: Option<StoredProfile>,
        options: ObservingOptions,
        guests: usize,
    ) -> Result<NeedReport, Error> {
        let laws = stored.as_ref().map(StoredProfile::laws);
        let chosen = match &laws {
            Some(laws) => Some(profile_for(laws, &self.observation)?),
            None => None,
        };
        let (profile, upper_bound) = (
            chosen.map(|(profile, _)| profile),
            chosen.is_some_and(|(_, bound)| bound),
        );
        let mut notes = Vec::new();
        let cpu = |caps: fn(Ratio) -> Caps| match profile {
            Some(profile) => self.least_cpu(profile, caps),
            None => Ok(None),
        };
        let need = Need {
            source_cpu: cpu(Caps::at_source)?,
            destination_cpu: cpu(Caps::at_destination)?,
            both_cpu: cpu(|share| Caps::at_both(share, share))?,
            bandwidth: self.least_bandwidth(profile)?,
        };
        let cpus = stored
            .as_ref()
            .and_then(|stored| stored.validity.shared_cpus());
        let several = match (profile, cpus) {
            (Some(profile), Some(cpus)) if guests > 1 => {
                let link = self.link.stream_rate();
                let found = Several::of(guests, profile, link, cpus, |rate| self.median_time(rate));
                if found.is_none() {
                    notes.push(
                        "How much CPU a byte takes is unknown, since no cap of the profile was low enough to bind at both ends; several moves at once cannot be estimated."
                            .to_owned(),
                    );
                }
                found
            }
            _ => None,
        };
        notes.extend(
            stored
                .as_ref()
                .and_then(|stored| stored.validity.slower_link(self.link.stream_rate())),
        );
        if upper_bound {
            notes.push(
                "The profiling guest uses more than this one does; the CPU that is needed is an upper bound."
                    .to_owned(),
            );
        }
        if need.bandwidth.is_none() {
            notes.push(format!(
                "Within {} this guest does not move over {} with any CPU; allow more time, a longer pause (--max-downtime), or find a faster link.",
                self.limits.deadline_ms, self.link.wire_rate
            ));
        }
        Ok(NeedReport {
            versions: Versions::default(),
            guest: self.observation.guest.clone(),
            host: self.observation.host.clone(),
            options,
            link: self.link.clone(),
            limits: self.limits,
            probability: SUFFICIENT_PROBABILITY,
            profile: profile.map(|profile| profile.guest),
            intensity: profile.map(|profile| profile.intensity),
            upper_bound,
            profile_made_at: stored.map(|stored| stored.made_at),
            need,
            several,
            notes,
        })
    }

    fn least_cpu(
        &self,
        profile: &GuestProfile,
        caps: fn(Ratio) -> Caps,
    ) -> Result<Option<Least>, Error> {
        // An end that was not profiled has no answer; the other may.
        if throughput(profile, caps(Ratio(1.0))).is_err() {
            return Ok(None);
        }
        let found = least(LEAST_CAP.0, 1.0, |share| {
            let throughput = throughput(profile, caps(Ratio(share)))?;
            let limits = throughput.limit_plan(&self.limits);
            self.in_time(&throughput.limit(&self.assumptions), &limits)
        })?;
        let Some((share, total_time_ms)) = found else {
            return Ok(None);
        };
        let share = Ratio(share);
        Ok(Some(Least {
            share,
            rate: throughput(profile, caps(share))?.rate,
            total_time_ms,
        }))
    }

    fn least_bandwidth(
        &self,
        profile: Option<&GuestProfile>,
    ) -> Result<Option<LeastBandwidth>, Error> {
        let most = self.link.stream_rate().0;
        let low = LEAST_BANDWIDTH.0.min(most);
        // With all the CPU there is, the hosts manage no more than they were seen to.
        let hosts = profile.map(|profile| throughput(profile, Caps::default()));
        let hosts = hosts.transpose()?;
        let found = least(low, most, |rate| {
            let limits = MoveLimits {
                max_bandwidth: Some(ByteRate(rate)),
                ..self.limits
            };
            match &hosts {
                Some(hosts) => {
                    let assumptions = hosts.limit(&self.assumptions);
                    self.in_time(&assumptions, &hosts.limit_plan(&limits))
                }
                None => self.in_time(&self.assumptions, &limits),
            }
        })?;
        Ok(found.map(|(rate, total_time_ms)| {
            let rate = ByteRate(rate);
            LeastBandwidth {
                rate,
                total_time_ms,
                source_cap: profile.and_then(|profile| profile.source_cap_for(rate)),
                destination_cap: profile.and_then(|profile| profile.destination_cap_for(rate)),
            }
        }))
    }

    /// Time of most moves held to a rate; `None` where most do not converge.
    fn median_time(&self, rate: ByteRate) -> Option<Duration> {
        let slower = self.limits.max_bandwidth.filter(|limit| *limit < rate);
        let limits = MoveLimits {
            max_bandwidth: Some(slower.unwrap_or(rate)),
            // How long it takes is what is asked.
            deadline_ms: LONG.into(),
            ..self.limits
        };
        let made = forecast(
            &self.observation,
            &self.link,
            &limits,
            &self.assumptions,
            SEED,
        )
        .ok()?;
        let time = made
            .total_time_ms
            .filter(|_| made.converges_probability >= ADVISABLE)?;
        Some(time.p50.duration())
    }

    fn in_time(&self, assumptions: &Assumptions, limits: &MoveLimits) -> Result<InTime, Error> {
        let made = forecast(&self.observation, &self.link, limits, assumptions, SEED)?;
        let enough = made.converges_probability >= SUFFICIENT_PROBABILITY;
        Ok(enough.then_some(made.total_time_ms))
    }
}

/// The least value between two that is enough, and what it gives; `None` where
/// even the largest is not.
fn least<T>(
    low: f64,
    high: f64,
    mut enough: impl FnMut(f64) -> Result<Option<T>, Error>,
) -> Result<Option<(f64, T)>, Error> {
    let Some(at_most) = enough(high)? else {
        return Ok(None);
    };
    if let Some(at_least) = enough(low)? {
        return Ok(Some((low, at_least)));
    }
    let (mut bad, mut good) = (low, (high, at_most));
    for _ in 0..STEPS {
        let middle = (bad * good.0).sqrt();
        match enough(middle)? {
            Some(made) => good = (middle, made),
            None => bad = middle,
        }
    }
    Ok(Some(good))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::earlier::tests::sample::{SHARE, guest, observed};
    use crate::profiling::limits::tests::stored;
    use vmferry_measure::ObserveOptions;

    fn report(seconds: f64, stored: Option<StoredProfile>, guests: usize) -> NeedReport {
        let link = LinkSpeed::given(ByteRate::from_mbit_per_s(400.0));
        report_over(link, seconds, stored, guests)
    }

    fn report_over(
        link: LinkSpeed,
        seconds: f64,
        stored: Option<StoredProfile>,
        guests: usize,
    ) -> NeedReport {
        let mut assumptions = Assumptions::for_guest(&guest("db"));
        assumptions.rules.max_bandwidth = None;
        let search = Search {
            observation: observed("db", SHARE),
            link,
            limits: MoveLimits {
                deadline_ms: Millis(seconds * 1e3),
                ..MoveLimits::default()
            },
            assumptions,
        };
        let options = describe(&ObserveOptions::default());
        search.report(stored, options, guests).unwrap()
    }

    #[test]
    fn a_deadline_tells_cpu_and_bandwidth() {
        let made = report(20.0, Some(stored()), 1);
        assert!(made.is_possible() && made.several.is_none());
        let least = made.need.source_cpu.unwrap();
        // Of 128 MiB half is not zero; a whole CPU sends 100 MB/s.
        assert!((0.03..0.12).contains(&least.share.0), "{least:?}");
        let time = least.total_time_ms.unwrap();
        assert!(time.p95.0 < 20_000.0 && time.p50.0 > 5_000.0, "{time:?}");
        // Nobody profiled the destination.
        assert_eq!(
            (made.need.destination_cpu, made.need.both_cpu),
            (None, None)
        );
        // The bandwidth that is enough is what that cap gives, and the caps are each other's.
        let bandwidth = made.need.bandwidth.unwrap();
        let ratio = bandwidth.rate.0 / least.rate.0;
        assert!((0.8..1.2).contains(&ratio), "{bandwidth:?} for {least:?}");
        let same = bandwidth.source_cap.unwrap();
        assert!(
            (same.0 / (bandwidth.rate.0 / 1e8) - 1.0).abs() < 0.05,
            "{same}"
        );
        // A longer deadline needs less.
        let later = report(40.0, Some(stored()), 1);
        assert!(later.need.source_cpu.unwrap().share < least.share);
    }

    #[test]
    fn what_cannot_be_in_time_is_told() {
        let made = report(0.5, Some(stored()), 1);
        assert!(!made.is_possible() && made.need.source_cpu.is_none());
        let notes = made.notes.join("\n");
        assert!(notes.contains("does not move over"), "{notes}");
    }

    /// The hosts of the profile send 100 MB/s; a link of 10 Gbit/s makes them no faster.
    #[test]
    fn bandwidth_beyond_what_the_hosts_manage_is_no_answer() {
        let over = |rate: f64, stored: Option<StoredProfile>| {
            let link = LinkSpeed::given(ByteRate::from_mbit_per_s(rate));
            report_over(link, 0.6, stored, 1)
        };
        assert!(over(10_000.0, None).need.bandwidth.is_some());
        let made = over(10_000.0, Some(stored()));
        assert!(
            made.need.source_cpu.is_none() && !made.is_possible(),
            "{made:?}"
        );
    }

    #[test]
    fn bandwidth_alone_takes_no_profile() {
        let made = report(20.0, None, 1);
        let bandwidth = made.need.bandwidth.unwrap();
        assert!(made.profile.is_none() && bandwidth.source_cap.is_none());
    }

    #[test]
    fn the_least_that_is_enough() {
        let from = |threshold: f64| {
            least(0.01, 1.0, |share| Ok((share >= threshold).then_some(share))).unwrap()
        };
        let (found, given) = from(0.37).unwrap();
        assert!((0.37..0.38).contains(&found) && given == found, "{found}");
        assert_eq!(from(0.001), Some((0.01, 0.01)));
        assert_eq!(from(1.5), None);
    }
}
