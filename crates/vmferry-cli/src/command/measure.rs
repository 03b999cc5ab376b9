//! `vmferry measure`.

use vmferry::core::ExitCode;
use vmferry::{Error, measure};

use super::observe_options;
use crate::answer::Answer;
use crate::args::{Global, Measure};
use crate::render;

pub(crate) async fn run(global: &Global, args: &Measure) -> Result<ExitCode, Error> {
    let answer = Answer::open(global)?;
    let guest = super::absolute(&args.guest)?;
    let options = observe_options(&args.observing);
    crate::progress::note(
        global,
        &format!("observing {guest} for {:?}", args.observing.window),
    );
    let report = measure::measure(&guest, &options).await?;
    answer.give(&report, || render::observation::table(&report))?;
    Ok(ExitCode::Done)
}
