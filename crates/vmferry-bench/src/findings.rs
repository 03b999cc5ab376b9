//! Which setting is best for which service here, in sentences that a person can use.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::compare::{CellComparison, Comparison};
use crate::difference::{Difference, Verdict, judge};
use crate::estimate::Spread;
use crate::metric::{DowntimeSource, Metric};
use crate::record::BenchRecord;
use crate::side::{CellName, Side, common_source};

/// A ratio whose whole interval is within this share of 1 is told as no change.
pub const SAME: f64 = 0.1;

/// What a benchmark found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Findings {
    /// What changes with a subject against the plan's first; only what is distinguishable.
    pub findings: Vec<Finding>,
    /// The best subject by cell and metric.
    pub best: Vec<Best>,
    /// Comparisons of cells that could not be decided.
    pub undecided: usize,
}

/// What one subject changes for one service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// Workload and load.
    #[serde(flatten)]
    pub cell: CellName,
    /// The subject.
    pub subject: String,
    /// What it is compared with.
    pub baseline: String,
    /// Metrics that get better.
    pub better: Vec<Metric>,
    /// Metrics that get worse.
    pub worse: Vec<Metric>,
    /// Metrics that stay within a tenth, certainly.
    pub same: Vec<Metric>,
    /// In words.
    pub sentence: String,
}

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
    /// Subjects that may be as good: not distinguishable from it. Where all others are here, no
    /// subject is the best.
    pub not_distinguishable: Vec<String>,
    /// Subjects that are worse.
    pub worse: Vec<String>,
}

impl Findings {
    /// Of a record with two subjects or more; empty with fewer.
    pub fn of(record: &BenchRecord) -> Self {
        let comparisons = Comparison::within(record);
        let cells = comparisons.iter().flat_map(|c| &c.cells);
        let open = |cell: &&CellComparison| {
            let difference = &cell.difference;
            difference.verdict == Verdict::NotDistinguishable && !difference.is_same_within(SAME)
        };
        Self {
            findings: comparisons.iter().flat_map(of_comparison).collect(),
            best: best(record),
            undecided: cells.filter(open).count(),
        }
    }
}

/// By cell; cells are sorted.
fn of_comparison(comparison: &Comparison) -> Vec<Finding> {
    comparison
        .cells
        .chunk_by(|a, b| a.cell == b.cell)
        .filter_map(|metrics| finding(comparison, metrics))
        .collect()
}

fn finding(comparison: &Comparison, metrics: &[CellComparison]) -> Option<Finding> {
    let with = |verdict: Verdict| -> Vec<&CellComparison> {
        let cells = metrics.iter();
        cells.filter(|c| c.difference.verdict == verdict).collect()
    };
    let (better, worse) = (with(Verdict::Better), with(Verdict::Worse));
    if better.is_empty() && worse.is_empty() {
        return None;
    }
    let same: Vec<&CellComparison> = metrics
        .iter()
        .filter(|c| c.difference.is_same_within(SAME))
        .collect();
    let names = |cells: &[&CellComparison]| cells.iter().map(|c| c.metric).collect();
    let changes: Vec<String> = better.iter().chain(&worse).map(|c| change(c)).collect();
    let mut sentence = format!(
        "{}: {} {}",
        metrics.first()?.cell,
        comparison.judged.subject,
        joined(&changes)
    );
    if !same.is_empty() {
        let kept: Vec<String> = same.iter().map(|c| kept(c)).collect();
        sentence.push_str(&format!(", and does not change {}", joined(&kept)));
    }
    sentence.push_str(&format!(", against {}", comparison.baseline.subject));
    Some(Finding {
        cell: metrics.first()?.cell.clone(),
        subject: comparison.judged.subject.clone(),
        baseline: comparison.baseline.subject.clone(),
        better: names(&better),
        worse: names(&worse),
        same: names(&same),
        sentence,
    })
}

/// `halves total time (0.49 ± 0.02)`.
fn change(cell: &CellComparison) -> String {
    let (metric, difference) = (cell.metric, &cell.difference);
    let better = difference.verdict == Verdict::Better;
    let ratio = difference.ratio.filter(|_| metric != Metric::Overhead);
    let Some(ratio) = ratio else {
        let verb = if better { "lowers" } else { "raises" };
        return format!(
            "{verb} {metric} from {} to {}",
            metric.show(cell.baseline),
            metric.show(cell.judged)
        );
    };
    let verb = match ratio.ratio {
        r if (0.45..=0.55).contains(&r) => "halves",
        r if (1.8..=2.2).contains(&r) => "doubles",
        _ if better => "lowers",
        _ => "raises",
    };
    format!("{verb} {metric} ({})", figure(ratio.ratio, difference))
}

