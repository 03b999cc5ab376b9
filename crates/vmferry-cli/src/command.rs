//! One module a subcommand: arguments in, calls of the library, answers out.

mod bench;
mod choose;
mod compare;
mod drawing;
pub(crate) mod guard;
mod history;
mod imports;
mod measure;
mod migrate;
mod need;
mod predict;
mod profile;
mod profile_energy;
mod profile_page;
mod record;
mod recover;
mod shell;
mod simulate;
mod testbed;
mod trace;
mod watch;
mod when;

use vmferry::Error;
use vmferry::core::plan::{DEFAULT_DEADLINE, MoveLimits};
use vmferry::core::{ExitCode, GuestUri, Promise};
use vmferry::measure::{Method, ObserveOptions, PageOptions, default_budget};
use vmferry::promising;

use crate::args::{self, Cli, Command, Global, Limits, Observing, Promising};

/// Runs the subcommand that was asked for.
pub(crate) async fn run(cli: &Cli) -> Result<ExitCode, Error> {
    let global = &cli.global;
    match &cli.command {
        Command::Measure(args) => measure::run(global, args).await,
        Command::Record(args) => record::run(global, args).await,
        Command::Trace(args) => trace::run(global, args).await,
        Command::Predict(args) => predict::run(global, args).await,
        Command::Need(args) => need::run(global, args).await,
        Command::Simulate(args) => simulate::run(global, args).await,
        Command::When(args) => when::run(global, args).await,
        Command::Choose(args) => choose::run(global, args).await,
        Command::Migrate(args) => migrate::run(global, args).await,
        Command::Watch(args) => watch::run(global, args).await,
        Command::History(args) => history::run(global, args).await,
        Command::Compare(args) => compare::run(global, args).await,
        Command::Profile(args) => profile::run(global, args).await,
        Command::Bench(args) => bench::run(global, args).await,
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
    let Promising {
        max_downtime,
        max_bandwidth,
        deadline,
        ..
    } = args.promising;
    MoveLimits {
        max_downtime_ms: max_downtime.map(Into::into),
        max_bandwidth,
        deadline_ms: deadline.unwrap_or(DEFAULT_DEADLINE).into(),
    }
}

/// What the operator is to be promised, if it makes sense; says what of it will
/// be ignored. `observed` is whether the guest is observed first.
fn promise(global: &Global, args: &Limits, observed: bool) -> Result<Option<Promise>, Error> {
    let Some(promise) = args.promising.promise()? else {
        return Ok(None);
    };
    let ignored = promising::check(&promise, observed)?;
    for what in ignored.iter().chain(args.promising.idle_policy().as_ref()) {
        crate::progress::note(global, &format!("note: {what}"));
    }
    Ok(Some(promise))
}
