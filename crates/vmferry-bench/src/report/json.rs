//! The document in JSON: every raw sample, and what follows from them.

use std::fs;
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::results::Results;
use crate::error::BenchError;
use crate::record::{BenchRecord, ProbeTrace};

/// Version of the document.
const VERSION: u32 = 1;

/// A benchmark and what follows from it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BenchDocument {
    /// 1.
    pub schema_version: u32,
    /// Whether the traces of probes, but for their pace, and the series of clients were left out.
    pub lean: bool,
    /// What was measured.
    pub record: BenchRecord,
    /// What follows from it.
    pub results: Results,
}

impl BenchDocument {
    /// Everything.
    pub fn whole(record: &BenchRecord, results: &Results) -> Self {
        Self {
            schema_version: VERSION,
            lean: false,
            record: record.clone(),
            results: results.clone(),
        }
    }

    /// The same without the traces of probes and the series of clients, which are most of it; all
    /// that was computed of them stays.
    #[must_use]
    pub fn leaned(mut self) -> Self {
        self.lean = true;
        for run in &mut self.record.runs {
            for service in [&mut run.reference, &mut run.migrated]
                .into_iter()
                .flatten()
            {
                service.series.clear();
            }
            let traces = run.points.iter_mut().flat_map(|point| &mut point.probes);
            traces.for_each(ProbeTrace::empty);
        }
        self
    }
}

/// What was measured, out of the file of a document. What followed from it is not read: it is
/// computed again, and other versions of vmferry computed something else.
///
/// # Errors
/// [`BenchError::NoReport`] where the file cannot be read, is no such document, or is too new.
pub fn read(path: &Path) -> Result<BenchRecord, BenchError> {
    let refused = |problem: String| BenchError::NoReport {
        path: path.to_owned(),
        problem,
    };
    let no_report = |error: serde_json::Error| {
        refused(format!(
            "this is no report of a benchmark (`bench report --json`): {error}"
        ))
    };
    let text = fs::read(path).map_err(|error| refused(error.to_string()))?;
    let version: Version = serde_json::from_slice(&text).map_err(no_report)?;
    if version.schema_version > VERSION {
        return Err(refused(format!(
            "too new: version {}, this vmferry reads up to {VERSION}",
            version.schema_version
        )));
    }
    let kept: Kept = serde_json::from_slice(&text).map_err(no_report)?;
    Ok(kept.record)
}

#[derive(Deserialize)]
struct Version {
    schema_version: u32,
}

#[derive(Deserialize)]
struct Kept {
    record: BenchRecord,
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::fixture::{Figures, plan, record};
    use crate::report::{markdown::markdown, page};

    /// Every report in JSON below a directory.
    fn reports(below: &Path) -> Vec<PathBuf> {
        let entries = fs::read_dir(below).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        let found = paths.flat_map(|path| match path.is_dir() {
            true => reports(&path),
            false => vec![path],
        });
        found.filter(|path| path.ends_with("report.json")).collect()
    }

    #[test]
    fn every_report_of_this_repository_can_be_read_and_reported_on_again() {
        let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/virt-lm");
        let reports = reports(&kept);
        assert!(!reports.is_empty(), "none below {}", kept.display());
        for path in reports {
            let record = read(&path).unwrap();
            assert!(!record.runs.is_empty(), "{}", path.display());
            let page = page(&record, &Results::of(&record, None));
            assert!(markdown(&page).contains(&record.plan.subjects[0].name));
        }
    }

    #[test]
    fn only_what_was_measured_is_read_and_never_what_is_too_new() {
        let record = record(plan(&["a"], &["web"]), |_, _| Figures::default());
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("report.json");
        let read_back = |document: &serde_json::Value| {
            fs::write(&path, document.to_string()).unwrap();
            read(&path).map_err(|error| error.to_string())
        };
        let whole = BenchDocument::whole(&record, &Results::of(&record, None));
        let mut document = serde_json::to_value(&whole).unwrap();
        document["results"] = serde_json::json!({ "of": "another version" });
        assert_eq!(read_back(&document).unwrap().plan, record.plan);

        document["schema_version"] = 2.into();
        document["record"] = serde_json::json!("of another kind");
        let told = read_back(&document).unwrap_err();
        let wanted = "report.json: too new: version 2, this vmferry reads up to 1";
        assert!(told.ends_with(wanted), "{told}");

        let told = read_back(&serde_json::json!({ "runs": [] })).unwrap_err();
        assert!(told.contains("no report of a benchmark"), "{told}");
        let told = read(&place.path().join("none")).unwrap_err().to_string();
        assert!(told.contains("No such file"), "{told}");
    }

    #[test]
    fn a_lean_document_still_tells_how_often_was_asked() {
        let record = record(plan(&["a"], &["web"]), |_, _| Figures::default());
        let lean = BenchDocument::whole(&record, &Results::of(&record, None)).leaned();
        let (whole, left) = (&record.runs[0].points[0], &lean.record.runs[0].points[0]);
        for (whole, left) in whole.probes.iter().zip(&left.probes) {
            assert!(left.asked_ms.is_empty() && left.latency_ms.is_empty());
            assert_eq!((left.kind, left.pace()), (whole.kind, whole.pace()));
            assert!(left.pace().is_some());
        }
        assert_eq!(left.probes.len(), 3);
        let said = |record: &BenchRecord| {
            let text = markdown(&page(record, &Results::of(record, None)));
            let mut lines = text.lines().map(str::to_owned);
            lines.find(|line| line.starts_with("Asked every"))
        };
        assert!(said(&record).is_some());
        assert_eq!(said(&lean.record), said(&record));
    }
}
