//! Arguments of `when`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use vmferry::core::plan::DEFAULT_DEADLINE;
use vmferry::core::quantity::{parse_energy, parse_power, parse_rate, parse_span};
use vmferry::core::{ByteRate, Joules, Watts};
use vmferry::model::schedule::Sla;

use super::parse_downtime;

/// Arguments of `when`.
#[derive(Debug, Args)]
#[command(
    after_help = "Only what was recorded is asked, not the guest: traces of `vmferry record`, and its moves in\n\
    the history. Times of day of which nothing is known are left unknown."
)]
pub(crate) struct When {
    /// The guest: its URI, name or UUID, as in `history list`
    #[arg(value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) guest: String,
    /// A trace of the guest, or a directory with traces; may be repeated
    #[arg(long = "trace", value_name = "FILE|DIR")]
    pub(crate) traces: Vec<PathBuf>,
    /// How far ahead to look for a time to start
    #[arg(long, value_parser = parse_span, value_name = "TIME", default_value = "24h")]
    pub(crate) within: Duration,
    /// Length of the parts of a day that are told apart
    #[arg(long, value_parser = parse_span, value_name = "TIME", default_value = "15m")]
    pub(crate) every: Duration,
    /// Take this instant for now, for example 2026-03-01T12:00:00Z
    #[arg(long, value_name = "TIMESTAMP")]
    pub(crate) now: Option<Timestamp>,
    /// Whose clock tells the times of day, for example Europe/Berlin [default:
    /// the system's]
    #[arg(long, value_parser = parse_zone, value_name = "ZONE")]
    pub(crate) timezone: Option<TimeZone>,
    /// What the best time has least of [default: total time, of the times whose
    /// downtime keeps --max-downtime]. Moves that converge always come first
    #[arg(long, value_enum)]
    pub(crate) prefer: Option<Prefer>,
    /// The link's rate as the link counts it (frames included) [default: that
    /// of the guest's latest move]
    #[arg(long, value_parser = parse_rate, value_name = "RATE")]
    pub(crate) bandwidth: Option<ByteRate>,
    /// Longest pause to plan for [default: that of the latest move, else
    /// QEMU's own]
    #[arg(long, value_parser = parse_downtime, value_name = "TIME")]
    pub(crate) max_downtime: Option<Duration>,
    /// Most the migration may send [default: as in the latest move, else
    /// QEMU's own]
    #[arg(long, value_parser = parse_rate, value_name = "RATE")]
    pub(crate) max_bandwidth: Option<ByteRate>,
    /// Time within which a move should converge
    #[arg(long, value_parser = parse_span, value_name = "TIME", default_value = default_deadline())]
    pub(crate) deadline: Duration,
    /// How often the guest may move within this downtime: 99.9%, 43m/month,
    /// 10s/day
    #[arg(long, value_name = "SLA")]
    pub(crate) sla: Option<Sla>,
    /// Count the whole move as downtime, not the pause alone
    #[arg(long, requires = "sla")]
    pub(crate) count_degraded: bool,
    /// Power saved while the guest's host is off: how long it has to stay off
    /// for moving its guests away and back to pay
    #[arg(long, value_parser = parse_power, value_name = "POWER")]
    pub(crate) host_power: Option<Watts>,
    /// What it takes to switch the host off and on again, for example 30kJ
    #[arg(long, value_parser = parse_energy, value_name = "ENERGY", requires = "host_power")]
    pub(crate) boot_energy: Option<Joules>,
    /// Power that a running move takes, both hosts together [default: energy
    /// from the traffic, by liu2011]
    #[arg(long, value_parser = parse_power, value_name = "POWER", requires = "host_power")]
    pub(crate) move_power: Option<Watts>,
    /// Guests on that host, all like this one
    #[arg(long, value_name = "N", default_value_t = 1, requires = "host_power",
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) guests: u32,
    /// Draw the cost by time of day into this file
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
}

/// What the best time has least of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Prefer {
    /// Total migration time
    Time,
    /// Downtime
    Downtime,
    /// Data sent
    Traffic,
}

fn default_deadline() -> String {
    format!("{}s", DEFAULT_DEADLINE.as_secs())
}

fn parse_zone(text: &str) -> Result<TimeZone, String> {
    TimeZone::get(text).map_err(|_| {
        format!(
            "`{text}` is no time zone that is known here; write for example UTC or Europe/Berlin"
        )
    })
}
