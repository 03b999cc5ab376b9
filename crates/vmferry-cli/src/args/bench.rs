//! Arguments of `bench`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use vmferry::benchmarking::{Gate, SideRef};

/// Subcommands of `bench`.
#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// Run a benchmark: services in guests of a testbed, moved at every point
    Run(BenchRun),
    /// Go on with a benchmark that was interrupted
    Resume(BenchResume),
    /// Report on a benchmark, also on one that is under way
    Report(BenchReport),
    /// Say which differences are real: of two benchmarks, or of the subjects of one
    Compare(BenchCompare),
    /// List benchmarks, latest first
    List,
}

/// Arguments of `bench run`.
#[derive(Debug, Args)]
#[command(
    after_help = "Needs root, and a machine that does nothing else. Every run is kept as soon as it has ended: \
    after Ctrl-C, a crash or a full disk `vmferry bench resume` goes on. A run that fails is kept with its failure, \
    and the others are made. A plan file is explained in docs/virt-lm/plan.toml."
)]
pub(crate) struct BenchRun {
    /// A plan file (TOML) [default: web, postgres and standby, under light and heavy load, twice:
    /// within 60 minutes]
    #[arg(conflicts_with = "quick")]
    pub(crate) plan: Option<PathBuf>,
    /// Two workloads, light load, three points, once: within 5 minutes
    #[arg(long)]
    pub(crate) quick: bool,
    /// Only these subjects of the plan; the first is the one the others are compared with
    #[arg(long = "subject", value_name = "NAME", value_delimiter = ',')]
    pub(crate) subjects: Vec<String>,
    /// Only these workloads
    #[arg(long = "workload", value_name = "NAME", value_delimiter = ',')]
    pub(crate) workloads: Vec<String>,
    /// So many runs of everything
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) repeats: Option<u32>,
}

/// Arguments of `bench resume`.
#[derive(Debug, Args)]
pub(crate) struct BenchResume {
    /// Its identifier, or an unambiguous beginning [default: the latest that was interrupted]
    pub(crate) id: Option<String>,
    /// Make the runs again that failed, too
    #[arg(long)]
    pub(crate) retry_failed: bool,
}

/// Arguments of `bench report`.
#[derive(Debug, Args)]
#[command(
    after_help = "Without files the report is printed as Markdown. The HTML page needs nothing beside itself. The report \
    says how the reference was measured, and what was different there; `vmferry bench report shipped` reports on it alone."
)]
pub(crate) struct BenchReport {
    /// Its identifier, an unambiguous beginning, the JSON file of a report, or `shipped`
    #[arg(value_name = "BENCHMARK")]
    pub(crate) benchmark: SideRef,
    /// What has 1000 in the scores: BENCHMARK, BENCHMARK:SUBJECT, or `shipped`, what was measured
    /// once and comes with vmferry [default: its own first subject]
    #[arg(long, value_name = "BENCHMARK")]
    pub(crate) reference: Option<SideRef>,
    /// Write the page, with drawings, into this file
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Write the page as Markdown into this file
    #[arg(long, value_name = "FILE")]
    pub(crate) markdown: Option<PathBuf>,
    /// Write everything that was measured, and what follows from it, into this file
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Leave single answers of probes and the clients' series out of JSON
    #[arg(long)]
    pub(crate) lean: bool,
}

/// Arguments of `bench compare`.
#[derive(Debug, Args)]
#[command(
    after_help = "Gates hold means against their limits: a value that the baseline has and the other lacks fails, noise is told \
    beside a verdict and does not change it."
)]
pub(crate) struct BenchCompare {
    /// What is compared with: BENCHMARK or BENCHMARK:SUBJECT, its first subject where none is named
    #[arg(value_name = "BASELINE")]
    pub(crate) baseline: SideRef,
    /// What is compared [default: every other subject of the baseline's benchmark]
    #[arg(value_name = "BENCHMARK")]
    pub(crate) other: Option<SideRef>,
    /// End with 30 where a metric is above its limit; in quotes, since `>` is the shell's:
    /// --fail-if 'downtime>+10%', 'total-time>5s', 'score.overhead>1100'
    #[arg(long = "fail-if", value_name = "GATE")]
    pub(crate) fail_if: Vec<Gate>,
}
