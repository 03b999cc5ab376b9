//! `vmferry migrate`: check, forecast, ask, move, forecast beside outcome.

use vmferry::HistoryPlace;
use vmferry::core::{ExitCode, Plan};
use vmferry::migrate::DEFAULT_STALL_TIMEOUT;
use vmferry::moving::{self, MoveOptions};
use vmferry::{Error, document::MigrateReport, guard_command};

use super::{absolute, limits, observe_options, promise};
use crate::answer::Answer;
use crate::args::{Format, Global, Migrate};
use crate::progress::Progress;
use crate::{confirm, interrupt, render};

pub(crate) async fn run(global: &Global, args: &Migrate) -> Result<ExitCode, Error> {
    let answer = Answer::open(global)?;
    let plan = Plan {
        source: absolute(&args.guest)?,
        destination: absolute(&args.to)?,
        via: args.via.clone(),
        limits: limits(&args.limits),
        tls_dir: tls_dir(args)?,
        promise: promise(global, &args.limits, !args.no_forecast)?,
    };
    if plan.source == plan.destination {
        return Err(Error::Usage(format!(
            "source and destination are the same, {}; start a second QEMU with -incoming defer and give its monitor to --to",
            plan.source
        )));
    }
    let options = MoveOptions {
        history: HistoryPlace::Usual,
        model: args.forecasting.model.name(),
        bandwidth: args.limits.bandwidth,
        observe: observe_options(&args.observing),
        profile: args.limits.profile.clone(),
        forecast: !args.no_forecast,
        at_once: args.yes,
        stall_timeout: args.stall_timeout.unwrap_or(DEFAULT_STALL_TIMEOUT),
    };
    if !args.yes && !args.dry_run {
        confirm::possible()?;
    }
    let progress = Progress::new(global, answer.lines())?;
    let result = make(global, args, plan, &options, &answer, &progress).await;
    progress.finish();
    // The events that led to an error are part of the answer too.
    let written = answer.flush();
    result.and_then(|code| written.map(|()| code))
}

async fn make(
    global: &Global,
    args: &Migrate,
    plan: Plan,
    options: &MoveOptions,
    answer: &Answer,
    progress: &Progress,
) -> Result<ExitCode, Error> {
    let sink = progress.sink();
    if options.forecast && options.profile.is_none() {
        progress.note(&format!(
            "observing {} for {:?}",
            plan.source, args.observing.window
        ));
    }
    let prepared = moving::prepare(plan, options, &sink).await?;
    if let Some(forecast) = prepared.forecast() {
        progress.note(&render::forecast::lines(
            forecast,
            prepared.promise(),
            prepared.energy(),
        ));
    }
    if args.dry_run {
        let report = prepared.dry_report();
        give(answer, global, &report)?;
        return Ok(advice(&prepared));
    }
    if prepared.is_advised_against() && !args.force {
        progress.note(&advice_text(&prepared));
        give(answer, global, &prepared.dry_report())?;
        return Ok(ExitCode::AdvisedAgainst);
    }
    if !args.yes {
        // What is asked comes after what the answer depends on.
        progress.flush();
        if !confirm::ask(&format!("Move {} to {}?", args.guest, args.to))? {
            progress.note("nothing was moved");
            return Ok(ExitCode::Cancelled);
        }
    }
    let cancel = interrupt::cancel_on_ctrl_c();
    let report = prepared.go(guard_command, cancel, sink).await?;
    progress.finish();
    give(answer, global, &report)?;
    Ok(moving::exit_code(&report))
}

fn advice(prepared: &moving::PreparedMove) -> ExitCode {
    if prepared.is_advised_against() {
        ExitCode::AdvisedAgainst
    } else {
        ExitCode::Done
    }
}

fn advice_text(prepared: &moving::PreparedMove) -> String {
    if let Some(promise) = prepared.promise() {
        return format!(
            "{}\n  nothing was moved; --force moves it all the same",
            render::promise::refusal(promise)
        );
    }
    let mut text =
        "advised against: the move is not expected to converge, and nothing was moved".to_owned();
    let remedies = prepared
        .forecast()
        .map_or(&[][..], |forecast| &forecast.remedies);
    for remedy in remedies {
        text.push_str("\n  it would with ");
        text.push_str(&render::remedy::line(remedy));
    }
    text.push_str("\n  --force moves it all the same");
    text
}

/// The event stream is the answer of `-o jsonl`; the report is its last line.
fn give(answer: &Answer, global: &Global, report: &MigrateReport) -> Result<(), Error> {
    if global.output == Format::Jsonl {
        answer.line(report)
    } else {
        answer.give(report, || render::outcome::table(report))
    }
}

fn tls_dir(args: &Migrate) -> Result<Option<String>, Error> {
    let Some(dir) = &args.tls_dir else {
        return Ok(None);
    };
    let dir = std::path::absolute(dir).map_err(|source| Error::Io {
        what: dir.display().to_string(),
        source,
    })?;
    Ok(Some(dir.display().to_string()))
}
