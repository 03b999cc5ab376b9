//! `vmferry compare`.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread;

use vmferry::Error;
use vmferry::comparison::{self, CompareOptions};
use vmferry::core::ExitCode;

use crate::answer::Answer;
use crate::args::{Compare, Global};
use crate::counting::Counting;
use crate::render;

pub(crate) async fn run(global: &Global, args: &Compare) -> Result<ExitCode, Error> {
    let answer = Answer::open(global)?;
    let cores = || thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let options = CompareOptions {
        of: args.source.clone(),
        technique: args.technique,
        guest: args.guest.clone(),
        models: args.models.clone(),
        leave_one_out: args.leave_one_out.map(Into::into),
        rules: args.rules.into(),
        threads: args.threads.unwrap_or_else(cores),
    };
    let counting = Arc::new(Counting::new(global));
    let shown = Arc::clone(&counting);
    let watch = Arc::new(move |made: comparison::Made, step: comparison::Step| {
        shown.show(
            &format!("comparing on {} moves", made.name()),
            (step.done, step.of),
        );
    });
    let report = comparison::compare(&options, watch).await;
    counting.finish();
    let report = report?;
    answer.give(&report, || render::compare::table(&report))?;
    Ok(ExitCode::Done)
}
