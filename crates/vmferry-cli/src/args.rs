//! The command line: one definition for help, completions and man page.

mod bench;
mod choose;
mod compare;
mod imports;
mod model;
mod profile;
mod profile_energy;
mod promising;
mod simulate;
mod when;

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use vmferry::core::quantity::{parse_rate, parse_ratio, parse_size, parse_span};
use vmferry::core::{ByteRate, Bytes, ExitCode, GuestUri, Ratio, StreamUri};
use vmferry::recording::PageChoice;

pub(crate) use self::when::{Prefer, When};
pub(crate) use bench::{Bench, BenchCompare, BenchReport, BenchResume, BenchRun};
pub(crate) use choose::Choose;
pub(crate) use compare::Compare;
pub(crate) use imports::HistoryImport;
pub(crate) use model::Forecasting;
pub(crate) use profile::{MigrationCpu, Need, Profile, ProfileCpu};
pub(crate) use profile_energy::ProfileEnergy;
pub(crate) use promising::Promising;
pub(crate) use simulate::{Simulate, Values};

/// Live migration of virtual machines, made predictable: what a move will
/// cost before it starts, the move within its limits, forecast beside outcome.
#[derive(Debug, Parser)]
#[command(name = "vmferry", version, after_help = after_help(), propagate_version = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The exit codes, for the end of the help text.
fn after_help() -> String {
    let codes: Vec<_> = ExitCode::ALL
        .iter()
        .map(|(code, text)| format!("  {:>2}  {text}", *code as u8))
        .collect();
    format!(
        "Guests: qmp:PATH on this machine, qmp+ssh://USER@HOST/PATH on another one.\n\
         Bandwidth: 400Mbit/s, 2.1Gbit/s, 50MiB/s; a bare number is MiB/s.\n\
         Durations: 300ms, 10s, 2m; a bare number is seconds.\n\n\
         Exit codes:\n{}",
        codes.join("\n")
    )
}

/// The hypervisor counts in whole milliseconds, and takes up to 2000 s.
fn parse_downtime(text: &str) -> Result<Duration, String> {
    within(text, Duration::from_millis(1), Duration::from_secs(2000))
}

/// The stream is looked at a few times a second, and QEMU sends in bursts.
fn parse_stall_timeout(text: &str) -> Result<Duration, String> {
    within(text, Duration::from_secs(1), Duration::MAX)
}

/// A look at a guest's pages takes about that long.
fn parse_interval(text: &str) -> Result<Duration, String> {
    within(text, Duration::from_millis(1), Duration::MAX)
}

fn parse_page_choice(text: &str) -> Result<PageChoice, String> {
    if text == "all" {
        return Ok(PageChoice::All);
    }
    match text.parse() {
        Ok(0) => Err("0 pages record nothing; 4096 is a good subset".to_owned()),
        Ok(pages) => Ok(PageChoice::Count(pages)),
        Err(_) => Err(format!("`{text}` is neither `all` nor a number of pages")),
    }
}

fn within(text: &str, least: Duration, most: Duration) -> Result<Duration, String> {
    let span = parse_span(text).map_err(|error| error.to_string())?;
    if span < least {
        Err(format!("`{text}` is too short: at least {least:?}"))
    } else if span > most {
        Err(format!(
            "`{text}` is too long: at most {} s",
            most.as_secs()
        ))
    } else {
        Ok(span)
    }
}

/// Options of every command.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Form of the answer on standard output
    #[arg(short, long, value_enum, default_value_t = Format::Table, global = true)]
    pub(crate) output: Format,
    /// Write the answer to a file instead of standard output
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) output_file: Option<PathBuf>,
    /// Progress on standard error: a bar, plain lines, JSON lines or nothing
    #[arg(long, value_enum, default_value_t = ProgressStyle::Auto, global = true)]
    pub(crate) progress: ProgressStyle,
    /// Say more on standard error; twice for every request
    #[arg(short, long, action = ArgAction::Count, global = true)]
    pub(crate) verbose: u8,
}

