//! The cells: which guest, over which link, under which limit.

use serde::{Deserialize, Serialize};

/// Whether a cell may be looked at while the model is tuned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Set {
    /// May be looked at.
    Tuning,
    /// Looked at once, at the end.
    Held,
    /// The same guest again and again, to see what is learned of it.
    Series,
}

/// One migration to be made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Cell {
    /// Unique; the name of its record.
    pub(crate) name: String,
    /// The pattern of the load, to group by.
    pub(crate) pattern: String,
    /// The load.
    pub(crate) load: String,
    /// Memory of the guest, MiB.
    pub(crate) memory_mib: u64,
    /// Rate of the link, Mbit/s; for a cell near the boundary the rate of the
    /// boundary is searched and this is the rate to begin with.
    pub(crate) rate_mbit: f64,
    /// Downtime limit, ms.
    pub(crate) limit_ms: f64,
    /// Near the boundary of convergence: the link gets this share of the rate
    /// at which the guest just converges by the forecast.
    pub(crate) of_boundary: Option<f64>,
    /// Whether it may be looked at.
    pub(crate) set: Set,
    /// Whether the move is made a second time, to see how much two differ.
    pub(crate) repeated: bool,
}

impl Cell {
    /// The guest, the same from move to move of a series.
    pub(crate) fn guest(&self) -> &str {
        match self.set {
            Set::Series => &self.load,
            Set::Tuning | Set::Held => &self.name,
        }
    }

    pub(crate) fn line(&self) -> String {
        let rate = match self.of_boundary {
            Some(share) => format!("{:.0} % of the boundary", share * 100.0),
            None => format!("{} Mbit/s", self.rate_mbit),
        };
        format!(
            "{}: {} MiB, {rate}, {} ms, {:?}: {}",
            self.name, self.memory_mib, self.limit_ms, self.set, self.load
        )
    }
}

/// Loads by pattern, with the memory they fit in. Rates are bytes per second.
const LOADS: &[(&str, &str, &[u64])] = &[
    ("idle", "idle:fill=96M", &[256, 512, 1024]),
    (
        "sequential",
        "sequential:set=32M,rate=10M+idle:fill=64M",
        &[256, 512, 1024],
    ),
    ("uniform", "uniform:set=64M,rate=6M", &[256, 512, 1024]),
    (
        "hotcold",
        "hotcold:set=12M,rate=16M,cold-set=96M,cold-rate=3M,write=word",
        &[256, 512, 1024],
    ),
    ("zipf", "zipf:set=96M,rate=12M", &[256, 512, 1024]),
    (
        "phases",
        "phases:2s@uniform:set=32M,rate=24M/3s@idle",
        &[256, 512, 1024],
    ),
    (
        "growing",
        "growing:set=16M,limit=96M,grow=4M,rate=8M",
        &[256, 512, 1024],
    ),
    (
        "compute",
        "compute:duty=60+idle:fill=96M",
        &[256, 512, 1024],
    ),
    ("read", "read:set=96M,rate=100M", &[256, 512, 1024]),
    (
        "disk",
        "disk:dev=vda,rate=8M+idle:fill=48M",
        &[256, 512, 1024],
    ),
    (
        "network",
        "network:role=send,proto=udp,peer=10.78.0.1:7,rate=4M+idle:fill=48M",
        &[256, 512, 1024],
    ),
];

/// Real programs from Debian packages, with the memory they need.
const PROGRAMS: &[(&str, &[u64])] = &[
    ("postgres", &[512, 1024, 512]),
    ("redis", &[512, 1024, 512]),
    ("xz", &[512, 512, 1024]),
    ("sort", &[1024, 512, 512]),
    ("python", &[512, 1024, 512]),
];

/// Writers whose boundary is searched.
const BOUNDARY: &[(&str, &str)] = &[
    ("uniform", "uniform:set=48M,rate=40M"),
    ("sequential", "sequential:set=40M,rate=30M"),
    (
        "hotcold",
        "hotcold:set=24M,rate=40M,cold-set=64M,cold-rate=4M",
    ),
    ("zipf", "zipf:set=64M,rate=40M"),
    (
        "phases",
        "phases:2s@uniform:set=48M,rate=40M/2s@uniform:set=16M,rate=10M",
    ),
    ("growing", "growing:set=24M,limit=64M,grow=2M,rate=36M"),
];

