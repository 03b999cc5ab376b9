//! An observation kept in a file: `measure -o json` writes it, `--profile`
//! reads it.

use std::fs;
use std::path::Path;

use vmferry_core::{GuestInfo, Observation, SCHEMA_VERSION};

use crate::Error;
use crate::document::MeasureReport;

/// Reads the observation of a profile.
///
/// # Errors
/// As [`read_report`].
pub fn read(path: &Path) -> Result<Observation, Error> {
    read_report(path).map(|report| report.observation)
}

/// Reads a profile.
///
/// # Errors
/// When the file is missing, no profile, damaged, or written by a newer
/// vmferry.
pub fn read_report(path: &Path) -> Result<MeasureReport, Error> {
    let fail = |problem: String| Error::Profile {
        path: path.to_owned(),
        problem,
    };
    let text = fs::read(path).map_err(|error| fail(error.to_string()))?;
    let value: serde_json::Value = serde_json::from_slice(&text)
        .map_err(|error| fail(format!("no JSON document ({error})")))?;
    match value
        .get("schema_version")
        .and_then(serde_json::Value::as_u64)
    {
        None => return Err(fail("no vmferry document: it has no schema_version".into())),
        Some(version) if version > u64::from(SCHEMA_VERSION) => {
            return Err(fail(format!(
                "too new: schema version {version}, this vmferry reads up to {SCHEMA_VERSION}"
            )));
        }
        Some(_) => {}
    }
    serde_json::from_value(value).map_err(|error| fail(format!("no profile ({error})")))
}

/// Whether a profile may speak for a guest.
///
/// # Errors
/// When it was made of a guest with another UUID or another memory size.
pub fn fits(path: &Path, profile: &Observation, guest: &GuestInfo) -> Result<(), Error> {
    let fail = |problem: String| {
        Err(Error::Profile {
            path: path.to_owned(),
            problem,
        })
    };
    if let (Some(of), Some(wanted)) = (&profile.guest.uuid, &guest.uuid)
        && of != wanted
    {
        return fail(format!(
            "it was made of another guest (UUID {of}, not {wanted})"
        ));
    }
    if let (Some(of), Some(wanted)) = (profile.guest.memory_bytes, guest.memory_bytes)
        && of != wanted
    {
        return fail(format!(
            "it was made of a guest with {of} of memory, not {wanted}"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_files_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("guest.json");
        let mut messages = vec![read(&path).unwrap_err().to_string()];
        for text in [
            "nonsense",
            "{}",
            r#"{"schema_version": 99}"#,
            r#"{"schema_version": 1}"#,
        ] {
            fs::write(&path, text).unwrap();
            messages.push(read(&path).unwrap_err().to_string());
        }
        for (message, part) in messages.iter().zip([
            "No such file",
            "no JSON",
            "no schema_version",
            "too new",
            "no profile",
        ]) {
            assert!(
                message.contains(part) && message.contains("vmferry measure"),
                "{message}"
            );
        }
    }
}
