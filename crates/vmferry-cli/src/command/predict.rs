//! `vmferry predict`.

use vmferry::core::ExitCode;
use vmferry::predict::{self, PredictOptions};
use vmferry::{Error, moving};

use super::{limits, observe_options};
use crate::answer::Answer;
use crate::args::{Global, Predict};
use crate::render;

pub(crate) async fn run(global: &Global, args: &Predict) -> Result<ExitCode, Error> {
    let answer = Answer::open(global)?;
    let guest = super::absolute(&args.guest)?;
    let to = args.to.as_ref().map(super::absolute).transpose()?;
    let options = PredictOptions {
        model: args.forecasting.model.name(),
        limits: limits(&args.limits),
        bandwidth: args.limits.bandwidth,
        observe: observe_options(&args.observing),
        profile: args.limits.profile.clone(),
        route: to.zip(args.via.clone()),
        cpu: args.cpu.caps(),
    };
    if args.limits.profile.is_none() {
        crate::progress::note(
            global,
            &format!("observing {guest} for {:?}", args.observing.window),
        );
    }
    let report = predict::predict(&guest, &options).await?;
    answer.give(&report, || render::forecast::table(&report))?;
    Ok(
        if report.forecast.converges_probability < moving::ADVISABLE {
            ExitCode::AdvisedAgainst
        } else {
            ExitCode::Done
        },
    )
}
