//! Which setting is best for which service here, in sentences that a person can use.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::compare::{CellComparison, Comparison};
use crate::difference::{Difference, LEVEL, RatioEstimate, Verdict, judge};
use crate::estimate::{Confidence, Scale, Spread, confidence};
use crate::metric::{DowntimeSource, Metric};
use crate::record::BenchRecord;
use crate::side::{CellName, Side, common_source};

/// A ratio whose whole interval is within this share of 1 is told as no change.
pub const SAME: f64 = 0.1;

/// What a benchmark found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Findings {
    /// What changes with a subject against the plan's first, by cell; only what is
    /// distinguishable.
    pub findings: Vec<Finding>,
    /// The best subject by cell and metric.
    pub best: Vec<Best>,
    /// Overheads that tell nothing about migrations, and are in no finding and in no `best`.
    #[serde(default)]
    pub doubtful: Vec<DoubtfulOverhead>,
    /// Comparisons of cells that could not be decided.
    pub undecided: usize,
}

/// An overhead below 0: with migrations the service did more work than without. That is noise, or
/// a service that was still getting faster because its warm-up was too short.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DoubtfulOverhead {
    /// Workload and load.
    #[serde(flatten)]
    pub cell: CellName,
    /// The subject.
    pub subject: String,
    /// Mean over repeats, a share below 0.
    pub mean: f64,
    /// Of the mean; `None` of one repeat and where it has no end.
    pub confidence: Option<Confidence>,
    /// Whether 0 is within what noise can do. Where it is not, something else than migrations made
    /// the runs differ, and no overhead of this cell is compared.
    pub noise: bool,
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
    /// Probability by chance, corrected, of the least certain of the differences to those that are
    /// worse; `None` where none is.
    #[serde(default)]
    pub p: Option<f64>,
    /// Subjects that may be as good: not distinguishable from it. Where all others are here, no
    /// subject is the best.
    pub not_distinguishable: Vec<String>,
    /// Subjects that are worse.
    pub worse: Vec<String>,
}

impl DoubtfulOverhead {
    /// `multifd (-6.1 % ± 21 points)`.
    pub(crate) fn figure(&self) -> String {
        let around = self.confidence.map_or_else(String::new, |c| {
            let points = c.half_width() * 100.0;
            let digits = usize::from(points < 10.0);
            format!(" ± {points:.digits$} points")
        });
        format!(
            "{} ({}{around})",
            self.subject,
            Metric::Overhead.show(self.mean)
        )
    }
}

impl Findings {
    /// Of a record with two subjects or more; empty with fewer.
    pub fn of(record: &BenchRecord) -> Self {
        let doubtful = doubtful(record);
        let unsteady = |cell: &CellName| doubtful.iter().any(|one| !one.noise && one.cell == *cell);
        let mut comparisons = Comparison::within(record);
        for comparison in &mut comparisons {
            comparison
                .cells
                .retain(|c| c.metric != Metric::Overhead || !unsteady(&c.cell));
        }
        let cells = comparisons.iter().flat_map(|c| &c.cells);
        let open = |cell: &&CellComparison| {
            let difference = &cell.difference;
            difference.verdict == Verdict::NotDistinguishable && !difference.is_same_within(SAME)
        };
        let undecided = cells.filter(open).count();
        let mut findings: Vec<Finding> = comparisons.iter().flat_map(of_comparison).collect();
        findings.sort_by(|a, b| a.cell.cmp(&b.cell));
        let mut best = best(record);
        // A mean below 0 is the lowest of nothing, unless others certainly lose more.
        best.retain(|best| {
            best.metric != Metric::Overhead
                || !unsteady(&best.cell) && (best.mean >= 0.0 || !best.worse.is_empty())
        });
        Self {
            findings,
            best,
            doubtful,
            undecided,
        }
    }
}

/// Every overhead below 0.
fn doubtful(record: &BenchRecord) -> Vec<DoubtfulOverhead> {
    let sides = Side::all(record);
    let by = common_source(&sides);
    let cells = sides.first().map(|side| side.cells()).unwrap_or_default();
    let mut found = Vec::new();
    for cell in &cells {
        for side in &sides {
            let spread = side.cell(cell).spread(Metric::Overhead, by);
            let Some(spread) = spread.filter(|spread| spread.mean < 0.0) else {
                continue;
            };
            // One run says nothing of what others would have been.
            let term = spread.term.filter(|_| spread.repeats > 1);
            let around = confidence(
                spread.mean,
                term.as_ref().map(std::slice::from_ref),
                Scale::Linear,
            );
            found.push(DoubtfulOverhead {
                cell: cell.clone(),
                subject: side.subject.to_owned(),
                mean: spread.mean,
                confidence: around,
                noise: around.is_none_or(|around| around.high >= 0.0),
            });
        }
    }
    found
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
    let same: Vec<&CellComparison> = metrics
        .iter()
        .filter(|c| c.difference.is_same_within(SAME))
        .collect();
    let names =
        |cells: &[&CellComparison]| -> Vec<Metric> { cells.iter().map(|c| c.metric).collect() };
    let told = |cells: &[&CellComparison]| {
        let told: Vec<String> = cells.iter().map(|c| change(c)).collect();
        joined(&told)
    };
    let cell = &metrics.first()?.cell;
    let (subject, baseline) = (&comparison.judged.subject, &comparison.baseline.subject);
    let mut sentence = match (better.is_empty(), worse.is_empty()) {
        (true, true) => return None,
        (false, true) => format!(
            "For {cell} use {subject} rather than {baseline}: {}",
            told(&better)
        ),
        (true, false) => format!(
            "For {cell} use {baseline} rather than {subject}, which has {}",
            told(&worse)
        ),
        (false, false) => format!(
            "For {cell} use {subject} rather than {baseline} where {} counts: {}; at the price of {}",
            joined(
                &names(&better)
                    .iter()
                    .map(Metric::to_string)
                    .collect::<Vec<_>>()
            ),
            told(&better),
            told(&worse)
        ),
    };
    if !same.is_empty() {
        let kept: Vec<String> = same.iter().map(|c| kept(c)).collect();
        sentence.push_str(&format!("; the same within a tenth: {}", joined(&kept)));
    }
    let open = metrics.iter().filter(|c| {
        c.difference.verdict == Verdict::NotDistinguishable && !c.difference.is_same_within(SAME)
    });
    let open: Vec<String> = open.map(|c| c.metric.to_string()).collect();
    if !open.is_empty() {
        sentence.push_str(&format!("; not distinguishable: {}", joined(&open)));
    }
    Some(Finding {
        cell: cell.clone(),
        subject: subject.clone(),
        baseline: baseline.clone(),
        better: names(&better),
        worse: names(&worse),
        same: names(&same),
        sentence,
    })
}

