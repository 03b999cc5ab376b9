//! Arguments of `choose`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, ValueEnum};
use vmferry::choosing::HostUri;
use vmferry::core::quantity::{parse_energy, parse_rate, parse_ratio, parse_size, parse_span};
use vmferry::core::{ByteRate, Bytes, Ratio, StreamUri};
use vmferry::model::choice::{Cores, Preset, Weights, Worth};

use super::{Forecasting, Method, parse_downtime, parse_stall_timeout};

/// Arguments of `choose`.
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("demand"),
    after_help = "A host is the directory of its guests' QMP sockets: qmp-dir:PATH or PATH here,\n\
    qmp+ssh://USER@HOST/PATH elsewhere. At a destination every hypervisor that waits\n\
    (-incoming defer) takes the guest of its -uuid or -name, or, having neither, any guest\n\
    of its memory, virtual CPUs and machine. Moving nothing is one of the options: exit 10."
)]
pub(crate) struct Choose {
    /// The host whose guests are to move
    #[arg(long, value_name = "HOST")]
    pub(crate) from: HostUri,
    /// A host they may move to; may be repeated
    #[arg(long, value_name = "HOST", required = true)]
    pub(crate) to: Vec<HostUri>,
    /// Where the hypervisors of that host shall listen, one after another, as the
    /// source reaches it: tcp:HOST:PORT; one for each --to, in their order [default:
    /// port 49152 of the host of a qmp+ssh --to]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) via: Vec<StreamUri>,
    /// How many guests to move [default: 1]
    #[arg(long, value_name = "N", group = "demand", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) count: Option<u32>,
    /// Memory to free, by the memory that guests have
    #[arg(long, value_name = "SIZE", group = "demand", value_parser = parse_size)]
    pub(crate) free_memory: Option<Bytes>,
    /// Processor time to free, in cores, by what guests use
    #[arg(long, value_name = "CORES", group = "demand", value_parser = parse_cores)]
    pub(crate) free_cpu: Option<Cores>,
    /// How much each quantity counts, together 1: downtime=0.5,time=0.3,traffic=0.2
    /// and energy=...
    #[arg(long, value_name = "WEIGHTS", conflicts_with = "prefer")]
    pub(crate) weights: Option<Weights>,
    /// Weights by name
    #[arg(long, value_enum, default_value_t = Preferred::Balanced)]
    pub(crate) prefer: Preferred,
    /// The dearest moves that would still be worth it, all together:
    /// downtime=500ms,time=60s,traffic=2GiB,energy=1kJ. Where the cheapest cost
    /// more, nothing is moved
    #[arg(long, value_name = "COSTS", value_parser = parse_worth)]
    pub(crate) worth: Option<Worth>,
    /// The links' rate as the links count it (frames included); sets nothing.
    /// Without it the rate is learned from history or measured
    #[arg(long, value_parser = parse_rate, value_name = "RATE")]
    pub(crate) bandwidth: Option<ByteRate>,
    /// Longest pause to plan for (sets the hypervisor's downtime limit)
    #[arg(long, value_parser = parse_downtime, value_name = "TIME")]
    pub(crate) max_downtime: Option<Duration>,
    /// Most a migration may send (sets the hypervisor's max-bandwidth)
    #[arg(long, value_parser = parse_rate, value_name = "RATE", conflicts_with = "courtesy")]
    pub(crate) max_bandwidth: Option<ByteRate>,
    /// A max-bandwidth of its own for every guest: what it dirties within a second
    /// and 100 Mbit/s, within these bounds, for example 400Mbit/s..800Mbit/s
    #[arg(long, value_parser = parse_bounds, value_name = "RATE..RATE")]
    pub(crate) courtesy: Option<Bounds>,
    /// Time within which every move should converge
    #[arg(long, value_parser = parse_span, value_name = "TIME", default_value = "120s")]
    pub(crate) deadline: Duration,
    /// How long to observe the guests
    #[arg(long, value_parser = parse_span, value_name = "TIME", default_value = "30s")]
    pub(crate) window: Duration,
    /// Most of one core that observing all guests together may take
    #[arg(long, value_parser = parse_ratio, value_name = "SHARE", default_value = "4%")]
    pub(crate) budget: Ratio,
    /// Pages of every guest to sample
    #[arg(long, value_name = "N", default_value_t = 4096, value_parser = clap::value_parser!(u32).range(64..=1_048_576))]
    pub(crate) pages: u32,
    /// How: read the guests' pages, or ask the hypervisor
    #[arg(long, value_enum, default_value_t = Method::Auto)]
    pub(crate) method: Method,
    #[command(flatten)]
    pub(crate) forecasting: Forecasting,
    /// Draw the costs into this file
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
    /// Move the chosen, one after another
    #[arg(long)]
    pub(crate) execute: bool,
    /// Do not ask before moving
    #[arg(short, long, requires = "execute")]
    pub(crate) yes: bool,
    /// Give a move up when nothing could be sent for this long (30s by default)
    #[arg(long, value_parser = parse_stall_timeout, value_name = "TIME", requires = "execute")]
    pub(crate) stall_timeout: Option<Duration>,
}

