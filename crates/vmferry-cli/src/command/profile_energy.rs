//! `vmferry profile energy`.

use vmferry::Error;
use vmferry::core::ExitCode;
use vmferry::energy::{self, EnergyReport, HostFilter, MeterOptions, MeterPair};

use super::drawing::Drawing;
use crate::answer::Answer;
use crate::args::{Global, ProfileEnergy};
use crate::{progress, render};

pub(crate) async fn run(global: &Global, args: &ProfileEnergy) -> Result<ExitCode, Error> {
    let answer = Answer::open(global)?;
    // A wrong path is noticed before the work begins.
    let drawing = Drawing::open(args.svg.as_deref())?;
    let report = energy(global, args).await?;
    for left_out in &report.left_out {
        progress::say(&format!("left out: {left_out}"));
    }
    if let Some(drawing) = drawing {
        if report.profiles.is_empty() {
            return Err(Error::NothingMeasured(
                "there is no profile to draw; see `vmferry profile energy --help`".to_owned(),
            ));
        }
        drawing.write(render::energy_line::svg(&report.profiles))?;
    }
    answer.give(&report, || render::energy::table(&report))?;
    Ok(ExitCode::Done)
}

async fn energy(global: &Global, args: &ProfileEnergy) -> Result<EnergyReport, Error> {
    let hosts = HostFilter {
        source: args.source_host.clone(),
        destination: args.destination_host.clone(),
    };
    if args.fit {
        return match &args.measurements {
            Some(path) => energy::fit_table(path, &hosts).await,
            None => energy::fit(&hosts).await,
        };
    }
    let meters = MeterPair {
        source: args.meter.clone(),
        destination: args.destination_meter.clone(),
    };
    let mut options = MeterOptions::default();
    options.stability.window = args.background;
    options.sampling.interval = args.interval;
    if meters == MeterPair::default() {
        return if args.moves || args.watch.is_some() {
            Err(Error::Usage(
                "nothing to meter with; give --meter METER, --destination-meter METER or both, for example --meter rapl".to_owned(),
            ))
        } else {
            energy::list().await
        };
    }
    if args.moves {
        return energy::measure_logged_moves(&meters, &hosts, &options.stability).await;
    }
    match &args.watch {
        Some(guest) => {
            let guest = super::absolute(guest)?;
            let say = |text: &str| progress::note(global, text);
            energy::measure_next_move(&guest, &meters, &hosts, &options, say).await
        }
        None => {
            progress::note(
                global,
                &format!("metering for {:.0} s", args.background.as_secs_f64()),
            );
            energy::check_meters(&meters, &options).await
        }
    }
}
