//! `vmferry record`.

use vmferry::core::ExitCode;
use vmferry::recording::{EndReason, RecordOptions, RecordRequest, TraceEnd};
use vmferry::{Error, recording};

use crate::answer::Answer;
use crate::args::{Global, Record};
use crate::{interrupt, progress, render};

pub(crate) async fn run(global: &Global, args: &Record) -> Result<ExitCode, Error> {
    let Some(file) = &global.output_file else {
        return Err(Error::Usage(
            "a recording needs a file: give --output-file FILE".into(),
        ));
    };
    let answer = Answer::on_stdout(global)?;
    let request = RecordRequest {
        guest: super::absolute(&args.guest)?,
        file: file.clone(),
        overwrite: args.force,
        options: RecordOptions {
            interval: args.interval,
            duration: args.duration,
            pages: args.pages.unwrap_or_default(),
            budget: args.budget,
            ..RecordOptions::default()
        },
    };
    let said = format!(
        "of {} for {:?} every {:?} within {} of a core",
        request.guest, args.duration, args.interval, args.budget
    );
    let (style, stop) = (global.progress, interrupt::stop_on_ctrl_c());
    let report = recording::record(&request, stop, move |pages, all| {
        progress::note_as(
            style,
            &format!("recording {pages} of {all:.0} pages {said}"),
        );
    })
    .await?;
    answer.give(&report, || render::trace::table(&report))?;
    // The trace is whole, but the guest is gone.
    Ok(match &report.summary.end {
        TraceEnd::Ended { footer } if footer.reason == EndReason::GuestExited => {
            ExitCode::Hypervisor
        }
        _ => ExitCode::Done,
    })
}