/// Weights by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Preferred {
    /// A quarter each
    Balanced,
    /// 0.7 for the downtime, 0.1 each for the others
    Downtime,
    /// 0.7 for the total time
    Time,
    /// 0.7 for the traffic
    Traffic,
    /// 0.7 for the energy
    Energy,
}

impl From<Preferred> for Preset {
    fn from(preferred: Preferred) -> Self {
        match preferred {
            Preferred::Balanced => Self::Balanced,
            Preferred::Downtime => Self::Downtime,
            Preferred::Time => Self::Time,
            Preferred::Traffic => Self::Traffic,
            Preferred::Energy => Self::Energy,
        }
    }
}

/// A least and a most.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bounds {
    pub(crate) least: ByteRate,
    pub(crate) most: ByteRate,
}

fn parse_bounds(text: &str) -> Result<Bounds, String> {
    let (least, most) = text
        .split_once("..")
        .ok_or_else(|| format!("`{text}` is no range; write for example 400Mbit/s..800Mbit/s"))?;
    let rate = |text: &str| parse_rate(text).map_err(|error| error.to_string());
    let (least, most) = (rate(least)?, rate(most)?);
    if least > most {
        return Err(format!("`{text}` is no range: {least} is above {most}"));
    }
    Ok(Bounds { least, most })
}

/// More than any host has is a mistake.
const MOST_CORES: f64 = 4096.0;

fn parse_cores(text: &str) -> Result<Cores, String> {
    let cores: f64 = text
        .trim()
        .parse()
        .map_err(|_| format!("`{text}` is no number of cores; write for example 2 or 0.5"))?;
    if cores > 0.0 && cores <= MOST_CORES {
        Ok(Cores(cores))
    } else {
        Err(format!(
            "`{text}` cores make no sense; write for example 2 or 0.5"
        ))
    }
}

fn parse_worth(text: &str) -> Result<Worth, String> {
    let mut worth = Worth::default();
    for part in text.split(',') {
        let (name, value) = part.split_once('=').ok_or_else(|| {
            format!("`{part}` has no `=`; write for example downtime=500ms,time=60s,traffic=2GiB")
        })?;
        let twice = match name.trim() {
            "downtime" => worth.downtime_ms.replace(span(value)?.into()).is_some(),
            "time" => worth.total_time_ms.replace(span(value)?.into()).is_some(),
            "traffic" => {
                let size = parse_size(value).map_err(|error| error.to_string())?;
                worth.transferred_bytes.replace(size).is_some()
            }
            "energy" => {
                let energy = parse_energy(value).map_err(|error| error.to_string())?;
                worth.energy_j.replace(energy).is_some()
            }
            other => {
                return Err(format!(
                    "`{other}` is no quantity: they are downtime, time, traffic and energy"
                ));
            }
        };
        if twice {
            return Err(format!("`{name}` is given twice"));
        }
    }
    Ok(worth)
}

fn span(text: &str) -> Result<Duration, String> {
    parse_span(text).map_err(|error| error.to_string())
}
