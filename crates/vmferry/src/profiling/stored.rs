//! Profiles of hosts in the history.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use vmferry_core::HostInfo;
use vmferry_history::{History, Profile, ProfileFilter, Store as _, history_path};
use vmferry_model::cpu_profile::{CapPoint, CpuProfile, ParallelPoint};

use super::settings::ProfileSettings;
use super::validity::Validity;
use crate::Error;

/// What the history calls them.
const KIND: &str = "cpu";
/// So many profiles are looked through, newest first.
const LOOKED_AT: u32 = 100;

/// A profile as it is kept: what was measured, from which laws are fitted anew
/// whenever it is used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredProfile {
    /// When it was made.
    pub made_at: Timestamp,
    /// For which hosts it holds.
    pub validity: Validity,
    /// What was profiled.
    pub settings: ProfileSettings,
    /// Every migration under caps.
    pub points: Vec<CapPoint>,
    /// Guests moved at once.
    #[serde(default)]
    pub at_once: Vec<ParallelPoint>,
}

impl StoredProfile {
    /// Adds it to the history.
    pub(crate) async fn keep(&self) -> Result<(), Error> {
        let history = History::open(&history_path()?).await?;
        self.keep_in(&history).await
    }

    async fn keep_in(&self, history: &History) -> Result<(), Error> {
        let profile = Profile::new(
            KIND,
            self.validity.source.hostname.as_deref(),
            self.validity.destination.hostname.as_deref(),
            self.made_at,
            self,
        )?;
        history.keep_profile(&profile).await?;
        Ok(())
    }

    /// The newest profile that holds for a source, and a destination where it
    /// is known.
    ///
    /// # Errors
    /// [`Error::NoCpuProfile`] where there is none, with what is different of
    /// the newest one; the history's own.
    pub async fn find(
        source: &HostInfo,
        destination: Option<&HostInfo>,
        accelerator: Option<&str>,
    ) -> Result<Self, Error> {
        let path = history_path()?;
        if !path.exists() {
            return Err(none(source, "the history holds none".to_owned()));
        }
        let history = History::open_existing(&path).await?;
        Self::find_in(&history, source, destination, accelerator).await
    }

    async fn find_in(
        history: &History,
        source: &HostInfo,
        destination: Option<&HostInfo>,
        accelerator: Option<&str>,
    ) -> Result<Self, Error> {
        let filter = ProfileFilter {
            kind: Some(KIND.to_owned()),
            limit: Some(LOOKED_AT),
            ..ProfileFilter::default()
        };
        let mut newest = None;
        for profile in history.profiles(&filter).await? {
            let stored: Self = profile.read()?;
            let differences = stored.validity.differs(source, destination, accelerator);
            if differences.is_empty() {
                return Ok(stored);
            }
            newest = newest.or(Some((stored.made_at, differences)));
        }
        let why = newest.map_or_else(
            || "the history holds none".to_owned(),
            |(made_at, differences)| {
                let differences = differences.join("; ");
                format!("the newest one, of {made_at}, does not hold here: {differences}")
            },
        );
        Err(none(source, why))
    }

    /// The newest profile, of whatever hosts.
    ///
    /// # Errors
    /// [`Error::NoCpuProfile`] where there is none; the history's own.
    pub(crate) async fn newest() -> Result<Self, Error> {
        let nothing = || Error::NoCpuProfile {
            host: "any host".to_owned(),
            why: "the history holds none".to_owned(),
        };
        let path = history_path()?;
        if !path.exists() {
            return Err(nothing());
        }
        let filter = ProfileFilter {
            kind: Some(KIND.to_owned()),
            limit: Some(1),
            ..ProfileFilter::default()
        };
        let history = History::open_existing(&path).await?;
        let kept = history.profiles(&filter).await?;
        Ok(kept.first().ok_or_else(nothing)?.read()?)
    }

    /// Its laws.
    pub fn laws(&self) -> CpuProfile {
        CpuProfile::fit(&self.points)
    }
}

fn none(source: &HostInfo, why: String) -> Error {
    let host = source.hostname.clone();
    Error::NoCpuProfile {
        host: host.unwrap_or_else(|| "this host".to_owned()),
        why,
    }
}

/// Where a profile is kept while it is made, unless another file is named:
/// beside the history.
///
/// # Errors
/// When there is no place for a history.
pub fn half_done_path() -> Result<PathBuf, Error> {
    Ok(history_path()?.with_file_name("cpu-profile.half-done.jsonl"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use vmferry_core::{Bytes, ExitCode, Millis, Ratio};
    use vmferry_model::cpu_profile::{Caps, Intensive};

    fn host(version: &str) -> HostInfo {
        HostInfo {
            hostname: Some("a".into()),
            hypervisor: "qemu".into(),
            hypervisor_version: Some(version.into()),
            package: None,
        }
    }

    fn stored(version: &str, made_at: &str) -> StoredProfile {
        let point = |share: f64| CapPoint {
            guest: Intensive::Cpu,
            intensity: Ratio(1.0),
            caps: Caps::at_source(Ratio(share)),
            capped_after_ms: None,
            total_time_ms: Some(Millis(1000.0 / share)),
            downtime_ms: None,
            transferred_bytes: Some(Bytes::from_mib(100)),
            source_use: None,
            destination_use: None,
        };
        StoredProfile {
            made_at: made_at.parse().unwrap(),
            validity: Validity::for_test(host(version), host(version)),
            settings: ProfileSettings::default(),
            points: [0.1, 0.2, 0.5, 1.0].map(point).to_vec(),
            at_once: Vec::new(),
        }
    }

    #[tokio::test]
    async fn a_profile_of_another_host_or_version_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let history = History::open(&dir.path().join("history.db")).await.unwrap();
        let find = async |source: &HostInfo, destination: Option<&HostInfo>| {
            StoredProfile::find_in(&history, source, destination, Some("tcg")).await
        };
        let error = find(&host("10.0.2"), None).await.unwrap_err();
        assert_eq!(error.exit_code(), ExitCode::TooLittleData);
        assert!(error.to_string().contains("vmferry profile cpu"), "{error}");

        let (old, new) = (
            stored("10.0.2", "2026-01-01T00:00:00Z"),
            stored("10.0.2", "2026-01-02T00:00:00Z"),
        );
        let other = stored("10.1.0", "2026-01-03T00:00:00Z");
        for one in [&old, &new, &other] {
            one.keep_in(&history).await.unwrap();
        }
        assert_eq!(find(&host("10.0.2"), None).await.unwrap(), new);
        let there = host("10.1.0");
        assert_eq!(find(&there, Some(&there)).await.unwrap(), other);
        assert_eq!(new.laws().guests.len(), 1);
        let error = find(&host("9.2.0"), None).await.unwrap_err();
        assert_eq!(error.exit_code(), ExitCode::TooLittleData);
        let said = error.to_string();
        assert!(
            said.contains("9.2.0") && said.contains("10.1.0 was profiled"),
            "{said}"
        );
        // The source is right, the destination is not.
        assert!(find(&host("10.0.2"), Some(&host("9.2.0"))).await.is_err());
    }
}
