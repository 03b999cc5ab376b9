//! Arguments of `bench`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Subcommands of `bench`.
#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// List benchmarks, latest first
    List,
}

/// Arguments of `bench run`.
#[derive(Debug, Args)]
#[command(
    after_help = "Needs root, and a machine that does nothing else. Every run is kept as soon as it has ended: after Ctrl-C, a\n\
    crash or a full disk `vmferry bench resume` goes on. A run that fails is kept with its failure, and the others\n\
    are made. A plan file is explained in docs/virt-lm/plan.toml."
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
