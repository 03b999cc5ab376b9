//! `vmferry predict`.

use vmferry::core::ExitCode;
use vmferry::predict::{self, PredictOptions};
use vmferry::{Error, promising};

use super::{limits, observe_options, promise};
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
        promise: promise(global, &args.limits, true)?,
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
    let converges = Some(report.forecast.converges_probability);
    Ok(
        if promising::is_advised_against(converges, report.promise.as_ref()) {
            ExitCode::AdvisedAgainst
        } else {
            ExitCode::Done
        },
    )
}
