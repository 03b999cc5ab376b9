//! CPU caps as limits of one guest's forecast.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vmferry_core::plan::MoveLimits;
use vmferry_core::{
    ByteRate, Forecast, Interval, LinkSpeed, Millis, Observation, Ratio, RemedyKind,
};
use vmferry_model::Assumptions;
use vmferry_model::cpu_profile::{Caps, CpuProfile, GuestProfile, Intensive, Throughput};

use super::load::WRITE_RATE;
use super::stored::StoredProfile;
use crate::Error;
use crate::models::Fitted;

/// What CPU caps do to a move.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CpuLimits {
    /// The caps.
    #[serde(flatten)]
    pub caps: Caps,
    /// Most stream that the hosts manage under them, bytes per second: a
    /// bandwidth cap of so much does the same.
    #[serde(rename = "rate_bytes_per_s")]
    pub rate: ByteRate,
    /// The same as far as it is known: what one more profiling migration would
    /// show, bytes per second.
    #[serde(rename = "rate_interval_bytes_per_s")]
    pub rate_interval: Interval<ByteRate>,
    /// What limits the stream.
    pub limited_by: LimitedBy,
    /// What the profiling guest uses whose laws were taken.
    pub profile: Intensive,
    /// How intensively.
    pub intensity: Ratio,
    /// Whether that guest uses much more than this one, so that times are upper
    /// bounds.
    pub upper_bound: bool,
    /// When the profile was made.
    pub profile_made_at: Timestamp,
}

/// What limits a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LimitedBy {
    /// The CPU that the migration gets.
    Cpu,
    /// The link, or QEMU's own limit.
    Bandwidth,
}

/// How much a guest uses of what profiles tell apart, as far as an observation
/// shows it: reading memory, disk and network do not show from outside.
pub(crate) fn use_of(observation: &Observation) -> Vec<(Intensive, Ratio)> {
    let vcpus = f64::from(observation.guest.vcpus.unwrap_or(1).max(1));
    let cpu = observation
        .vcpu_use
        .map(|used| (Intensive::Cpu, Ratio((used.0 * vcpus).min(1.0))));
    let points = &observation.dirty_curve.points;
    let writes = (!points.is_empty()).then(|| {
        let rate = observation
            .dirty_curve
            .rate_over(std::time::Duration::from_secs(1));
        (
            Intensive::MemoryWrite,
            Ratio((rate / WRITE_RATE).0.min(1.0)),
        )
    });
    cpu.into_iter().chain(writes).collect()
}

/// The profiling guest whose laws hold for a guest, and whether as a bound only.
pub(crate) fn profile_for<'a>(
    laws: &'a CpuProfile,
    observation: &Observation,
) -> Result<(&'a GuestProfile, bool), Error> {
    let none = || Error::Internal("a kept profile without laws".into());
    laws.for_use(&use_of(observation)).ok_or_else(none)
}

/// A forecast under caps, and what they do. Beside the middle of what the hosts
/// manage its ends are forecast too, and the time's interval gets wider by them.
pub(crate) async fn forecast(
    model: &Fitted,
    (assumptions, observation, link, limits): (&Assumptions, &Observation, &LinkSpeed, &MoveLimits),
    stored: &StoredProfile,
    caps: Caps,
) -> Result<(CpuLimits, Forecast), Error> {
    let set = assumptions.rules_under(limits).max_bandwidth;
    let link_takes = link.stream_rate();
    let stream = set.filter(|set| *set < link_takes).unwrap_or(link_takes);
    let (cpu, hosts) = CpuLimits::of(stored, observation, caps, stream)?;
    let under = async |hosts: Throughput| {
        let (assumptions, limits) = (hosts.limit(assumptions), hosts.limit_plan(limits));
        model
            .forecast(&assumptions, observation, link, &limits)
            .await
    };
    let mut made = under(hosts).await?;
    if let (LimitedBy::Cpu, Some(total)) = (cpu.limited_by, made.total_time_ms) {
        let mut ends = [None, None];
        for (end, rate) in ends
            .iter_mut()
            .zip([cpu.rate_interval.p95, cpu.rate_interval.p5])
        {
            let other = under(hosts.times(rate / cpu.rate)).await?;
            *end = other.total_time_ms.map(|time| time.p50);
        }
        made.total_time_ms = Some(wider(total, ends));
        if ends[1].is_none() {
            made.model.notes.push(format!(
                "At the lower end of what the profile leaves possible, {}, the move does not converge.",
                cpu.rate_interval.p5
            ));
        }
    }
    cpu.annotate(&mut made);
    let notes = &mut made.model.notes;
    notes.extend(stored.validity.slower_link(stream));
    notes.extend(below_profiled(stored, caps));
    Ok((cpu, made))
}

