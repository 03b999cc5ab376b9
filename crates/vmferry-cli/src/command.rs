//! One module a subcommand: arguments in, calls of the library, answers out.

mod compare;
pub(crate) mod guard;
mod history;
mod imports;
mod measure;
mod migrate;
mod predict;
mod profile;
mod record;
mod recover;
mod shell;
mod simulate;
mod testbed;
mod trace;
mod watch;
mod when;

use vmferry::Error;
use vmferry::core::plan::MoveLimits;
use vmferry::core::{ExitCode, GuestUri};
use vmferry::measure::{Method, ObserveOptions, PageOptions, default_budget};

use crate::args::{self, Cli, Command, Limits, Observing};

/// Runs the subcommand that was asked for.
pub(crate) async fn run(cli: &Cli) -> Result<ExitCode, Error> {
    let global = &cli.global;
    match &cli.command {
        Command::Measure(args) => measure::run(global, args).await,
        Command::Record(args) => record::run(global, args).await,
        Command::Trace(args) => trace::run(global, args).await,
        Command::Predict(args) => predict::run(global, args).await,
        Command::Simulate(args) => simulate::run(global, args).await,
        Command::When(args) => when::run(global, args).await,
        Command::Migrate(args) => migrate::run(global, args).await,
        Command::Watch(args) => watch::run(global, args).await,
        Command::History(args) => history::run(global, args).await,
        Command::Compare(args) => compare::run(global, args).await,
        Command::Profile(args) => profile::run(global, args).await,
        Command::Testbed(args) => testbed::run(global, args).await,
        Command::Recover => recover::run(global).await,
        Command::Completions { shell } => shell::completions(global, *shell),
        Command::Man => shell::man(global),
        Command::Schema { document } => shell::schema(global, *document),
        Command::Guard { state, move_id } => guard::run(state, move_id),
    }
}

/// The same guest by an absolute path: guard and journal run elsewhere.
fn absolute(guest: &GuestUri) -> Result<GuestUri, Error> {
    match guest {
        GuestUri::Qmp { path } => {
            let path = std::path::absolute(path).map_err(|source| Error::Io {
                what: path.display().to_string(),
                source,
            })?;
            Ok(GuestUri::Qmp { path })
        }
        other => Ok(other.clone()),
    }
}

fn observe_options(args: &Observing) -> ObserveOptions {
    ObserveOptions {
        pages: PageOptions {
            window: args.window,
            pages: args.pages as usize,
            budget: args.budget.unwrap_or(default_budget(args.window)),
            ..PageOptions::default()
        },
        method: match args.method {
            args::Method::Auto => Method::Auto,
            args::Method::Pages => Method::Pages,
            args::Method::Qmp => Method::Qmp,
        },
    }
}

fn limits(args: &Limits) -> MoveLimits {
    MoveLimits {
        max_downtime_ms: args.max_downtime.map(Into::into),
        max_bandwidth: args.max_bandwidth,
        deadline_ms: args.deadline.into(),
    }
}