/// Guests that move again and again, with memory, link and limit of their own.
const SERIES: &[(&str, &str, u64, f64, f64)] = &[
    (
        "hotcold",
        "hotcold:set=12M,rate=16M,cold-set=96M,cold-rate=3M,write=word",
        512,
        400.0,
        300.0,
    ),
    ("zipf", "zipf:set=96M,rate=12M", 512, 300.0, 300.0),
    (
        "phases",
        "phases:2s@uniform:set=32M,rate=24M/3s@idle",
        512,
        300.0,
        300.0,
    ),
    ("uniform", "uniform:set=64M,rate=12M", 512, 300.0, 300.0),
];

/// Moves of each.
const SERIES_MOVES: usize = 5;

const RATES: [f64; 3] = [200.0, 400.0, 800.0];
const LIMITS: [f64; 3] = [100.0, 300.0, 1000.0];
const SHARES: [f64; 4] = [0.75, 0.9, 1.1, 1.25];

/// Every third cell of each pattern is held.
const fn set(number: usize) -> Set {
    if number % 3 == 2 {
        Set::Held
    } else {
        Set::Tuning
    }
}

/// What is held meets links of its own, so that nothing of it was seen in earlier runs.
const fn shift(set: Set) -> usize {
    match set {
        Set::Tuning | Set::Series => 0,
        Set::Held => 1,
    }
}

/// Every so many cells one is repeated.
const REPEATED: usize = 8;

/// Every cell, in the order in which they run: those that may be looked at first.
pub(crate) fn all() -> Vec<Cell> {
    let mut cells = square();
    for cell in cells.iter_mut().step_by(REPEATED) {
        cell.repeated = true;
    }
    cells.sort_by_key(|cell| cell.set == Set::Held);
    cells
}

/// Moves of the same guests, in the order in which they run: a round of all guests at a time.
pub(crate) fn series() -> Vec<Cell> {
    let rounds = (1..=SERIES_MOVES).flat_map(|round| SERIES.iter().map(move |row| (round, row)));
    rounds
        .map(|(round, (pattern, load, memory_mib, rate, limit))| Cell {
            name: format!("again-{pattern}-{round}"),
            pattern: (*pattern).to_owned(),
            load: (*load).to_owned(),
            memory_mib: *memory_mib,
            rate_mbit: *rate,
            limit_ms: *limit,
            of_boundary: None,
            set: Set::Series,
            repeated: false,
        })
        .collect()
}

fn square() -> Vec<Cell> {
    let mut cells = Vec::new();
    // Every load meets every rate and limit once, in other orders.
    for (row, (pattern, load, sizes)) in LOADS.iter().enumerate() {
        for step in 0..3 {
            cells.push(Cell {
                name: format!("{pattern}-{step}"),
                pattern: (*pattern).to_owned(),
                load: (*load).to_owned(),
                // What is held must not all be of one size.
                memory_mib: match set(row + step) {
                    Set::Tuning => sizes[(row + step) % 3],
                    Set::Held | Set::Series => sizes[row % 3],
                },
                rate_mbit: RATES[(row + 2 * step + shift(set(row + step))) % 3],
                limit_ms: LIMITS[step],
                of_boundary: None,
                set: set(row + step),
                repeated: false,
            });
        }
    }
    for (row, (program, sizes)) in PROGRAMS.iter().enumerate() {
        for step in 0..3 {
            cells.push(Cell {
                name: format!("{program}-{step}"),
                pattern: "program".to_owned(),
                load: format!("program:{program}"),
                memory_mib: sizes[step],
                rate_mbit: RATES[(row + 2 * step + shift(set(row + step))) % 3],
                limit_ms: LIMITS[step],
                of_boundary: None,
                set: set(row + step),
                repeated: false,
            });
        }
    }
    for (row, (pattern, load)) in BOUNDARY.iter().enumerate() {
        for (step, share) in SHARES.iter().enumerate() {
            cells.push(Cell {
                name: format!("{pattern}-edge-{:.0}", share * 100.0),
                pattern: (*pattern).to_owned(),
                load: (*load).to_owned(),
                memory_mib: 256,
                rate_mbit: 400.0,
                limit_ms: match set(row + step) {
                    Set::Tuning => LIMITS[(row + step) % 3],
                    Set::Held | Set::Series => LIMITS[(row + step / 3 + 1) % 3],
                },
                of_boundary: Some(*share),
                set: set(row + step),
                repeated: false,
            });
        }
    }
    cells
}
