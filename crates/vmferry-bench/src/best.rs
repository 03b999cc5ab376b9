//! Which subject is best for which service, by each metric.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::completion::{Incomplete, gained_by_failing};
use crate::difference::{Difference, Verdict, judge};
use crate::estimate::Spread;
use crate::metric::{DowntimeSource, Metric};
use crate::record::BenchRecord;
use crate::side::{CellName, Side, common_source};

/// The best subject for a service by one metric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Best {
    /// Workload and load.
    #[serde(flatten)]
    pub cell: CellName,
    /// By what.
    pub metric: Metric,
    /// The subject with the lowest mean.
    pub subject: String,
    /// Its mean, in the metric's unit: ms, ms, bytes, a share.
    pub mean: f64,
    /// Probability by chance of the least certain of the differences to those that are worse,
    /// corrected for all pairs of subjects (a comparison's is corrected for pairs with its baseline
    /// only, and can differ); `None` where none is worse.
    #[serde(default)]
    pub p: Option<f64>,
    /// Subjects that may be as good: not distinguishable from it. Where all others are here, no
    /// subject is the best.
    pub not_distinguishable: Vec<String>,
    /// Subjects that are worse.
    pub worse: Vec<String>,
    /// Subjects of which not all was measured. By data and by overhead those whose migrations did
    /// not all complete are neither the best nor compared.
    #[serde(default)]
    pub incomplete: Vec<Incomplete>,
    /// Whether the best may use post-copy, in which a move cannot be cancelled and a guest whose
    /// source or destination dies is lost.
    #[serde(default)]
    pub may_use_postcopy: bool,
}

/// The lowest of every cell and metric, each tested against all others.
pub(crate) fn best(record: &BenchRecord) -> Vec<Best> {
    let sides = Side::all(record);
    let by = common_source(&sides);
    let cells = sides.first().map(|side| side.cells()).unwrap_or_default();
    let mut races: Vec<Race> = cells
        .iter()
        .flat_map(|cell| Metric::ALL.map(|metric| Race::of(&sides, cell, metric, by)))
        .flatten()
        .collect();
    // Which one is the lowest was not known before: all pairs of a race are tested, not only those
    // with it.
    let tests = races.iter_mut().flat_map(|race| {
        let with_lowest = race.others.iter_mut().map(|(_, difference)| difference);
        with_lowest.chain(&mut race.among_others)
    });
    judge(tests.collect());
    races.into_iter().map(Race::end).collect()
}

/// A cell and metric with the subject that has the lowest mean, and what the others are more.
struct Race {
    cell: CellName,
    metric: Metric,
    subject: String,
    mean: f64,
    others: Vec<(String, Difference)>,
    /// What the others differ by from each other.
    among_others: Vec<Difference>,
    incomplete: Vec<Incomplete>,
    may_use_postcopy: bool,
}

impl Race {
    /// `None` where no other subject was measured, nor left out for what it did not complete.
    fn of(sides: &[Side<'_>], cell: &CellName, metric: Metric, by: DowntimeSource) -> Option<Self> {
        let incomplete = sides.iter().filter_map(|side| Incomplete::of(side, cell));
        let incomplete: Vec<Incomplete> = incomplete
            .filter(|one| one.words_by(metric).is_some())
            .collect();
        let mut measured: Vec<(&Side<'_>, Spread)> = sides
            .iter()
            .filter(|side| !gained_by_failing(&incomplete, side.subject, metric))
            .filter_map(|side| Some((side, side.cell(cell).spread(metric, by)?)))
            .collect();
        measured.sort_by(|(_, a), (_, b)| a.mean.total_cmp(&b.mean));
        let ((first, lowest), others) = measured.split_first()?;
        let alone = others.is_empty() && incomplete.iter().all(|one| one.subject == first.subject);
        (!alone).then(|| Self {
            cell: cell.clone(),
            metric,
            subject: first.subject.to_owned(),
            mean: lowest.mean,
            others: others
                .iter()
                .map(|(side, spread)| {
                    let more = Difference::between(metric, spread, lowest);
                    (side.subject.to_owned(), more)
                })
                .collect(),
            among_others: (1..others.len())
                .flat_map(|place| {
                    let (_, upper) = &others[place];
                    let lower = others[..place].iter();
                    lower.map(move |(_, lower)| Difference::between(metric, upper, lower))
                })
                .collect(),
            may_use_postcopy: first.may_use_postcopy(),
            incomplete,
        })
    }

    fn end(self) -> Best {
        let (worse, open): (Vec<_>, Vec<_>) = self
            .others
            .into_iter()
            .partition(|(_, difference)| difference.weighs(Verdict::Worse));
        let chances = worse.iter().filter_map(|(_, found)| found.p_corrected);
        let p = chances.max_by(f64::total_cmp);
        let names =
            |list: Vec<(String, Difference)>| list.into_iter().map(|(name, _)| name).collect();
        Best {
            cell: self.cell,
            metric: self.metric,
            subject: self.subject,
            mean: self.mean,
            p,
            not_distinguishable: names(open),
            worse: names(worse),
            incomplete: self.incomplete,
            may_use_postcopy: self.may_use_postcopy,
        }
    }
}
