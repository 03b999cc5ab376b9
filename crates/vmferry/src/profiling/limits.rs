//! CPU caps as limits of one guest's forecast.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vmferry_core::{ByteRate, Forecast, Observation, Ratio, RemedyKind};
use vmferry_model::cpu_profile::{Caps, CpuProfile, GuestProfile, Intensive, Throughput};

use super::load::WRITE_RATE;
use super::stored::StoredProfile;
use crate::Error;

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
