//! `vmferry choose`: which guests to move, and moving them.

use vmferry::choosing::report::ChooseReport;
use vmferry::choosing::{self, ChooseOptions, Chosen, DestinationHost, Executing, HostUri};
use vmferry::core::ExitCode;
use vmferry::core::plan::MoveLimits;
use vmferry::measure::{Method, ObserveOptions, PageOptions};
use vmferry::model::choice::{Demand, Preset, Verdict};
use vmferry::precopy::tuning::AdaptiveRate;
use vmferry::{Error, guard_command};

use super::drawing::Drawing;
use crate::answer::Answer;
use crate::args::{self, Choose, Format, Global};
use crate::progress::Progress;
use crate::{confirm, interrupt, render};

pub(crate) async fn run(global: &Global, args: &Choose) -> Result<ExitCode, Error> {
    let answer = Answer::open(global)?;
    let options = options(args)?;
    let drawing = Drawing::open(args.svg.as_deref())?;
    if args.execute && !args.yes {
        confirm::possible()?;
    }
    let progress = Progress::new(global, answer.lines())?;
    let result = make(global, args, &options, drawing, &answer, &progress).await;
    progress.finish();
    let written = answer.flush();
    result.and_then(|code| written.map(|()| code))
}

fn options(args: &Choose) -> Result<ChooseOptions, Error> {
    if !args.via.is_empty() && args.to.len() != args.via.len() {
        return Err(Error::Usage(format!(
            "{} --to and {} --via were given; give one address for each host, in the same order",
            args.to.len(),
            args.via.len()
        )));
    }
    let from = absolute(&args.from)?;
    let mut to = Vec::with_capacity(args.to.len());
    for (place, host) in args.to.iter().enumerate() {
        let host = absolute(host)?;
        if host == from || to.iter().any(|other: &DestinationHost| other.host == host) {
            return Err(Error::Usage(format!(
                "{host} is given twice; the directories of --from and of every --to must differ"
            )));
        }
        let via = args.via.get(place).cloned();
        let destination = DestinationHost::new(host.clone(), via).ok_or_else(|| {
            Error::Usage(format!(
                "where the hypervisors of {host} shall listen is unknown; give --via tcp:HOST:PORT, as the source reaches it"
            ))
        })?;
        to.push(destination);
    }
    let demand = match (args.count, args.free_memory, args.free_cpu) {
        (_, Some(memory), _) => Demand::Memory(memory),
        (_, _, Some(cpu)) => Demand::Cpu(cpu),
        (count, None, None) => Demand::Count(count.unwrap_or(1)),
    };
    Ok(ChooseOptions {
        from,
        to,
        demand,
        weights: args
            .weights
            .unwrap_or_else(|| Preset::from(args.prefer).weights()),
        worth: args.worth,
        model: args.forecasting.model.name(),
        limits: MoveLimits {
            max_downtime_ms: args.max_downtime.map(Into::into),
            max_bandwidth: args.max_bandwidth,
            deadline_ms: args.deadline.into(),
        },
        rate: args.courtesy.map(|bounds| {
            AdaptiveRate::new(AdaptiveRate::liu2011().delta, bounds.least, bounds.most)
        }),
        bandwidth: args.bandwidth,
        observe: ObserveOptions {
            pages: PageOptions {
                window: args.window,
                pages: args.pages as usize,
                budget: args.budget,
                ..PageOptions::default()
            },
            method: match args.method {
                args::Method::Auto => Method::Auto,
                args::Method::Pages => Method::Pages,
                args::Method::Qmp => Method::Qmp,
            },
        },
    })
}

/// The same host by an absolute path.
fn absolute(host: &HostUri) -> Result<HostUri, Error> {
    match host {
        HostUri::Directory(path) => {
            let path = std::path::absolute(path).map_err(|source| Error::Io {
                what: path.display().to_string(),
                source,
            })?;
            Ok(HostUri::Directory(path))
        }
        other => Ok(other.clone()),
    }
}

async fn make(
    global: &Global,
    args: &Choose,
    options: &ChooseOptions,
    drawing: Option<Drawing>,
    answer: &Answer,
    progress: &Progress,
) -> Result<ExitCode, Error> {
    let Chosen { mut report, ready } =
        choosing::choose(options, |text| progress.note(text)).await?;
    if let Some(drawing) = drawing {
        drawing.write(render::cost_bars::svg(&report))?;
    }
    if !args.execute || report.choice.verdict != Verdict::Move {
        give(answer, global, &report)?;
        return Ok(choosing::advice(&report));
    }
    let names = report.choice.option.guests.join(", ");
    if !args.yes {
        progress.note(&render::choose::table(&report));
        // What is asked comes after what the answer depends on.
        progress.flush();
        if !confirm::ask(&format!("Move {names}?"))? {
            progress.note("nothing was moved");
            return Ok(ExitCode::Cancelled);
        }
    }
    let executing = Executing {
        model: &options.model,
        guard: guard_command,
        cancel: interrupt::cancel_on_ctrl_c(),
        sink: progress.sink(),
        stall_timeout: args.stall_timeout.unwrap_or(Executing::STALL_TIMEOUT),
    };
    let tell = |one: &choosing::Ready| {
        progress.note(&format!("moving {} to {}", one.name, one.plan.destination));
    };
    let (moves, result) = executing.run(&ready, tell).await;
    progress.finish();
    let code = choosing::exit_code(&moves, ready.len());
    report.moves = moves;
    give(answer, global, &report)?;
    result.map(|()| code)
}

/// The event stream is the answer of `-o jsonl`; the report is its last line.
fn give(answer: &Answer, global: &Global, report: &ChooseReport) -> Result<(), Error> {
    if global.output == Format::Jsonl {
        answer.line(report)
    } else {
        answer.give(report, || render::choose::table(report))
    }
}
