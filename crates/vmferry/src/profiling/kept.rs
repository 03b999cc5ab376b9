//! Profiles that were measured before, read again: nothing is measured, and the
//! laws are those that this version fits.

use std::fs;
use std::path::Path;

use jiff::Timestamp;

use super::half_done::SoFar;
use super::stored::StoredProfile;
use super::{ProfileCpuReport, report};
use crate::Error;

/// Where a profile is taken from that is not measured now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept<'a> {
    /// The newest one of the history, of whatever hosts.
    History,
    /// A file: what an earlier run answered as JSON, or what one that was not
    /// finished has measured so far.
    File(&'a Path),
}

/// Reports a profile that was measured before.
///
/// # Errors
/// [`Error::NoCpuProfile`] where the history holds none, [`Error::Usage`] for a
/// file that holds none, and [`Error::TooFewCaps`] where too few of its moves
/// converged for any law.
pub async fn kept_profile(kept: Kept<'_>) -> Result<ProfileCpuReport, Error> {
    match kept {
        Kept::History => report(StoredProfile::newest().await?, Path::new("the history")),
        Kept::File(path) => report(in_file(path)?, path),
    }
}

fn in_file(path: &Path) -> Result<StoredProfile, Error> {
    let fail = |source| Error::Io {
        what: format!("the profile {}", path.display()),
        source,
    };
    let text = fs::read_to_string(path).map_err(fail)?;
    if let Ok(stored) = serde_json::from_str(&text) {
        return Ok(stored);
    }
    let so_far = SoFar::in_text(&text).map_err(|problem| {
        Error::Usage(format!(
            "{} is neither the JSON of a profile nor one that is half done: {problem}",
            path.display()
        ))
    })?;
    let Some((settings, validity)) = so_far.begun else {
        return Err(Error::Usage(format!(
            "{} is a half-done profile of another version of vmferry, or an empty file",
            path.display()
        )));
    };
    let written = fs::metadata(path).and_then(|about| about.modified());
    let made_at = Timestamp::try_from(written.map_err(fail)?)
        .map_err(|error| Error::Internal(format!("the age of {}: {error}", path.display())))?;
    Ok(StoredProfile {
        made_at,
        validity,
        settings,
        points: so_far.points,
        at_once: so_far.at_once,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profiling::half_done::HalfDone;
    use crate::profiling::limits::tests::stored;

    #[tokio::test]
    async fn a_profile_is_reported_again_without_measuring() {
        let dir = tempfile::tempdir().unwrap();
        let kept = stored();
        let first = report(kept.clone(), dir.path()).unwrap();
        // What it answered as JSON.
        let whole = dir.path().join("whole.json");
        fs::write(&whole, serde_json::to_string_pretty(&first).unwrap()).unwrap();
        let scale = |report: &ProfileCpuReport| {
            let law = &report.profile.guests[0].source.as_ref().unwrap().time.law;
            (report.points.len(), law.scale)
        };
        // Numbers in JSON may differ in their last digit.
        let same = |again: &ProfileCpuReport| {
            let ((points, ours), (all, theirs)) = (scale(again), scale(&first));
            points == all && (ours / theirs - 1.0).abs() < 1e-9
        };
        let again = kept_profile(Kept::File(&whole)).await.unwrap();
        assert!(same(&again) && again.made_at == first.made_at, "{again:?}");
        // What it had measured when it was cut off.
        let half = dir.path().join("half.jsonl");
        let mut file = HalfDone::open(&half, &kept.settings, &kept.validity).unwrap();
        for point in &kept.points {
            file.add(point.clone()).unwrap();
        }
        let again = kept_profile(Kept::File(&half)).await.unwrap();
        assert!(
            same(&again) && again.settings == first.settings,
            "{again:?}"
        );
    }

    #[tokio::test]
    async fn what_is_no_profile_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("other");
        assert!(matches!(
            kept_profile(Kept::File(&path)).await,
            Err(Error::Io { .. })
        ));
        for text in ["", "{}\n", "hello\n", "hello"] {
            fs::write(&path, text).unwrap();
            let refused = kept_profile(Kept::File(&path)).await;
            assert!(
                matches!(refused, Err(Error::Usage(_))),
                "{text}: {refused:?}"
            );
        }
        let few = stored();
        let mut file =
            HalfDone::open(&dir.path().join("few"), &few.settings, &few.validity).unwrap();
        file.add(few.points[0].clone()).unwrap();
        let refused = kept_profile(Kept::File(&dir.path().join("few"))).await;
        assert!(
            matches!(refused, Err(Error::TooFewCaps { .. })),
            "{refused:?}"
        );
    }
}
