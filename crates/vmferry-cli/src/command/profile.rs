//! `vmferry profile`.

use std::path::Path;

use vmferry::Error;
use vmferry::core::{ExitCode, Millis};
use vmferry::profiling::{self, Kept, ProfileCpuReport, ProfileSettings, ProfileStep};

use super::drawing::Drawing;
use super::profile_page::Page;
use crate::answer::Answer;
use crate::args::{Global, Profile, ProfileCpu};
use crate::interrupt::cancel_on_ctrl_c;
use crate::{progress, render};

pub(crate) async fn run(global: &Global, args: &Profile) -> Result<ExitCode, Error> {
    match args {
        Profile::Cpu(args) => cpu(global, args).await,
        Profile::Energy(args) => super::profile_energy::run(global, args).await,
    }
}

async fn cpu(global: &Global, args: &ProfileCpu) -> Result<ExitCode, Error> {
    let answer = Answer::open(global)?;
    let drawing = Drawing::open(args.svg.as_deref())?;
    let page = args.report.as_deref().map(Page::open).transpose()?;
    let report = match args.from.as_deref() {
        Some(from) if from == Path::new("history") => {
            profiling::kept_profile(Kept::History).await?
        }
        Some(file) => profiling::kept_profile(Kept::File(file)).await?,
        None => measure(global, args).await?,
    };
    if let Some(drawing) = drawing {
        drawing.write(render::cap_curves::svg(&report))?;
    }
    if let Some(page) = page {
        page.write(&report)?;
    }
    answer.give(&report, || render::profile_cpu::table(&report))?;
    Ok(ExitCode::Done)
}

async fn measure(global: &Global, args: &ProfileCpu) -> Result<ProfileCpuReport, Error> {
    let settings = ProfileSettings {
        guests: args.guests.iter().copied().map(Into::into).collect(),
        intensities: args.intensities.clone(),
        source_caps: args.source_caps.clone(),
        destination_caps: args.destination_caps.clone(),
        both_caps: args.both_caps.clone(),
        at_once: args.at_once.clone(),
        repeats: args.repeats,
        limit_ms: Millis::from(args.limit),
        link_rate: args.rate,
        ..ProfileSettings::default()
    };
    let state = match &args.state {
        Some(path) => path.clone(),
        None => profiling::half_done_path()?,
    };
    let cancel = cancel_on_ctrl_c();
    profiling::profile_cpu(
        &settings,
        &state,
        vmferry::guard_command,
        &cancel,
        |step| match step {
            ProfileStep::Doing(what) => progress::note(global, &what),
            ProfileStep::Point { point, done, all } => {
                let line = render::profile_cpu::point(&point);
                progress::note(global, &format!("{done} of {all}: {line}"));
            }
            ProfileStep::AtOnce(point) => {
                let line = format!(
                    "{} at once: all over after {}",
                    point.guests, point.makespan_ms
                );
                progress::note(global, &line);
            }
        },
    )
    .await
}
