//! Arguments of `compare`.

use std::num::NonZeroUsize;

use clap::{Args, ValueEnum};
use vmferry::comparison::{Holdout, MovesOf, RuleSet};
use vmferry::core::Technique;

/// Arguments of `compare`.
#[derive(Debug, Args)]
#[command(
    after_help = "Errors are |forecast - measured| / measured of migrations that came to their end; \
    the share of them within p5..p95 is of intervals calibrated on the moves learned from, where \
    `predict --model NAME` shows the model's own. \
    Each migration is forecast by models that did not learn from it: vmferry's own moves in time \
    order, each from those that had ended; imported ones likewise where their times are known, \
    else with all of their workload left out. Live and imported migrations are judged apart."
)]
pub(crate) struct Compare {
    /// Migrations made here (live), by others (imported), all, or of one
    /// imported source
    #[arg(long, value_name = "live|imported|all|NAME", default_value = "all")]
    pub(crate) source: MovesOf,
    /// Only migrations by this technique
    #[arg(long)]
    pub(crate) technique: Option<Technique>,
    /// Only migrations of this guest
    #[arg(long, value_name = "NAME")]
    pub(crate) guest: Option<String>,
    /// Only these models [default: all]
    #[arg(long, value_name = "MODEL,...", value_delimiter = ',')]
    pub(crate) models: Vec<String>,
    /// What is kept from the models that forecast a migration [default: later
    /// migrations where times are known, else its workload]
    #[arg(long, value_enum)]
    pub(crate) leave_one_out: Option<LeaveOneOut>,
    /// Whose rules the replays of hist, avg, base and refined follow
    #[arg(long, value_enum, default_value_t = Rules::Qemu)]
    pub(crate) rules: Rules,
    /// Threads that share the work [default: one a core]
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<NonZeroUsize>,
}

/// What is kept from a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LeaveOneOut {
    /// All migrations of the same workload
    Workload,
    /// All migrations of the same guest
    Guest,
    /// All migrations that had not ended
    Future,
}

impl From<LeaveOneOut> for Holdout {
    fn from(out: LeaveOneOut) -> Self {
        match out {
            LeaveOneOut::Workload => Self::Workload,
            LeaveOneOut::Guest => Self::Guest,
            LeaveOneOut::Future => Self::Future,
        }
    }
}

/// Whose pre-copy rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Rules {
    /// QEMU
    Qemu,
    /// Xen of today
    Xen,
    /// Xen 3, of the papers
    XenLegacy,
}

impl From<Rules> for RuleSet {
    fn from(rules: Rules) -> Self {
        match rules {
            Rules::Qemu => Self::Qemu,
            Rules::Xen => Self::Xen,
            Rules::XenLegacy => Self::XenLegacy,
        }
    }
}