fn kept(cell: &CellComparison) -> String {
    let ratio = cell.difference.ratio.map_or(1.0, |ratio| ratio.ratio);
    format!("{} ({})", cell.metric, figure(ratio, &cell.difference))
}

fn figure(ratio: f64, difference: &Difference) -> String {
    let around = difference.ratio.and_then(|ratio| ratio.confidence);
    around.map_or_else(
        || format!("{ratio:.2}"),
        |c| format!("{ratio:.2} ± {:.2}", c.half_width()),
    )
}

fn joined(parts: &[String]) -> String {
    match parts {
        [] => String::new(),
        [one] => one.clone(),
        [many @ .., last] => format!("{} and {last}", many.join(", ")),
    }
}

/// The lowest of every cell and metric, each tested against all others.
fn best(record: &BenchRecord) -> Vec<Best> {
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
}

impl Race {
    /// `None` where fewer than two subjects were measured.
    fn of(sides: &[Side<'_>], cell: &CellName, metric: Metric, by: DowntimeSource) -> Option<Self> {
        let mut measured: Vec<(&Side<'_>, Spread)> = sides
            .iter()
            .filter_map(|side| Some((side, side.cell(cell).spread(metric, by)?)))
            .collect();
        measured.sort_by(|(_, a), (_, b)| a.mean.total_cmp(&b.mean));
        let ((first, lowest), others) = measured.split_first()?;
        (!others.is_empty()).then(|| Self {
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
        })
    }

    fn end(self) -> Best {
        let (worse, open): (Vec<_>, Vec<_>) = self
            .others
            .into_iter()
            .partition(|(_, difference)| difference.verdict == Verdict::Worse);
        let names =
            |list: Vec<(String, Difference)>| list.into_iter().map(|(name, _)| name).collect();
        Best {
            cell: self.cell,
            metric: self.metric,
            subject: self.subject,
            mean: self.mean,
            not_distinguishable: names(open),
            worse: names(worse),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Figures, plan, record};
    use crate::plan::BenchPlan;

    fn made(repeats: u32) -> BenchRecord {
        let plan = BenchPlan {
            repeats,
            ..plan(&["default", "multifd", "xbzrle"], &["postgres", "web"])
        };
        record(plan, |key, point| {
            let mut figures = Figures::default();
            match (key.subject.as_str(), key.workload.as_str()) {
                ("multifd", "postgres") => figures.total_time_ms *= 0.5,
                ("xbzrle", "postgres") => {
                    figures.migrated_bytes = figures.migrated_bytes * 7 / 10;
                    figures.rate_with *= 0.9;
                }
                _ => {}
            }
            figures.with_noise(0.01, key, point)
        })
    }

    #[test]
    fn what_is_best_for_whom() {
        let findings = Findings::of(&made(4));
        let said: Vec<&str> = findings
            .findings
            .iter()
            .map(|f| f.sentence.as_str())
            .collect();
        let [time, data] = said.as_slice() else {
            panic!("{said:#?}")
        };
        assert!(
            time.starts_with("postgres: multifd halves total time (0.50 ± 0.0"),
            "{time}"
        );
        assert!(time.contains(", and does not change downtime ("), "{time}");
        assert!(time.ends_with(", against default"), "{time}");
        assert!(
            data.starts_with("postgres: xbzrle lowers migrated data (0.70 ± 0.0"),
            "{data}"
        );
        assert!(data.contains(" and raises overhead from "), "{data}");

        let of = |workload: &str, metric| {
            let found = findings
                .best
                .iter()
                .find(|b| b.cell.workload == workload && b.metric == metric);
            found.unwrap()
        };
        let time = of("postgres", Metric::TotalTime);
        assert_eq!((time.subject.as_str(), time.worse.len()), ("multifd", 2));
        let data = of("postgres", Metric::MigratedData);
        assert_eq!((data.subject.as_str(), data.worse.len()), ("xbzrle", 2));
        assert_eq!(of("web", Metric::TotalTime).not_distinguishable.len(), 2);
    }

    #[test]
    fn one_repeat_finds_nothing() {
        let findings = Findings::of(&made(1));
        assert_eq!(findings.findings, []);
        assert!(findings.best.iter().all(|best| best.worse.is_empty()));
        assert_eq!(findings.undecided, 2 * 2 * 4);
    }

    #[test]
    fn one_subject_has_nothing_to_be_compared_with() {
        let record = record(plan(&["a"], &["web"]), |_, _| Figures::default());
        let findings = Findings::of(&record);
        assert!(findings.findings.is_empty() && findings.best.is_empty());
    }
}
