//! What is kept of a move.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use vmferry::core::{
    Interval, LinkSpeed, Millis, MoveEvent, Observation, Outcome, OutcomeStatus, Place,
    PromiseForecast, Ratio,
};

use crate::cells::{Cell, Part};

/// Share of its aim that a guest reaches on a machine with nothing else to do.
const UNDISTURBED: f64 = 0.9;

/// One move and what it cost the guest.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) cell: Cell,
    /// The command that makes the move again.
    pub(crate) command: String,
    /// QEMU's command lines, source first.
    pub(crate) qemu: [String; 2],
    /// What was observed before the move, where it was.
    pub(crate) observation: Option<Observation>,
    pub(crate) link: Option<LinkSpeed>,
    /// Why the move could not even be prepared; nothing was moved then.
    pub(crate) refused: Option<String>,
    /// What was said of the promise before the move. One that is not accepted is refused by the
    /// command line; the bench makes the move all the same, to see whether that was right.
    pub(crate) promised: Option<PromiseForecast>,
    /// The report of the move as `vmferry migrate -o json` prints it, without what stands beside.
    pub(crate) report: Option<Value>,
    pub(crate) outcome: Option<Outcome>,
    /// What was steered, and what was warned of.
    pub(crate) events: Vec<MoveEvent>,
    /// Share of its CPU that QEMU's own throttle left the guest, from each change on.
    pub(crate) qemu_shares: Vec<(Millis, Ratio)>,
    /// When the bench made the guest stop; `None` where the move ended by itself.
    pub(crate) forced_at_ms: Option<Millis>,
    /// What the load does unmoved, work units a second, one number a part.
    pub(crate) unmoved_per_s: Vec<f64>,
    /// Bytes that the load did unmoved over those it aimed at; `None` where it aims at none. Well
    /// below 1 the machine was busy with something else.
    pub(crate) unmoved_of_aim: Option<Ratio>,
    pub(crate) cost: Option<Cost>,
}

/// What a move cost the guest, pause included, from the command to the end that was seen.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Cost {
    /// From the command to the end.
    pub(crate) span_ms: Millis,
    /// Share of its work that was not done, by the load's own count against the same guest unmoved.
    pub(crate) lost: Option<Ratio>,
    /// Share of one CPU that the virtual CPUs used, unmoved and during the move.
    pub(crate) vcpu_unmoved: Option<Ratio>,
    pub(crate) vcpu_moved: Option<Ratio>,
    /// The longest time without a report of the load, which comes every 100 ms; pause included.
    pub(crate) freeze_ms: Option<Millis>,
    /// The longest pause by the guest's own clock, which stands still while it is stopped.
    pub(crate) own_pause_ms: Option<Millis>,
    /// Share of one core that the bench itself used, controller and console readers together.
    pub(crate) steering_cpu: Option<Ratio>,
}

impl Cost {
    /// The work lost, in time at full speed.
    pub(crate) fn lost_s(&self) -> Option<f64> {
        self.lost.map(|lost| lost.0 * self.span_ms.0 / 1e3)
    }

    /// `jin2011` eq. 7 with the processor time of the virtual CPUs for work: I_L over U and F, in
    /// time at the use of before.
    pub(crate) fn vcpu_lost_s(&self) -> Option<f64> {
        let (before, during) = (self.vcpu_unmoved?, self.vcpu_moved?);
        (before.0 > 0.0).then(|| (1.0 - during.0 / before.0) * self.span_ms.0 / 1e3)
    }
}

/// The median; `None` of none.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    Interval::of_samples(values).map(|values| values.p50)
}

/// Where the record of a cell is kept.
pub(crate) fn path(directory: &Path, cell: &Cell) -> PathBuf {
    directory.join(format!("{}.json", cell.name()))
}

/// Whether a record of a cell exists, made as the cell now is.
pub(crate) fn exists(directory: &Path, cell: &Cell) -> bool {
    let same = |was: &Cell| was.conditions() == cell.conditions();
    fs::read(path(directory, cell))
        .ok()
        .and_then(|bytes| serde_json::from_slice::<Record>(&bytes).ok())
        .is_some_and(|record| same(&record.cell))
}

/// Every record of a directory, by name.
pub(crate) fn read_all(directory: &Path) -> Result<Vec<Record>, Box<dyn Error>> {
    let mut paths: Vec<PathBuf> = match fs::read_dir(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        entries => entries?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<_, _>>()?,
    };
    paths.retain(|path| path.extension().is_some_and(|e| e == "json"));
    paths.sort();
    paths
        .iter()
        .map(|path| {
            let wrong = |error: serde_json::Error| format!("{}: {error}", path.display());
            serde_json::from_slice(&fs::read(path)?).map_err(|error| wrong(error).into())
        })
        .collect()
}

impl Record {
    /// Writes it whole or not at all: a bench that is killed leaves no half record.
    pub(crate) fn write(&self, directory: &Path) -> Result<(), Box<dyn Error>> {
        let (path, partial) = (path(directory, &self.cell), directory.join("partial"));
        fs::write(&partial, serde_json::to_vec(self)?)?;
        Ok(fs::rename(partial, path)?)
    }

    /// Whether the guest moved, forced or not.
    pub(crate) fn moved(&self) -> bool {
        self.outcome.as_ref().is_some_and(|o| {
            o.status == OutcomeStatus::Completed && o.place == Place::RunningAtDestination
        })
    }