/// Form of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Table,
    /// One document
    Json,
    /// One line an event or record
    Jsonl,
}

/// Form of the progress display.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProgressStyle {
    /// A bar on a terminal, plain lines elsewhere
    Auto,
    /// A bar
    Bar,
    /// Lines of text
    Plain,
    /// Events as JSON lines
    Json,
    /// Nothing
    None,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Observe a guest: dirty curve, page mix, CPU use
    Measure(Measure),
    /// Record which pages a guest dirties, interval by interval, into a trace
    Record(Record),
    /// What a trace holds; traces for other programs
    #[command(subcommand)]
    Trace(Trace),
    /// Say what a move would cost
    Predict(Box<Predict>),
    /// Say what a move needs to be over in time: CPU or bandwidth
    Need(Box<Need>),
    /// Say what moves would cost elsewhere: other links, limits, sizes, rules
    Simulate(Box<Simulate>),
    /// Say when to move a guest, from what was recorded of it by time of day
    When(Box<When>),
    /// Say which guests of a host to move, by what moving them costs, and move them
    Choose(Box<Choose>),
    /// Move a guest: forecast, move, forecast beside outcome
    Migrate(Box<Migrate>),
    /// Follow a running migration, whoever started it
    Watch(Watch),
    /// What earlier moves cost, forecast beside outcome
    #[command(subcommand)]
    History(History),
    /// Every model on every migration of the history: who errs least
    Compare(Compare),
    /// Measure what hosts give to migrations and what moves cost them, for forecasts
    #[command(subcommand)]
    Profile(Profile),
    /// Virt-LM, the live-migration benchmark: real services, moved again and again
    #[command(subcommand)]
    Bench(Bench),
    /// Two hosts on this machine, to try things on
    #[command(subcommand)]
    Testbed(Testbed),
    /// Undo what interrupted moves left on their hosts
    Recover,
    /// Print shell completions
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: Shell,
    },
    /// Print the manual page (roff)
    Man,
    /// Print the JSON schema of a document
    Schema {
        /// Which document
        #[arg(value_enum)]
        document: DocumentName,
    },
    /// Guard a move (started by `migrate`)
    #[command(hide = true)]
    Guard {
        /// The state directory
        state: PathBuf,
        /// The move
        move_id: String,
    },
}

/// The documents with a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DocumentName {
    /// `measure -o json`
    Measure,
    /// `predict -o json`
    Predict,
    /// `migrate -o json`
    Migrate,
    /// `choose -o json`
    Choose,
    /// A line of `migrate -o jsonl` and `watch -o jsonl`
    Event,
    /// `history show -o json`, a line of `history export`
    Record,
    /// `recover -o json`
    Recover,
    /// `history list -o json`
    HistoryList,
    /// `history import -o json`
    HistoryImport,
    /// `history imports -o json`
    HistoryImports,
    /// `history forget -o json`
    HistoryForget,
    /// `compare -o json`
    Compare,
    /// `profile energy -o json`
    ProfileEnergy,
    /// `trace info -o json`, `record -o json`
    TraceInfo,
    /// `simulate -o json`
    Simulate,
    /// `testbed status -o json`
    TestbedStatus,
    /// `when -o json`
    When,
    /// `testbed demo -o json`
    Demo,
    /// `profile cpu -o json`
    ProfileCpu,
    /// `need -o json`
    Need,
    /// `bench list -o json`
    BenchList,
    /// `bench run -o json`, `bench resume -o json`
    BenchRun,
    /// `bench report -o json`
    BenchReport,
    /// `bench compare -o json`
    BenchCompare,
    /// A line of `bench run -o jsonl` and `bench resume -o jsonl`
    BenchEvent,
}

