//! `vmferry history import|imports|forget`.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use vmferry::Error;
use vmferry::core::ExitCode;
use vmferry::imports::{self, ColumnMap};

use crate::answer::Answer;
use crate::args::HistoryImport;
use crate::{progress, render};

pub(crate) async fn import(answer: &Answer, args: &HistoryImport) -> Result<ExitCode, Error> {
    let map: ColumnMap = args.map.join(",").parse()?;
    let (input, name) = open(&args.file)?;
    let source = args.source.as_ref().unwrap_or(&name);
    if source.trim().is_empty() || ["all", "live", "imported"].contains(&source.as_str()) {
        return Err(Error::Usage(format!(
            "a source cannot be called `{source}`, which means something else to `vmferry compare`; give --source NAME"
        )));
    }
    if source.chars().any(char::is_control) {
        return Err(Error::Usage(format!(
            "a source cannot be called `{}`: there are control characters in it; give --source NAME",
            imports::printable(source)
        )));
    }
    let report = imports::import(BufReader::new(input), &map, source, args.dry_run).await?;
    for row in &report.rejected {
        progress::say(&format!("{}: {}", imports::printable(&name), row.message));
    }
    answer.give(&report, || render::imports::taken(&report))?;
    let code = imports::exit_code(&report);
    if code != ExitCode::Done {
        progress::say(&format!(
            "error: nothing could be taken from {name}: {} rows were rejected; is the map right?",
            report.rejected.len()
        ));
    }
    Ok(code)
}

/// The input, and what to call it.
fn open(file: &Path) -> Result<(Box<dyn Read>, String), Error> {
    if file == Path::new("-") {
        return Ok((Box::new(io::stdin()), "standard input".to_owned()));
    }
    let input = File::open(file)
        .map_err(|error| Error::Usage(format!("{}: {error}; give a CSV file", file.display())))?;
    let name = file.file_name().unwrap_or(file.as_os_str());
    Ok((Box::new(input), name.to_string_lossy().into_owned()))
}

pub(crate) async fn list(answer: &Answer) -> Result<(), Error> {
    let list = imports::sources().await?;
    answer.give(&list, || render::imports::sources(&list))
}

pub(crate) async fn forget(answer: &Answer, source: &str) -> Result<(), Error> {
    let report = imports::forget(source).await?;
    answer.give(&report, || render::imports::forgotten(&report))
}
