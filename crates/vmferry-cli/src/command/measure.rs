//! `vmferry measure`.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use vmferry::core::{ExitCode, ObservationMethod};
use vmferry::measure::BACKGROUND_BUDGET;
use vmferry::{Error, measure};

use super::observe_options;
use crate::answer::Answer;
use crate::args::{Global, Measure};
use crate::render;

pub(crate) async fn run(global: &Global, args: &Measure) -> Result<ExitCode, Error> {
    let answer = Answer::open(global)?;
    let mut drawing = args.svg.as_deref().map(create).transpose()?;
    let guest = super::absolute(&args.guest)?;
    let options = observe_options(&args.observing);
    let budget = options.pages.budget;
    crate::progress::note(
        global,
        &format!(
            "observing {guest} for {:?} within {budget} of a core",
            args.observing.window
        ),
    );
    let mut report = measure::measure(&guest, &options).await?;
    let observation = &mut report.observation;
    if args.observing.budget.is_none()
        && budget == BACKGROUND_BUDGET
        && observation.method == ObservationMethod::PageHash
    {
        observation.notes.push(format!(
            "a window above 15 s is observed within {budget} of a core; --budget 20% looks closer"
        ));
    }
    if let (Some(file), Some(path)) = (&mut drawing, &args.svg) {
        let svg = render::curves::svg(&report).map_err(Error::Internal)?;
        file.write_all(svg.as_bytes()).map_err(|source| Error::Io {
            what: path.display().to_string(),
            source,
        })?;
    }
    answer.give(&report, || render::observation::table(&report))?;
    Ok(ExitCode::Done)
}

/// Opened before the work begins, so that a wrong path is noticed at once.
fn create(path: &Path) -> Result<File, Error> {
    File::create(path).map_err(|error| {
        Error::Usage(format!(
            "the drawing cannot be written to {}: {error}; give another --svg",
            path.display()
        ))
    })
}