/// How to observe a guest.
#[derive(Clone, Debug, Args)]
pub(crate) struct Observing {
    /// How long to observe the guest
    #[arg(long, value_parser = parse_span, value_name = "TIME", default_value = "10s")]
    pub(crate) window: Duration,
    /// Most of one core that observing may take [default: 20% for a window up
    /// to 15s, 1% for a longer one]
    #[arg(long, value_parser = parse_ratio, value_name = "SHARE")]
    pub(crate) budget: Option<Ratio>,
    /// Pages to sample
    #[arg(long, value_name = "N", default_value_t = 4096, value_parser = clap::value_parser!(u32).range(64..=1_048_576))]
    pub(crate) pages: u32,
    /// How: read the guest's pages, or ask the hypervisor
    #[arg(long, value_enum, default_value_t = Method::Auto)]
    pub(crate) method: Method,
}

/// How to observe a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Method {
    /// Read pages where possible, else ask the hypervisor
    Auto,
    /// Read the guest's pages from outside
    Pages,
    /// QMP calc-dirty-rate: coarser, works on remote guests
    Qmp,
}

/// What bounds a move.
#[derive(Clone, Debug, Args)]
pub(crate) struct Limits {
    /// The link's rate as the link counts it (frames included); sets nothing.
    /// Without it the rate is learned from history or measured
    #[arg(long, value_parser = parse_rate, value_name = "RATE")]
    pub(crate) bandwidth: Option<ByteRate>,
    #[command(flatten)]
    pub(crate) promising: Promising,
    /// Use this observation (`measure -o json`) instead of making one
    #[arg(long, value_name = "FILE")]
    pub(crate) profile: Option<PathBuf>,
}

/// Arguments of `measure`.
#[derive(Debug, Args)]
pub(crate) struct Measure {
    /// The guest
    pub(crate) guest: GuestUri,
    #[command(flatten)]
    pub(crate) observing: Observing,
    /// Draw what was seen into this file: the dirty curve, memory dirtied over
    /// time, the working set
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
}

/// Arguments of `record`.
#[derive(Debug, Args)]
#[command(
    after_help = "--output-file names the trace and is required; what it holds is then printed.\n\
    Ctrl-C ends the recording early, with a whole trace."
)]
pub(crate) struct Record {
    /// The guest
    pub(crate) guest: GuestUri,
    /// Time from look to look
    #[arg(long, value_parser = parse_interval, value_name = "TIME", default_value = "100ms")]
    pub(crate) interval: Duration,
    /// How long to record
    #[arg(long, value_parser = parse_span, value_name = "TIME", default_value = "60s")]
    pub(crate) duration: Duration,
    /// Which pages: all, or a random subset of N, at longer intervals where the
    /// budget asks for it [default: all where the budget allows a look every
    /// interval, else as many as it allows]
    #[arg(long, value_parser = parse_page_choice, value_name = "all|N")]
    pub(crate) pages: Option<PageChoice>,
    /// Most of one core that recording may take
    #[arg(long, value_parser = parse_ratio, value_name = "SHARE", default_value = "20%")]
    pub(crate) budget: Ratio,
    /// Overwrite a file that exists
    #[arg(long)]
    pub(crate) force: bool,
}

/// Subcommands of `trace`.
#[derive(Debug, Subcommand)]
pub(crate) enum Trace {
    /// What a trace holds: guest, length, pages, dirty rate, working set, whether it is whole
    Info {
        /// The trace
        file: PathBuf,
    },
    /// A row for every page dirtied in every interval: CSV, or Parquet by the
    /// ending of --output-file
    Export {
        /// The trace
        file: PathBuf,
    },
}

/// Arguments of `predict`.
#[derive(Debug, Args)]
pub(crate) struct Predict {
    /// The guest
    pub(crate) guest: GuestUri,
    #[command(flatten)]
    pub(crate) limits: Limits,
    #[command(flatten)]
    pub(crate) observing: Observing,
    #[command(flatten)]
    pub(crate) forecasting: Forecasting,
    #[command(flatten)]
    pub(crate) cpu: MigrationCpu,
    /// The destination's monitor, to find or measure the rate of the route
    #[arg(long, value_name = "GUEST", requires = "via")]
    pub(crate) to: Option<GuestUri>,
    /// Where the destination would listen, tcp:HOST:PORT
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) via: Option<StreamUri>,
}

