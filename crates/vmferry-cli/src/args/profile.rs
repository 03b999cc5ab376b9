//! Arguments of `profile` and `need`, and the CPU that a move gets.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use vmferry::core::quantity::{parse_rate, parse_ratio, parse_span};
use vmferry::core::{ByteRate, GuestUri, Ratio, StreamUri};
use vmferry::model::cpu_profile::{Caps, Intensive};

use super::{Limits, Observing, ProfileEnergy};

/// Subcommands of `profile`.
#[derive(Debug, Subcommand)]
pub(crate) enum Profile {
    /// Migration time against the CPU given to the migration: moves guests of
    /// known use between two hosts of a testbed, under caps on the CPU of the
    /// threads that send and load them
    Cpu(Box<ProfileCpu>),
    /// What moves cost in energy: meter them, fit a line to them
    Energy(Box<ProfileEnergy>),
}

/// Arguments of `profile cpu`.
#[derive(Debug, Args)]
#[command(
    after_help = "Needs root, and a machine that does nothing else. Every migration is kept as soon as it has ended: after Ctrl-C or a failure the same\n\
    command goes on. The profile is kept in the history and holds for these hosts, versions and CPU only."
)]
pub(crate) struct ProfileCpu {
    /// What the guests use intensively
    #[arg(long, value_enum, value_delimiter = ',', value_name = "USE", default_values_t = Use::value_variants().to_vec())]
    pub(crate) guests: Vec<Use>,
    /// How intensively: shares of what they can use; all but the first are
    /// profiled under every third cap only
    #[arg(long, value_parser = parse_ratio, value_delimiter = ',', value_name = "SHARE", default_value = "100%,50%")]
    pub(crate) intensities: Vec<Ratio>,
    /// Caps at the source, the destination uncapped
    #[arg(long, value_parser = parse_ratio, value_delimiter = ',', value_name = "SHARE",
        default_value = "1%,2%,3%,5%,7%,10%,20%,30%,40%,50%,60%,70%,80%,90%,100%")]
    pub(crate) source_caps: Vec<Ratio>,
    /// Caps at the destination, the source uncapped
    #[arg(long, value_parser = parse_ratio, value_delimiter = ',', value_name = "SHARE",
        default_value = "10%,20%,30%,40%,50%,60%,70%,80%,90%,100%")]
    pub(crate) destination_caps: Vec<Ratio>,
    /// Caps of which each at the source is paired with each at the destination
    /// (first guest only)
    #[arg(long, value_parser = parse_ratio, value_delimiter = ',', value_name = "SHARE", default_value = "3%,10%,30%")]
    pub(crate) both_caps: Vec<Ratio>,
    /// Numbers of quiet guests to move at once, to check estimates; 1 is needed
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "N",
        default_value = "1,2,3,4"
    )]
    pub(crate) at_once: Vec<u32>,
    /// Migrations under the same caps, and as often at once
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) repeats: u32,
    /// Give a move up that has not converged by then
    #[arg(long, value_parser = parse_span, value_name = "TIME", default_value = "120s")]
    pub(crate) limit: Duration,
    /// Shape the link to this rate, frames included [default: as fast as the
    /// hosts, so that CPU is what limits]
    #[arg(long, value_parser = parse_rate, value_name = "RATE")]
    pub(crate) rate: Option<ByteRate>,
    /// Where the profile is kept until it is whole [default: beside the history]
    #[arg(long, value_name = "FILE")]
    pub(crate) state: Option<PathBuf>,
    /// Draw time against cap, with fit and knee, into this file
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
    /// Write a page of all tables, its drawing and what was measured into this
    /// directory
    #[arg(long, value_name = "DIR")]
    pub(crate) report: Option<PathBuf>,
    /// Measure nothing, and say again what was measured before: `history` for the
    /// newest profile kept there, or a file, the JSON of a profile or what an
    /// unfinished run has measured so far (--state)
    #[arg(long, value_name = "FILE", conflicts_with = "state")]
    pub(crate) from: Option<PathBuf>,
}

/// What a profiling guest uses intensively.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Use {
    /// Its virtual CPU
    Cpu,
    /// Reading memory
    MemoryRead,
    /// Writing memory
    MemoryWrite,
    /// Reading its disk
    Disk,
    /// Sending over its network
    Network,
}

impl From<Use> for Intensive {
    fn from(used: Use) -> Self {
        match used {
            Use::Cpu => Self::Cpu,
            Use::MemoryRead => Self::MemoryRead,
            Use::MemoryWrite => Self::MemoryWrite,
            Use::Disk => Self::Disk,
            Use::Network => Self::Network,
        }
    }
}

/// CPU that a migration gets.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct MigrationCpu {
    /// CPU for the threads that send, as a share of one CPU; takes a profile of
    /// the hosts (`profile cpu`)
    #[arg(long, value_parser = parse_ratio, value_name = "SHARE")]
    pub(crate) source_cpu: Option<Ratio>,
    /// The same for the thread that loads at the destination
    #[arg(long, value_parser = parse_ratio, value_name = "SHARE")]
    pub(crate) destination_cpu: Option<Ratio>,
}

impl MigrationCpu {
    pub(crate) fn caps(self) -> Caps {
        Caps {
            source: self.source_cpu,
            destination: self.destination_cpu,
        }
    }
}

/// Arguments of `need`.
#[derive(Debug, Args)]
pub(crate) struct Need {
    /// The guest
    pub(crate) guest: GuestUri,
    #[command(flatten)]
    pub(crate) limits: Limits,
    #[command(flatten)]
    pub(crate) observing: Observing,
    /// The destination's monitor: the profile must then hold for it too, and the
    /// rate of the route is found or measured
    #[arg(long, value_name = "GUEST", requires = "via")]
    pub(crate) to: Option<GuestUri>,
    /// Where the destination would listen, tcp:HOST:PORT
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) via: Option<StreamUri>,
    /// Say also how many of so many guests like this one to move at once
    #[arg(long = "guests", value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64), conflicts_with = "bandwidth_only")]
    pub(crate) guests: u16,
    /// Ask for bandwidth only, which takes no profile of the hosts
    #[arg(long)]
    pub(crate) bandwidth_only: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uses_are_the_librarys() {
        let uses = Use::value_variants();
        let names: Vec<String> = uses
            .iter()
            .filter_map(|one| Some(one.to_possible_value()?.get_name().to_owned()))
            .collect();
        let ours: Vec<&str> = uses
            .iter()
            .map(|one| Intensive::from(*one).name())
            .collect();
        assert_eq!(names, ours);
        assert_eq!(ours, Intensive::ALL.map(Intensive::name));
    }
}
