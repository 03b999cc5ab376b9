//! Kept benchmarks, reported on and compared.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use vmferry_bench::compare::Comparison;
use vmferry_bench::gate::{Gate, GateResult};
use vmferry_bench::record::BenchRecord;
use vmferry_bench::reference;
use vmferry_bench::report::json::{self, BenchDocument};
use vmferry_bench::report::results::Results;
use vmferry_bench::side::Side;

use super::{BenchComparison, read};
use crate::Error;
use crate::document::Versions;

/// A benchmark, or one subject of it: `BENCHMARK` or `BENCHMARK:SUBJECT`. A benchmark is the
/// beginning of its identifier, the file of a report (JSON), or `shipped`, the reference that
/// comes with vmferry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SideRef {
    benchmark: String,
    subject: Option<String>,
}

impl FromStr for SideRef {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (benchmark, subject) = match text.rsplit_once(':') {
            Some((benchmark, subject)) => (benchmark, Some(subject)),
            None => (text, None),
        };
        if benchmark.is_empty() || subject == Some("") {
            return Err(format!(
                "`{text}` names no benchmark; write ID, ID:SUBJECT, the file of a report, or shipped"
            ));
        }
        Ok(Self {
            benchmark: benchmark.to_owned(),
            subject: subject.map(str::to_owned),
        })
    }
}

impl fmt::Display for SideRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.subject {
            None => f.write_str(&self.benchmark),
            Some(subject) => write!(f, "{}:{subject}", self.benchmark),
        }
    }
}

impl SideRef {
    /// What was measured.
    fn record(&self) -> Result<BenchRecord, Error> {
        if self.benchmark == reference::NAME {
            return shipped();
        }
        let path = Path::new(&self.benchmark);
        if !path.is_file() {
            return read(&self.benchmark);
        }
        Ok(json::read(path)?)
    }

    /// The subject meant: the first where none is named.
    fn side<'a>(&self, record: &'a BenchRecord) -> Result<Side<'a>, Error> {
        let name = match &self.subject {
            Some(subject) => subject.as_str(),
            None => first(record)?,
        };
        Ok(Side::new(record, name)?)
    }
}

fn first(record: &BenchRecord) -> Result<&str, Error> {
    let first = record.plan.subjects.first();
    let none = || Error::Usage(format!("benchmark {} has no subjects", record.id));
    first.map(|subject| subject.name.as_str()).ok_or_else(none)
}

/// The record of the reference that comes with vmferry.
///
/// # Errors
/// Where this build of vmferry is damaged.
pub fn shipped() -> Result<BenchRecord, Error> {
    reference::shipped()
        .map_err(|error| Error::Internal(format!("the reference that comes with vmferry: {error}")))
}

/// A benchmark with all that follows from it. Scores are against `reference`, else against the
/// benchmark's own first subject.
///
/// # Errors
/// When one of them is not there or cannot be read.
pub fn judged(benchmark: &SideRef, reference: Option<&SideRef>) -> Result<BenchDocument, Error> {
    let record = benchmark.record()?;
    let results = match reference {
        None => Results::of(&record, None),
        Some(reference) => {
            let other = reference.record()?;
            Results::of(&record, Some(reference.side(&other)?))
        }
    };
    Ok(BenchDocument::whole(&record, &results))
}

/// Compares `other` with `baseline`; without another, every other subject of the baseline's
/// benchmark with it. Gates look at what is compared with the baseline.
///
/// # Errors
/// When one of them is not there or cannot be read, or there is nothing to compare.
pub fn compare(
    baseline: &SideRef,
    other: Option<&SideRef>,
    gates: &[Gate],
) -> Result<BenchComparison, Error> {
    let record = baseline.record()?;
    let base = baseline.side(&record)?;
    let other = match other {
        Some(other) => Some((other, other.record()?)),
        None => None,
    };
    let judged: Vec<Side<'_>> = match &other {
        Some((other, record)) => vec![other.side(record)?],
        None => Side::all(&record)
            .into_iter()
            .filter(|side| side.name() != base.name())
            .collect(),
    };
    if judged.is_empty() {
        return Err(Error::Usage(format!(
            "`{baseline}` has one subject only; name a second benchmark to compare it with"
        )));
    }
    let comparisons = Comparison::of_all(&judged, base);
    let mut results: Vec<GateResult> = Vec::new();
    for side in &judged {
        for gate in gates {
            results.push(gate.evaluate(*side, Some(base))?);
        }
    }
    Ok(BenchComparison {
        versions: Versions::default(),
        comparisons,
        gates: results,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_are_read_and_said() {
        for text in [
            "shipped",
            "0199",
            "0199:multifd",
            "docs/virt-lm/report.json:default",
        ] {
            assert_eq!(
                text.parse::<SideRef>().map(|side| side.to_string()),
                Ok(text.to_owned())
            );
        }
        let error = ":multifd".parse::<SideRef>().unwrap_err();
        assert!(error.contains("ID:SUBJECT"), "{error}");
        assert!("0199:".parse::<SideRef>().is_err());
    }

    #[test]
    fn the_shipped_reference_has_1000_and_is_told() {
        let side: SideRef = "shipped".parse().unwrap();
        let document = judged(&side, Some(&side)).unwrap();
        let score = &document.results.scores[0].scores[0];
        assert!((score.score.unwrap() - 1000.0).abs() < 1e-6, "{score:?}");
        let unknown: SideRef = "shipped:none".parse().unwrap();
        let error = judged(&side, Some(&unknown)).unwrap_err().to_string();
        assert!(error.contains("has no subject `none`"), "{error}");
    }
}