/// Arguments of `migrate`.
#[derive(Debug, Args)]
pub(crate) struct Migrate {
    /// The guest
    pub(crate) guest: GuestUri,
    /// The destination's monitor: a hypervisor started with -incoming defer
    #[arg(long, value_name = "GUEST")]
    pub(crate) to: GuestUri,
    /// Where the destination shall listen, as the source reaches it: tcp:HOST:PORT
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) via: StreamUri,
    #[command(flatten)]
    pub(crate) limits: Limits,
    #[command(flatten)]
    pub(crate) observing: Observing,
    #[command(flatten)]
    pub(crate) forecasting: Forecasting,
    /// Encrypt the stream with the x509 credentials in this directory (of both hosts)
    #[arg(long, value_name = "DIR")]
    pub(crate) tls_dir: Option<PathBuf>,
    /// Give the move up when nothing could be sent for this long (30s by default)
    #[arg(long, value_parser = parse_stall_timeout, value_name = "TIME")]
    pub(crate) stall_timeout: Option<Duration>,
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// Move even when the forecast advises against it
    #[arg(long)]
    pub(crate) force: bool,
    /// Move without observing and forecasting
    #[arg(long, conflicts_with_all = ["profile", "dry_run", "model"])]
    pub(crate) no_forecast: bool,
    /// Check and forecast, change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Arguments of `watch`.
#[derive(Debug, Args)]
pub(crate) struct Watch {
    /// The guest that moves
    pub(crate) guest: GuestUri,
}

/// Subcommands of `history`.
#[derive(Debug, Subcommand)]
pub(crate) enum History {
    /// List moves, latest first
    List {
        /// Only this guest (name or UUID)
        #[arg(long, value_name = "NAME")]
        guest: Option<String>,
        /// Most moves to list
        #[arg(long, value_name = "N", default_value_t = 20)]
        limit: u32,
    },
    /// Show one move
    Show {
        /// Its identifier, or an unambiguous beginning
        id: String,
    },
    /// Every record as JSON lines
    Export,
    /// Take migrations that others made and measured from their CSV, for
    /// models to learn from and be compared on
    Import(HistoryImport),
    /// Where imported migrations are from
    Imports,
    /// Remove what was imported from a source
    Forget {
        /// The source, as `history imports` names it
        source: String,
    },
}

/// Subcommands of `testbed`.
#[derive(Debug, Subcommand)]
pub(crate) enum Testbed {
    /// Start two hosts with guests and leave them running
    Up(TestbedUp),
    /// What runs
    Status {
        /// Which testbed
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
    },
    /// Remove a testbed
    Down {
        /// Which testbed
        #[arg(long, value_name = "NAME", default_value = "vmferry")]
        name: String,
    },
    /// Five guests, forecast beside outcome, on a testbed of its own
    Demo {
        /// Rate of the link between the hosts
        #[arg(long, value_parser = parse_rate, value_name = "RATE", default_value = "400Mbit/s")]
        rate: ByteRate,
    },
}

/// Arguments of `testbed up`.
#[derive(Debug, Args)]
pub(crate) struct TestbedUp {
    /// Name, for `status` and `down`
    #[arg(long, value_name = "NAME", default_value = "vmferry")]
    pub(crate) name: String,
    /// Rate of the link between the hosts
    #[arg(long, value_parser = parse_rate, value_name = "RATE", default_value = "400Mbit/s")]
    pub(crate) rate: ByteRate,
    /// What the guests do, one guest a load; see `vmferry-load --help`
    #[arg(
        long = "load",
        value_name = "SPEC",
        default_value = "hotcold:set=32M,rate=20M"
    )]
    pub(crate) loads: Vec<String>,
    /// Memory of each guest
    #[arg(long, value_parser = parse_size, value_name = "SIZE", default_value = "512MiB")]
    pub(crate) memory: Bytes,
    /// Virtual CPUs of each guest
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=2))]
    pub(crate) vcpus: u32,
}
