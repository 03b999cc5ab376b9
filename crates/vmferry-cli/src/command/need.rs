//! `vmferry need`.

use vmferry::core::ExitCode;
use vmferry::model::cpu_profile::Caps;
use vmferry::predict::PredictOptions;
use vmferry::{Error, models, profiling};

use super::{limits, observe_options};
use crate::answer::Answer;
use crate::args::{Global, Need};
use crate::{progress, render};

pub(crate) async fn run(global: &Global, args: &Need) -> Result<ExitCode, Error> {
    let answer = Answer::open(global)?;
    let guest = super::absolute(&args.guest)?;
    let to = args.to.as_ref().map(super::absolute).transpose()?;
    let options = PredictOptions {
        promise: None,
        model: models::DEFAULT.to_owned(),
        limits: limits(&args.limits),
        bandwidth: args.limits.bandwidth,
        observe: observe_options(&args.observing),
        profile: args.limits.profile.clone(),
        route: to.zip(args.via.clone()),
        cpu: Caps::default(),
    };
    if args.limits.profile.is_none() {
        let what = format!("observing {guest} for {:?}", args.observing.window);
        progress::note(global, &what);
    }
    let report =
        profiling::need(&guest, &options, !args.bandwidth_only, args.guests.into()).await?;
    answer.give(&report, || render::need::table(&report))?;
    Ok(if report.is_possible() {
        ExitCode::Done
    } else {
        ExitCode::AdvisedAgainst
    })
}
