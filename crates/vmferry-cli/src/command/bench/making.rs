//! `vmferry bench run` and `bench resume`, on any platform.

use tokio::sync::watch;
use vmferry::Error;
use vmferry::benchmarking::{self, BenchEvent, BenchPlan, BenchRunReport, Platform};
use vmferry::core::ExitCode;

use crate::answer::Answer;
use crate::args::{BenchResume, BenchRun, Format, Global, ProgressStyle};
use crate::interrupt::end_on_ctrl_c;
use crate::{progress, render};

/// Runs the benchmark that was asked for.
pub(crate) async fn run<P: Platform>(
    global: &Global,
    args: &BenchRun,
    platform: &mut P,
) -> Result<ExitCode, Error> {
    let answer = Answer::open(global)?;
    let plan = plan(args)?;
    let minutes = plan.expected().as_secs().div_ceil(60);
    let runs = plan.runs().len();
    let about = format!("plan `{}`: {runs} runs, about {minutes} min", plan.name);
    progress::note(global, &about);
    let cancel = cancel();
    let mut tell = |event| tell(global, &answer, &event);
    let report = benchmarking::run(platform, plan, &cancel, &mut tell).await?;
    ended(global, &answer, &report)
}

/// Goes on with a benchmark.
pub(crate) async fn resume<P: Platform>(
    global: &Global,
    args: &BenchResume,
    platform: &mut P,
) -> Result<ExitCode, Error> {
    let answer = Answer::open(global)?;
    let cancel = cancel();
    let mut tell = |event| tell(global, &answer, &event);
    let (id, again) = (args.id.as_deref(), args.retry_failed);
    let report = benchmarking::resume(platform, id, again, &cancel, &mut tell).await?;
    ended(global, &answer, &report)
}

fn cancel() -> watch::Receiver<bool> {
    end_on_ctrl_c(
        "ending the benchmark as soon as the step under way is over; once more leaves at once",
        "leaving; what ran in guests may be left, see `vmferry testbed status`",
    )
}

/// The plan that was asked for.
fn plan(args: &BenchRun) -> Result<BenchPlan, Error> {
    let mut plan = match &args.plan {
        Some(path) => BenchPlan::read(path)?,
        None if args.quick => BenchPlan::quick(),
        None => BenchPlan::usual(),
    };
    if !args.workloads.is_empty() {
        plan.workloads.clone_from(&args.workloads);
    }
    if let Some(repeats) = args.repeats {
        plan.repeats = repeats;
    }
    if !args.subjects.is_empty() {
        let named = |name: &String| {
            plan.subject(name).cloned().ok_or_else(|| {
                let there: Vec<&str> = plan.subjects.iter().map(|one| one.name.as_str()).collect();
                Error::Usage(format!(
                    "the plan `{}` has no subject `{name}`; it has {}",
                    plan.name,
                    there.join(", ")
                ))
            })
        };
        plan.subjects = args.subjects.iter().map(named).collect::<Result<_, _>>()?;
    }
    Ok(plan)
}

/// Events go to standard error, and as lines into the answer where it is a stream.
fn tell(global: &Global, answer: &Answer, event: &BenchEvent) {
    if let Some(lines) = answer.lines()
        && let Err(error) = lines.queue(event)
    {
        progress::say_error(&error);
    }
    match global.progress {
        ProgressStyle::None => {
            if let BenchEvent::Warning { message } = event {
                progress::say(&format!("warning: {message}"));
            }
        }
        ProgressStyle::Json => {
            if let Ok(line) = serde_json::to_string(event) {
                progress::say(&line);
            }
        }
        ProgressStyle::Auto | ProgressStyle::Plain | ProgressStyle::Bar => {
            progress::say(&render::bench::event(event));
        }
    }
}

fn ended(global: &Global, answer: &Answer, report: &BenchRunReport) -> Result<ExitCode, Error> {
    if global.output == Format::Jsonl {
        answer.flush()?;
    } else {
        answer.give(report, || render::bench::ended(report))?;
    }
    Ok(report.exit_code())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    /// The options by themselves.
    #[derive(Debug, Parser)]
    struct Run {
        #[command(flatten)]
        args: BenchRun,
    }

    fn planned(arguments: &[&str]) -> Result<BenchPlan, Error> {
        plan(&Run::parse_from(["run"].iter().chain(arguments)).args)
    }

    #[test]
    fn options_take_parts_of_a_plan() {
        assert_eq!(planned(&[]).unwrap(), BenchPlan::usual());
        assert_eq!(planned(&["--quick"]).unwrap(), BenchPlan::quick());
        let arguments = ["--quick", "--workload", "standby,web", "--repeats", "3"];
        let plan = planned(&arguments).unwrap();
        assert_eq!(
            (plan.workloads.join(" ").as_str(), plan.repeats),
            ("standby web", 3)
        );
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/virt-lm/plan.toml");
        let plan = planned(&[path, "--subject", "multifd,default"]).unwrap();
        let names: Vec<&str> = plan.subjects.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["multifd", "default"]);
        let error = planned(&["--quick", "--subject", "xen"])
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("no subject `xen`; it has default"),
            "{error}"
        );
    }
}
