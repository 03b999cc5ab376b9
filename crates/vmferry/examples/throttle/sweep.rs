//! The memory writer of `jin2011`, section 5: a set of 800 MB in a guest of 1 GiB, written page
//! after page at 41 to 4798 Mbit/s, over links of 200, 500 and 1000 Mbit/s.

use crate::cells::{Cell, MAX_DOWNTIME_MS, Part};
use crate::steering::Steering;

/// What of the sweep is run.
#[derive(Clone, Debug)]
pub(crate) struct Sweep {
    /// Mbit/s written.
    pub(crate) rates: Vec<f64>,
    /// Mbit/s of the link.
    pub(crate) links: Vec<f64>,
    pub(crate) steerings: Vec<Steering>,
    pub(crate) repeats: u32,
    /// When a move that did not end by itself is made to, s.
    pub(crate) cap_s: f64,
}

/// Decimal, as the paper's numbers read (`docs/papers.md`).
const SET_BYTES: u64 = 800_000_000;
const MEMORY_MIB: u64 = 1024;

impl Sweep {
    /// All of it, five times.
    pub(crate) fn full() -> Self {
        let mut steerings = vec![Steering::OFF];
        steerings.extend([0.6, 0.7, 0.8, 0.9].map(Steering::jin));
        steerings.push(Steering::CURVE);
        Self {
            rates: vec![
                41.0, 200.0, 400.0, 600.0, 800.0, 1000.0, 1200.0, 1943.0, 2400.0, 3600.0, 4798.0,
            ],
            links: vec![200.0, 500.0, 1000.0],
            steerings,
            repeats: 5,
            cap_s: 120.0,
        }
    }

    /// What half an hour allows.
    pub(crate) fn quick() -> Self {
        Self {
            rates: vec![200.0, 600.0, 1200.0, 1943.0, 2400.0, 4798.0],
            links: vec![1000.0],
            steerings: vec![Steering::OFF, Steering::jin(0.6), Steering::CURVE],
            repeats: 1,
            cap_s: 60.0,
        }
    }

    pub(crate) fn cells(&self) -> Vec<Cell> {
        let mut cells = Vec::new();
        for repeat in 1..=self.repeats {
            for link in &self.links {
                for rate in &self.rates {
                    let of = |by: &Steering| self.cell(*link, *rate, *by, repeat);
                    cells.extend(self.steerings.iter().map(of));
                }
            }
        }
        cells
    }

    fn cell(&self, link_mbit: f64, dirty_mbit: f64, steering: Steering, repeat: u32) -> Cell {
        let kib = SET_BYTES / 1024;
        let rate = dirty_mbit * 1e6 / 8.0;
        Cell {
            part: Part::Sweep,
            guest: format!("sweep-{link_mbit}-{dirty_mbit}-within-{}", self.cap_s),
            load: format!("sequential:set={kib}K,rate={rate:.0}"),
            memory_mib: MEMORY_MIB,
            link_mbit,
            steering,
            max_downtime_ms: MAX_DOWNTIME_MS,
            within_s: self.cap_s,
            period_s: None,
            ages: false,
            dirty_mbit: Some(dirty_mbit),
            factor: None,
            repeat,
        }
    }
}
