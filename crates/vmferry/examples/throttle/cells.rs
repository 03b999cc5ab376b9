//! The moves to be made: which guest, over which link, steered by whom.

use serde::{Deserialize, Serialize};

use crate::steering::Steering;

/// Part of the bench that a move belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Part {
    /// Guests of every kind under every controller.
    Guests,
    /// The memory writer of `jin2011`.
    Sweep,
    /// Moves that have to end at a time.
    Deadline,
}

/// One move.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Cell {
    pub(crate) part: Part,
    /// Name of the guest; within the sweep that of its dirty rate and link.
    pub(crate) guest: String,
    pub(crate) load: String,
    pub(crate) memory_mib: u64,
    /// Rate of the link, Mbit/s.
    pub(crate) link_mbit: f64,
    pub(crate) steering: Steering,
    /// Longest pause, ms.
    pub(crate) max_downtime_ms: f64,
    /// Time by which the move is to be over, s: the cap on time, or what `deadline` is asked for.
    pub(crate) within_s: f64,
    /// How long a round takes, s, of a guest that goes round.
    pub(crate) period_s: Option<f64>,
    /// Whether the guest changes as time goes on: then every move begins as long after its start as
    /// one that is observed before.
    pub(crate) ages: bool,
    /// What the load is asked to write, Mbit/s, in the sweep.
    pub(crate) dirty_mbit: Option<f64>,
    /// Time asked for over the time an unhurried move takes, for `deadline`.
    pub(crate) factor: Option<f64>,
    /// Number of the repeat, from 1.
    pub(crate) repeat: u32,
}

impl Cell {
    /// Unique; the name of its record.
    pub(crate) fn name(&self) -> String {
        format!("{}.{}.{}", self.guest, self.steering, self.repeat)
    }

    /// What makes a move another one: load, memory, link, pause and time.
    pub(crate) fn conditions(&self) -> (&str, u64, [f64; 3]) {
        (
            &self.load,
            self.memory_mib,
            [self.link_mbit, self.max_downtime_ms, self.within_s],
        )
    }

    /// Whether a move of the guests was made under the conditions of today.
    pub(crate) fn is_current(&self) -> bool {
        let kind = GUESTS.iter().find(|kind| kind.name == self.guest);
        self.part != Part::Guests
            || kind.is_some_and(|kind| {
                kind.cell(self.steering, self.repeat).conditions() == self.conditions()
            })
    }

    pub(crate) fn line(&self) -> String {
        format!(
            "{}: {} MiB, {} Mbit/s, {} ms, {:.1} s: {}",
            self.name(),
            self.memory_mib,
            self.link_mbit,
            self.max_downtime_ms,
            self.within_s,
            self.load
        )
    }

    /// The command that makes this move again.
    pub(crate) fn command(&self) -> String {
        let head = "cargo xtask bench throttle --";
        let (by, repeats) = (self.steering, self.repeat);
        match (self.part, self.dirty_mbit) {
            (Part::Sweep, Some(dirty)) => format!(
                "{head} --sweep --rates {dirty} --links {} --controllers {by} --cap {} --repeats {repeats}",
                self.link_mbit, self.within_s
            ),
            (Part::Deadline, _) => format!("{head} --deadline --only {}", self.guest),
            _ => format!(
                "{head} --only {} --controllers {by} --repeats {repeats}",
                self.guest
            ),
        }
    }

    /// About how long it takes, s, with the time that the guest's start and the looks before take.
    pub(crate) fn takes_s(&self) -> f64 {
        const BOOT: f64 = 9.0;
        const BASELINE: f64 = 12.0;
        const OBSERVATION: f64 = 18.0;
        let before = BOOT + BASELINE;
        let looks = if self.steering.observes() || self.ages {
            OBSERVATION
        } else {
            0.0
        };
        // Most controllers need about half of the time they have.
        let move_s = match self.part {
            Part::Deadline => self.within_s,
            _ if self.steering == Steering::OFF => self.within_s + 5.0,
            _ => 0.6 * self.within_s,
        };
        before + looks + move_s
    }
}

