//! `vmferry when`.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use vmferry::core::plan::MoveLimits;
use vmferry::core::{ExitCode, GuestUri, Joules};
use vmferry::model::schedule::Preference;
use vmferry::when::{HostOff, WhenRequest};
use vmferry::{Error, when};

use super::drawing::Drawing;
use crate::answer::Answer;
use crate::args::{Global, Prefer, When};
use crate::{progress, render};

pub(crate) async fn run(global: &Global, args: &When) -> Result<ExitCode, Error> {
    let answer = Answer::open(global)?;
    let drawing = Drawing::open(args.svg.as_deref())?;
    let zone = args.timezone.clone().unwrap_or_else(|| {
        TimeZone::try_system().unwrap_or_else(|error| {
            progress::note(
                global,
                &format!("the system's time zone is unknown ({error}); UTC is used"),
            );
            TimeZone::UTC
        })
    });
    let request = WhenRequest {
        guest: guest(&args.guest)?,
        traces: args.traces.clone(),
        now: args.now.unwrap_or_else(Timestamp::now),
        zone,
        within: args.within,
        every: args.every,
        bandwidth: args.bandwidth,
        limits: MoveLimits {
            max_downtime_ms: args.max_downtime.map(Into::into),
            max_bandwidth: args.max_bandwidth,
            deadline_ms: args.deadline.into(),
        },
        preference: match args.prefer {
            None => Preference::InOrder,
            Some(Prefer::Time) => Preference::Time,
            Some(Prefer::Downtime) => Preference::Downtime,
            Some(Prefer::Traffic) => Preference::Traffic,
        },
        sla: args.sla,
        count_degraded: args.count_degraded,
        host_off: args.host_power.map(|host_power| HostOff {
            guests: args.guests,
            host_power,
            boot_energy: args.boot_energy.unwrap_or(Joules(0.0)),
            move_power: args.move_power,
        }),
    };
    let report = when::when(&request).await?;
    if let Some(drawing) = drawing {
        drawing.write(render::by_hour::svg(&report))?;
    }
    answer.give(&report, || render::when::table(&report))?;
    Ok(if when::is_advisable(&report) {
        ExitCode::Done
    } else {
        ExitCode::AdvisedAgainst
    })
}

/// A guest's URI by its absolute path, as the history has it; a name or UUID as
/// it is.
fn guest(text: &str) -> Result<String, Error> {
    match text.parse::<GuestUri>() {
        Ok(uri) => Ok(super::absolute(&uri)?.to_string()),
        Err(error) if text.starts_with("qmp:") || text.starts_with("qmp+ssh:") => {
            Err(Error::Usage(error.to_string()))
        }
        Err(_) => Ok(text.to_owned()),
    }
}