/// `total time 2.01 s instead of 4.02 s (-50 % ± 2, p = 0.003)`.
fn change(cell: &CellComparison) -> String {
    let (metric, difference) = (cell.metric, &cell.difference);
    let ratio = difference.ratio.filter(|_| metric != Metric::Overhead);
    let size = match ratio {
        Some(ratio) => percent(ratio),
        None => {
            let half = difference
                .change_confidence
                .map_or_else(String::new, |c| format!(" ± {:.1}", c.half_width() * 100.0));
            match metric {
                Metric::Overhead => format!("{:+.1}{half} points", difference.change * 100.0),
                _ => format!("{} apart", metric.show(difference.change.abs())),
            }
        }
    };
    let sure = difference
        .p_corrected
        .map_or_else(String::new, |p| format!(", {}", chance(p)));
    format!(
        "{metric} {} instead of {} ({size}{sure})",
        metric.show(cell.judged),
        metric.show(cell.baseline)
    )
}

/// `-19 % ± 5`, of a ratio.
fn percent(ratio: RatioEstimate) -> String {
    let half = ratio
        .confidence
        .map_or_else(String::new, |c| format!(" ± {:.0}", c.half_width() * 100.0));
    let percent = (ratio.ratio - 1.0) * 100.0;
    // No difference is told as none: `-0` would be.
    let percent = if percent.abs() < 0.5 { 0.0 } else { percent };
    format!("{percent:+.0} %{half}")
}

/// A probability: `p = 0.012`, `p < 0.001`.
pub(crate) fn chance(p: f64) -> String {
    match p {
        ..0.001 => "p < 0.001".to_owned(),
        // Rounded it would be the level itself, which is not distinguishable.
        0.0495..LEVEL => format!("p < {LEVEL}"),
        _ => format!("p = {p:.3}"),
    }
}

fn kept(cell: &CellComparison) -> String {
    let size = cell.difference.ratio.map_or_else(String::new, percent);
    format!("{} ({size})", cell.metric)
}

pub(crate) fn joined(parts: &[String]) -> String {
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
        for part in [
            "For postgres use multifd rather than default: total time ",
            " s instead of ",
            " s (-50 % ± ",
            ", p < 0.001); the same within a tenth: downtime (",
        ] {
            assert!(time.contains(part), "{part}: {time}");
        }
        for part in [
            "For postgres use xbzrle rather than default where migrated data counts: migrated data ",
            " instead of 25",
            " MiB (-30 % ± ",
            ", p < 0.001); at the price of overhead ",
            " points, p ",
            "); the same within a tenth: downtime (",
        ] {
            assert!(data.contains(part), "{part}: {data}");
        }

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
    fn overheads_below_zero_are_no_gains() {
        let with = |rate: f64, noise: f64| {
            let plan = BenchPlan {
                repeats: 3,
                ..plan(&["default", "multifd"], &["web"])
            };
            record(plan, |key, point| {
                let mut figures = Figures::default();
                figures.rate_with = figures.rate_without * rate;
                figures.with_noise(noise, key, point)
            })
        };
        let warming = Findings::of(&with(1.8, 0.01));
        assert_eq!(warming.doubtful.len(), 2);
        assert!(warming.doubtful.iter().all(|one| !one.noise));
        let of_overhead = |findings: &Findings| {
            let best = findings.best.iter().map(|best| best.metric);
            best.filter(|metric| *metric == Metric::Overhead).count()
        };
        assert_eq!(of_overhead(&warming), 0, "nothing is offered as lowest");

        let plan = plan(&["default", "multifd"], &["web"]);
        let noisy = Findings::of(&record(plan, |key, _| {
            let mut figures = Figures::default();
            let rates = [1.3, 0.7, 1.15];
            figures.rate_with = figures.rate_without * rates[key.repeat as usize - 1];
            figures
        }));
        assert_eq!(noisy.doubtful.len(), 2);
        assert!(noisy.doubtful.iter().all(|one| one.noise));
        let told = noisy.doubtful[0].figure();
        assert!(told.starts_with("default (-5.0 % ± "), "{told}");
        assert_eq!(of_overhead(&noisy), 0);
        assert_eq!(of_overhead(&Findings::of(&with(0.9, 0.01))), 1);
    }

    #[test]
    fn one_subject_has_nothing_to_be_compared_with() {
        let record = record(plan(&["a"], &["web"]), |_, _| Figures::default());
        let findings = Findings::of(&record);
        assert!(findings.findings.is_empty() && findings.best.is_empty());
    }
}
