//! `vmferry profile`.

use std::fs::File;
use std::io::Write as _;

use vmferry::Error;
use vmferry::core::{ExitCode, Millis};
use vmferry::profiling::{self, ProfileSettings, ProfileStep};

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
    let mut drawing = match &args.svg {
        Some(path) => Some((
            File::create(path).map_err(|error| {
                Error::Usage(format!(
                    "the drawing cannot be written to {}: {error}; give another --svg",
                    path.display()
                ))
            })?,
            path,
        )),
        None => None,
    };
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
    let report = profiling::profile_cpu(
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
    .await?;
    if let Some((file, path)) = &mut drawing {
        let svg = render::cap_curves::svg(&report).map_err(Error::Internal)?;
        file.write_all(svg.as_bytes()).map_err(|source| Error::Io {
            what: path.display().to_string(),
            source,
        })?;
    }
    answer.give(&report, || render::profile_cpu::table(&report))?;
    Ok(ExitCode::Done)
}
