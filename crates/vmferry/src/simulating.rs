//! What if: moves of a guest that is known from a file, without a hypervisor.

mod reading;
mod traced;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::thread;

use vmferry_core::{ByteRate, Bytes, Millis};
use vmferry_model::Assumptions;
pub use vmferry_model::sweep::{Axis, Boundary, Model, Place, Point, Rules, Settings, geometric};
use vmferry_model::sweep::{Grid, Sweep, sweep};

use crate::Error;
use crate::document::{SimulateReport, Versions};

/// The downtime limit where none is given: QEMU's default.
const MAX_DOWNTIME: Millis = Millis(300.0);

/// What to simulate.
#[derive(Clone, Debug, PartialEq)]
pub struct SimulateRequest {
    /// An observation (`measure -o json`) or a trace (`record`).
    pub file: PathBuf,
    /// The model.
    pub model: Model,
    /// By whose rules; empty: QEMU's, or the textbook's for its formulas.
    pub rules: Vec<Rules>,
    /// Rates of the link, frames included.
    pub bandwidth: Vec<ByteRate>,
    /// Downtime limits; empty: 300 ms.
    pub max_downtime: Vec<Millis>,
    /// Sizes of memory; empty: as observed.
    pub memory: Vec<Bytes>,
    /// Factors on the speed at which the guest writes; empty: 1.
    pub dirt: Vec<f64>,
    /// Most the stream may use; `None` is unlimited.
    pub max_bandwidth: Option<ByteRate>,
    /// Time within which a move should converge.
    pub deadline: Millis,
    /// Draws behind every point.
    pub samples: u32,
    /// Seed of the draws.
    pub seed: u64,
}

/// Computes every point on all cores. The hosts are taken to be like those that
/// forecasts without history assume.
///
/// # Errors
/// When the file is neither an observation nor a trace, or cannot be used; when
/// the sweep makes no sense; when the model needs what the file does not hold.
pub fn simulate(request: &SimulateRequest) -> Result<SimulateReport, Error> {
    let seen = reading::read(&request.file, request.seed)?;
    let observation = &seen.observation;
    let or = |given: &[f64], default: f64| match given {
        [] => vec![default],
        given => given.to_vec(),
    };
    let rules = match &request.rules[..] {
        [] if request.model.is_formula() => vec![Rules::Textbook],
        [] => vec![Rules::Qemu],
        given => given.to_vec(),
    };
    let limits = match &request.max_downtime[..] {
        [] => vec![MAX_DOWNTIME],
        given => given.to_vec(),
    };
    let memory = match &request.memory[..] {
        [] => vec![observation.page_mix.total_pages.bytes()],
        given => given.to_vec(),
    };
    let dirt = or(&request.dirt, 1.0);
    let grid = Grid::new(&rules, &request.bandwidth, &limits, &dirt, &memory)?;
    let assumptions = Assumptions {
        samples: request.samples,
        ..Assumptions::for_guest(&observation.guest)
    };
    let swept = sweep(&Sweep {
        observation,
        whole: seen.whole.as_ref(),
        model: request.model,
        grid: &grid,
        assumptions,
        max_bandwidth: request.max_bandwidth,
        deadline: request.deadline,
        seed: request.seed,
        threads: thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
    })?;
    let mut notes = seen.notes;
    notes.extend(swept.notes);
    notes.push(format!(
        "Costs of the hosts are those of QEMU under {}; nothing is learned from earlier moves.",
        match observation.guest.accelerator.as_deref() {
            Some("tcg") => "TCG",
            _ => "KVM",
        }
    ));
    Ok(SimulateReport {
        versions: Versions::default(),
        file: request.file.display().to_string(),
        source: seen.kind,
        guest: observation.guest.clone(),
        observation: observation.summary(),
        model: swept.model,
        rules: grid.rules().to_vec(),
        swept: grid.swept(),
        samples: request.samples,
        seed: request.seed,
        deadline_ms: request.deadline,
        max_bandwidth_bytes_per_s: request.max_bandwidth,
        points: swept.points,
        boundaries: swept.boundaries,
        notes,
    })
}