    /// Whether the promise was taken on, by a controller that plans; others take on any.
    pub(crate) fn accepted(&self) -> bool {
        let told = self.promised.as_ref().is_none_or(|told| told.accepted);
        self.refused.is_none() && (told || !self.cell.steering.plans())
    }

    /// Whether it moved by itself within the time it had, and would have been begun at all.
    pub(crate) fn finished(&self) -> bool {
        self.accepted() && self.ended_in_time()
    }

    fn ended_in_time(&self) -> bool {
        let in_time = |s: f64| s <= self.cell.within_s;
        self.moved() && self.forced_at_ms.is_none() && self.total_s().is_some_and(in_time)
    }

    /// Whether both promises were kept.
    pub(crate) fn kept(&self) -> bool {
        self.accepted() && self.came_as_promised()
    }

    /// Whether both came as promised, accepted or not.
    pub(crate) fn came_as_promised(&self) -> bool {
        let short = |ms: f64| ms <= self.cell.max_downtime_ms;
        self.ended_in_time() && self.downtime_ms().is_some_and(short)
    }

    pub(crate) fn downtime_ms(&self) -> Option<f64> {
        let outcome = self.outcome.as_ref().filter(|_| self.moved())?;
        outcome.downtime_ms.map(|ms| ms.0)
    }

    pub(crate) fn total_s(&self) -> Option<f64> {
        let outcome = self.outcome.as_ref().filter(|_| self.moved())?;
        outcome.total_time_ms.map(|ms| ms.0 / 1e3)
    }

    pub(crate) fn sent_mb(&self) -> Option<f64> {
        let outcome = self.outcome.as_ref()?;
        outcome.transferred_bytes.map(|bytes| bytes.0 as f64 / 1e6)
    }

    pub(crate) fn lost_s(&self) -> Option<f64> {
        self.cost.as_ref().and_then(Cost::lost_s)
    }

    /// The guest's share of its CPU from each change on, whoever set it.
    pub(crate) fn shares(&self) -> Vec<(f64, f64)> {
        let steered = self.events.iter().filter_map(|event| match event {
            MoveEvent::Steered {
                at_ms, cpu_share, ..
            } => Some((at_ms.0, cpu_share.0)),
            _ => None,
        });
        let by_qemu = self.qemu_shares.iter().map(|(at, share)| (at.0, share.0));
        let mut shares: Vec<(f64, f64)> = steered.chain(by_qemu).collect();
        shares.sort_by(|a, b| a.0.total_cmp(&b.0));
        shares
    }

    /// The least share it was held to, 1 where it never was.
    pub(crate) fn least_share(&self) -> f64 {
        self.shares()
            .iter()
            .map(|(_, share)| *share)
            .fold(1.0, f64::min)
    }

    /// What the writer of the sweep writes unmoved, Mbit/s: as far as the guest gets.
    pub(crate) fn written_mbit(&self) -> Option<f64> {
        let pages = self.unmoved_per_s.first()?;
        Some(pages * 4096.0 * 8.0 / 1e6)
    }

    /// Whether the guest did not get to its work even unmoved: its costs mean nothing then. The
    /// sweep asks for more than a guest gets to.
    pub(crate) fn disturbed(&self) -> bool {
        self.cell.part != Part::Sweep
            && self
                .unmoved_of_aim
                .is_some_and(|share| share.0 < UNDISTURBED)
    }

    /// Use of the virtual CPUs while the guest ran, over the use unmoved.
    pub(crate) fn mean_share(&self) -> Option<f64> {
        let cost = self.cost.as_ref()?;
        let ran = cost.span_ms.0 - self.downtime_ms().unwrap_or(0.0);
        let used = cost.vcpu_moved?.0 * cost.span_ms.0;
        let before = cost.vcpu_unmoved.filter(|unmoved| unmoved.0 > 0.0)?.0;
        (ran > 0.0).then(|| used / ran / before)
    }

    /// How it ended, in a word or two.
    pub(crate) fn end(&self) -> &'static str {
        match (&self.outcome, self.forced_at_ms) {
            _ if self.refused.is_some() => "not begun",
            _ if !self.accepted() && self.came_as_promised() => "refused, would have been kept",
            _ if !self.accepted() => "refused, not kept",
            (_, Some(_)) if self.moved() => "forced",
            _ if self.kept() => "kept",
            _ if self.finished() => "pause too long",
            _ if self.moved() => "late",
            (Some(outcome), _) if outcome.status == OutcomeStatus::Cancelled => "given up",
            _ => "failed",
        }
    }

    pub(crate) fn line(&self) -> String {
        let text = |v: Option<f64>, digits: usize| {
            v.map_or_else(|| "-".to_owned(), |v| format!("{v:.digits$}"))
        };
        format!(
            "{}: total {} s, downtime {} ms, sent {} MB, lost {} s ({} s by CPU), freeze {} ms, least share {:.0} %",
            self.end(),
            text(self.total_s(), 1),
            text(self.downtime_ms(), 0),
            text(self.sent_mb(), 0),
            text(self.lost_s(), 2),
            text(self.cost.as_ref().and_then(Cost::vcpu_lost_s), 2),
            text(self.cost.and_then(|c| c.freeze_ms).map(|ms| ms.0), 0),
            self.least_share() * 100.0,
        ) + if self.disturbed() {
            "; DISTURBED: the machine was busy with something else"
        } else {
            ""
        }
    }
}