/// What to know of caps below all that were profiled.
fn below_profiled(stored: &StoredProfile, caps: Caps) -> Vec<String> {
    type End = fn(Caps) -> Option<Ratio>;
    let ends: [(&str, End); 2] = [
        ("source", |caps| caps.source),
        ("destination", |caps| caps.destination),
    ];
    let note = |(end, of): (&str, End)| {
        let asked = of(caps)?;
        let profiled = stored.points.iter().filter_map(|point| of(point.caps));
        let least = profiled.reduce(|a, b| if b < a { b } else { a })?;
        (asked < least).then(|| {
            format!(
                "A cap of {asked} at the {end} is below all that were profiled, of which the least is {least}; the law is carried on beyond them."
            )
        })
    };
    ends.into_iter().filter_map(note).collect()
}

/// An interval of time, wider by what is not known of the hosts: both causes are
/// independent, so that squares of logarithms add.
fn wider(time: Interval<Millis>, [fast, slow]: [Option<Millis>; 2]) -> Interval<Millis> {
    let part = |end: Millis, other: Option<Millis>| {
        let log = |ms: Millis| (ms.0 / time.p50.0).ln();
        let other = other.map_or(0.0, log);
        log(end).hypot(other).exp()
    };
    let (low, high) = (part(time.p5, fast), part(time.p95, slow));
    Interval {
        p5: Millis(time.p50.0 / low),
        p50: time.p50,
        p95: Millis(time.p50.0 * high),
    }
}

impl CpuLimits {
    /// The limits of a guest under caps, and what they are to its replays.
    pub(crate) fn of(
        stored: &StoredProfile,
        observation: &Observation,
        caps: Caps,
        stream: ByteRate,
    ) -> Result<(Self, Throughput), Error> {
        let laws = stored.laws();
        let (profile, upper_bound) = profile_for(&laws, observation)?;
        let throughput = throughput(profile, caps)?;
        let limits = Self {
            caps,
            rate: throughput.rate,
            rate_interval: profile.rate.rate_interval(caps).unwrap_or(Interval {
                p5: throughput.rate,
                p50: throughput.rate,
                p95: throughput.rate,
            }),
            limited_by: if throughput.rate < stream {
                LimitedBy::Cpu
            } else {
                LimitedBy::Bandwidth
            },
            profile: profile.guest,
            intensity: profile.intensity,
            upper_bound,
            profile_made_at: stored.made_at,
        };
        Ok((limits, throughput))
    }

    /// Says in a forecast what limits it; more bandwidth is no remedy where CPU
    /// does.
    pub(crate) fn annotate(&self, forecast: &mut Forecast) {
        let notes = &mut forecast.model.notes;
        if self.limited_by == LimitedBy::Cpu {
            notes.retain(|note| !note.starts_with("max-bandwidth of"));
            forecast
                .remedies
                .retain(|remedy| !matches!(remedy.kind, RemedyKind::Bandwidth { .. }));
        }
        let bound = if self.upper_bound {
            "; it uses more than this guest does, so that times are upper bounds"
        } else {
            ""
        };
        forecast.model.notes.push(match self.limited_by {
            LimitedBy::Cpu => format!(
                "CPU for the migration ({}) holds the stream to {}, as a bandwidth limit of that would; by the profile of a {}-intensive guest ({}){bound}.",
                self.caps, self.rate, self.profile, self.intensity
            ),
            LimitedBy::Bandwidth => format!(
                "CPU for the migration ({}) is enough for {}, which is more than the stream gets; by the profile of a {}-intensive guest ({}){bound}.",
                self.caps, self.rate, self.profile, self.intensity
            ),
        });
    }
}

