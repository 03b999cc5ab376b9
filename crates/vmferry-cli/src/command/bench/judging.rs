//! `vmferry bench report` and `bench compare`.

use std::path::Path;

use vmferry::Error;
use vmferry::benchmarking;
use vmferry::core::ExitCode;

use crate::answer::Answer;
use crate::args::{BenchCompare, BenchReport, Global};
use crate::render;

/// Reports on a benchmark.
pub(crate) fn report(global: &Global, args: &BenchReport) -> Result<ExitCode, Error> {
    let answer = Answer::open(global)?;
    let document = benchmarking::judged(&args.benchmark, args.reference.as_ref())?;
    let page = benchmarking::page(&document.record, &document.results);
    if let Some(path) = &args.html {
        write(path, &benchmarking::html::html(&page))?;
    }
    let markdown = benchmarking::markdown::markdown(&page);
    if let Some(path) = &args.markdown {
        write(path, &markdown)?;
    }
    let document = if args.lean {
        document.leaned()
    } else {
        document
    };
    if let Some(path) = &args.json {
        let text = serde_json::to_string_pretty(&document)
            .map_err(|error| Error::Internal(error.to_string()))?;
        write(path, &text)?;
    }
    answer.give(&document, || markdown)?;
    Ok(ExitCode::Done)
}

/// Compares two benchmarks, or the subjects of one.
pub(crate) fn compare(global: &Global, args: &BenchCompare) -> Result<ExitCode, Error> {
    let answer = Answer::open(global)?;
    let comparison = benchmarking::compare(&args.baseline, args.other.as_ref(), &args.fail_if)?;
    answer.give(&comparison, || render::bench::compared(&comparison))?;
    Ok(comparison.exit_code())
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    std::fs::write(path, text).map_err(|source| Error::Io {
        what: path.display().to_string(),
        source,
    })
}
