//! `vmferry measure`.

use vmferry::core::{ExitCode, ObservationMethod};
use vmferry::measure::BACKGROUND_BUDGET;
use vmferry::{Error, measure};

use super::drawing::Drawing;
use super::observe_options;
use crate::answer::Answer;
use crate::args::{Global, Measure};
use crate::render;

pub(crate) async fn run(global: &Global, args: &Measure) -> Result<ExitCode, Error> {
    let answer = Answer::open(global)?;
    let drawing = Drawing::open(args.svg.as_deref())?;
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
    if let Some(drawing) = drawing {
        drawing.write(render::curves::svg(&report))?;
    }
    answer.give(&report, || render::observation::table(&report))?;
    Ok(ExitCode::Done)
}