/// What caps are to replays, or which end was not profiled.
pub(crate) fn throughput(profile: &GuestProfile, caps: Caps) -> Result<Throughput, Error> {
    Throughput::under(profile, caps).ok_or_else(|| {
        let end = if caps.source.is_some() && profile.rate.source.is_none() {
            "source"
        } else {
            "destination"
        };
        Error::NoCpuProfile {
            host: format!("the {end}"),
            why: format!(
                "the profile has no law of caps at the {end} for a {}-intensive guest: too few of its moves under such caps converged",
                profile.guest
            ),
        }
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::earlier::Earlier;
    use crate::earlier::tests::sample::{SHARE, guest, observed};
    use crate::models;
    use crate::profiling::{ProfileSettings, Validity};
    use vmferry_core::{Bytes, ExitCode, HostInfo};
    use vmferry_model::cpu_profile::CapPoint;

    /// A whole CPU sends 100 MB/s; the destination was not profiled.
    pub(crate) fn stored() -> StoredProfile {
        let point = |(share, noise): (f64, f64)| CapPoint {
            guest: Intensive::Cpu,
            intensity: Ratio(1.0),
            caps: Caps::at_source(Ratio(share)),
            capped_after_ms: None,
            total_time_ms: Some(Millis(10_000.0 / share * noise)),
            downtime_ms: None,
            transferred_bytes: Some(Bytes(1_000_000_000)),
            source_use: Some(Ratio(share)),
            destination_use: None,
        };
        let caps = [
            (0.05, 1.02),
            (0.1, 0.98),
            (0.2, 1.01),
            (0.4, 0.99),
            (0.7, 1.02),
            (1.0, 0.98),
        ];
        StoredProfile {
            made_at: jiff::Timestamp::UNIX_EPOCH,
            validity: Validity::for_test(HostInfo::default(), HostInfo::default()),
            settings: ProfileSettings::default(),
            points: caps.map(point).to_vec(),
            at_once: Vec::new(),
        }
    }

    async fn under(caps: Caps) -> Result<(CpuLimits, Forecast), Error> {
        let info = guest("db");
        let model = Fitted::new(models::DEFAULT, &Earlier::default(), &info).unwrap();
        let mut assumptions = Assumptions::for_guest(&info);
        assumptions.rules.max_bandwidth = None;
        let observation = observed("db", SHARE);
        let link = LinkSpeed::given(ByteRate::from_mbit_per_s(400.0));
        let limits = MoveLimits::default();
        let known = (&assumptions, &observation, &link, &limits);
        forecast(&model, known, &stored(), caps).await
    }

    fn total(forecast: &Forecast) -> Interval<Millis> {
        forecast.total_time_ms.expect("it converges")
    }

    #[tokio::test]
    async fn caps_limit_the_stream_and_the_answer_says_so() {
        let (enough, fast) = under(Caps::at_source(Ratio(0.9))).await.unwrap();
        assert_eq!(enough.limited_by, LimitedBy::Bandwidth);
        let (cpu, slow) = under(Caps::at_source(Ratio(0.1))).await.unwrap();
        assert_eq!(
            (cpu.limited_by, cpu.profile),
            (LimitedBy::Cpu, Intensive::Cpu)
        );
        assert!((cpu.rate.0 / 1e7 - 1.0).abs() < 0.03, "{}", cpu.rate);
        let times = total(&slow).p50.0 / total(&fast).p50.0;
        assert!(times > 4.0 && times < 6.0, "{times}");
        // What is not known of the hosts is in the interval too.
        let width = |forecast: &Forecast| total(forecast).p95.0 / total(forecast).p50.0;
        assert!(width(&slow) > 1.03, "{:?}", total(&slow));
        let said = |forecast: &Forecast| forecast.model.notes.join("\n");
        assert!(
            said(&slow).contains("holds the stream to"),
            "{}",
            said(&slow)
        );
        assert!(!said(&slow).contains("max-bandwidth of"), "{}", said(&slow));
        assert!(said(&fast).contains("is enough for"), "{}", said(&fast));
    }

    #[test]
    fn caps_beyond_those_profiled_are_told() {
        let told = |caps| below_profiled(&stored(), caps).len();
        assert_eq!(told(Caps::at_source(Ratio(0.05))), 0);
        assert_eq!(told(Caps::at_source(Ratio(0.04))), 1);
        assert_eq!(told(Caps::default()), 0);
    }

    #[tokio::test]
    async fn an_end_that_was_not_profiled_is_told() {
        let error = under(Caps::at_destination(Ratio(0.5))).await.unwrap_err();
        assert_eq!(error.exit_code(), ExitCode::TooLittleData);
        assert!(error.to_string().contains("the destination"), "{error}");
    }

    #[test]
    fn independent_causes_add_as_squares() {
        let ms = |p5, p50, p95| Interval {
            p5: Millis(p5),
            p50: Millis(p50),
            p95: Millis(p95),
        };
        let same = wider(ms(90.0, 100.0, 110.0), [Some(Millis(100.0)), None]);
        assert!((same.p5.0 - 90.0).abs() < 1e-9 && (same.p95.0 - 110.0).abs() < 1e-9);
        let both = wider(
            ms(100.0, 100.0, 110.0),
            [Some(Millis(80.0)), Some(Millis(110.0))],
        );
        assert!((both.p5.0 - 80.0).abs() < 1e-9);
        let root2 = 100.0 * 1.1_f64.powf(2_f64.sqrt());
        assert!((both.p95.0 - root2).abs() < 1e-9, "{both:?}");
    }
}