/// A guest of the bench.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GuestKind {
    pub(crate) name: &'static str,
    /// What it is there for.
    pub(crate) what: &'static str,
    load: &'static str,
    period_s: Option<f64>,
    ages: bool,
}

const fn steady(name: &'static str, what: &'static str, load: &'static str) -> GuestKind {
    GuestKind {
        name,
        what,
        load,
        period_s: None,
        ages: false,
    }
}

/// Guests of 512 MiB over 50 MB/s. Sets are in MiB, rates in MiB/s with repetition.
pub(crate) const GUESTS: &[GuestKind] = &[
    steady(
        "small-fast",
        "24 MiB rewritten at 200 MiB/s: more than the pause carries",
        "uniform:set=24M,rate=200M+idle:fill=160M",
    ),
    steady(
        "large-fast",
        "240 MiB rewritten at 200 MiB/s: four times the link",
        "uniform:set=240M,rate=200M+idle:fill=40M",
    ),
    GuestKind {
        name: "phases",
        what: "8 s of 110 MiB/s over 140 MiB, 2 s of near rest",
        load: "phases:8s@uniform:set=140M,rate=110M/2s@uniform:set=8M,rate=8M+idle:fill=80M",
        period_s: Some(10.0),
        ages: true,
    },
    steady(
        "hot-cold",
        "16 MiB at 120 MiB/s, 240 MiB at 15 MiB/s",
        "hotcold:set=16M,rate=120M,cold-set=240M,cold-rate=15M+idle:fill=40M",
    ),
    steady(
        "cpu-bound",
        "computes, and writes 4 MiB/s: converges by itself",
        "compute:duty=95+uniform:set=8M,rate=4M+idle:fill=160M",
    ),
    steady(
        "barrier",
        "160 MiB at 52 MiB/s: just above what the link carries",
        "uniform:set=160M,rate=52M+idle:fill=80M",
    ),
    GuestKind {
        name: "growing",
        what: "a set of 40 MiB that grows by 4 MiB/s up to 240 MiB, at 70 MiB/s",
        load: "growing:set=40M,limit=240M,grow=4M,rate=70M+idle:fill=40M",
        period_s: None,
        ages: true,
    },
    steady(
        "cyclic",
        "140 MiB, page after page at 75 MiB/s",
        "sequential:set=140M,rate=75M+idle:fill=80M",
    ),
    steady(
        "zipf",
        "160 MiB with skew at 90 MiB/s",
        "zipf:set=160M,rate=90M+idle:fill=80M",
    ),
    steady(
        "postgres",
        "PostgreSQL under pgbench (TPC-B), 80 MiB of tables",
        "program:postgres,set=80M",
    ),
    steady(
        "redis",
        "Redis under its own benchmark, 96 MiB of values",
        "program:redis,set=96M",
    ),
];

/// Memory of these guests, MiB.
const MEMORY_MIB: u64 = 512;
/// Their link, Mbit/s.
const LINK_MBIT: f64 = 400.0;
/// The promised pause, ms, of every move.
pub(crate) const MAX_DOWNTIME_MS: f64 = 300.0;
/// The cap on time, s.
pub(crate) const CAP_S: f64 = 60.0;

impl GuestKind {
    /// A move of it.
    pub(crate) fn cell(&self, steering: Steering, repeat: u32) -> Cell {
        Cell {
            part: Part::Guests,
            guest: self.name.to_owned(),
            load: self.load.to_owned(),
            memory_mib: MEMORY_MIB,
            link_mbit: LINK_MBIT,
            steering,
            max_downtime_ms: MAX_DOWNTIME_MS,
            within_s: CAP_S,
            period_s: self.period_s,
            ages: self.ages,
            dirty_mbit: None,
            factor: None,
            repeat,
        }
    }
}

/// Every guest under every controller, a round of all of them at a time.
pub(crate) fn guests(steerings: &[Steering], repeats: u32) -> Vec<Cell> {
    let mut cells = Vec::new();
    for repeat in 1..=repeats {
        for guest in GUESTS {
            cells.extend(steerings.iter().map(|by| guest.cell(*by, repeat)));
        }
    }
    cells
}
