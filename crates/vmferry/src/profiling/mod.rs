//! Profiles a host pair: real migrations of guests of known use, under caps on
//! the CPU of the migration's own threads (`dom0cpu`), and what such a profile
//! says of a guest.
//!
//! ```text
//! ProfileSettings ─> run: testbed, capped moves, half-done file ─> CapPoints
//! CapPoints, Validity ─> history ─> StoredProfile ─> limits of a forecast, need()
//! ```

mod at_once;
mod capped_move;
mod half_done;
mod kept;
mod limits;
mod load;
mod need;
mod run;
mod settings;
mod several;
mod stored;
mod validity;

use std::path::Path;
use std::process::Command;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use vmferry_core::{ByteRate, LinkSpeed};
use vmferry_migrate::MoveDir;
use vmferry_model::cpu_profile::{
    BestAtOnce, CapPoint, CpuProfile, Goodness, ParallelCheck, ParallelPoint,
};

use crate::Error;
use crate::document::Versions;

pub use kept::{Kept, kept_profile};
pub(crate) use limits::forecast;
pub use limits::{CpuLimits, LimitedBy};
pub use need::{Least, Need, NeedReport, need};
pub use run::ProfileStep;
pub use settings::ProfileSettings;
pub use several::Several;
pub use stored::{StoredProfile, half_done_path};
pub use validity::Validity;

/// `vmferry profile cpu -o json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProfileCpuReport {
    /// Versions.
    #[serde(flatten)]
    pub versions: Versions,
    /// When the last migration ended.
    pub made_at: Timestamp,
    /// For which hosts it holds.
    pub validity: Validity,
    /// What was profiled.
    pub settings: ProfileSettings,
    /// The laws.
    pub profile: CpuProfile,
    /// How good they are, all together.
    pub goodness: Goodness,
    /// Estimates of guests moved at once, beside what they took; empty where the
    /// profile does not say how much CPU a byte takes.
    pub parallel: Vec<ParallelCheck>,
    /// How many of them to move at once; `None` where no number was checked.
    pub best_at_once: Option<BestAtOnce>,
    /// Every migration under caps.
    pub points: Vec<CapPoint>,
    /// Guests moved at once.
    pub at_once: Vec<ParallelPoint>,
}

/// Profiles the two hosts of a testbed of its own and keeps the profile in the
/// history. Every migration is written into the file `state` as soon as it has
/// ended; the same call goes on after those. `guard` is the command that runs a
/// guard, a `true` on `cancel` ends the run after the migration under way.
///
/// # Errors
/// When the testbed, a guest or a cap fails, or the history cannot be written:
/// what was measured stays in `state`, nothing stays capped, and the message
/// says how to go on. [`Error::TooFewCaps`] where too few moves converged for any
/// law.
pub async fn profile_cpu(
    settings: &ProfileSettings,
    state: &Path,
    guard: fn(&MoveDir) -> Command,
    cancel: &watch::Receiver<bool>,
    mut tell: impl FnMut(ProfileStep),
) -> Result<ProfileCpuReport, Error> {
    let settings = &settings.exact();
    let (half, validity) = run::points(settings, state, guard, cancel, &mut tell).await?;
    let stored = StoredProfile {
        made_at: Timestamp::now(),
        validity,
        settings: settings.clone(),
        points: half.points.clone(),
        at_once: half.at_once.clone(),
    };
    let report = report(stored.clone(), state)?;
    stored.keep().await?;
    half.remove()?;
    Ok(report)
}

/// Fits what was measured; `kept_in` is where that is.
fn report(stored: StoredProfile, kept_in: &Path) -> Result<ProfileCpuReport, Error> {
    let profile = stored.laws();
    if profile.guests.is_empty() {
        return Err(Error::TooFewCaps {
            state: kept_in.to_owned(),
        });
    }
    let parallel = parallel(&stored, &profile);
    Ok(ProfileCpuReport {
        versions: Versions::default(),
        made_at: stored.made_at,
        validity: stored.validity,
        settings: stored.settings,
        goodness: Goodness::of(&profile, &parallel),
        best_at_once: BestAtOnce::of(&parallel),
        parallel,
        profile,
        points: stored.points,
        at_once: stored.at_once,
    })
}

impl ProfileCpuReport {
    /// What was measured, without what was made of it.
    pub fn measured(&self) -> StoredProfile {
        StoredProfile {
            made_at: self.made_at,
            validity: self.validity.clone(),
            settings: self.settings.clone(),
            points: self.points.clone(),
            at_once: self.at_once.clone(),
        }
    }
}

/// Estimates by what the first guest with caps that bound at both ends tells.
fn parallel(stored: &StoredProfile, profile: &CpuProfile) -> Vec<ParallelCheck> {
    let known = profile.guests.iter().find_map(|guest| {
        let (sending, loading) = guest.cpu_s_per_byte;
        Some((sending?, loading?))
    });
    match (known, stored.validity.shared_cpus()) {
        (Some(known), Some(cpus)) => {
            let link = stored
                .validity
                .link_rate
                .map_or(ByteRate(f64::INFINITY), |rate| {
                    LinkSpeed::given(rate).stream_rate()
                });
            ParallelCheck::of(&stored.at_once, known, link, cpus)
        }
        _ => Vec::new(),
    }
}
