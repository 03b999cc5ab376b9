//! Which setting is best for which service here, in sentences that a person can use.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use crate::best::Best;
use crate::best::best;
use crate::compare::{CellComparison, Comparison};
pub use crate::completion::Incomplete;
use crate::completion::gained_by_failing;
pub use crate::difference::SAME;
use crate::difference::{LEVEL, RatioEstimate, Verdict};
use crate::estimate::{Confidence, Scale, confidence};
use crate::metric::Metric;
use crate::record::BenchRecord;
use crate::side::{CellName, Side, common_source};

/// What a subject that may use post-copy is never recommended without.
pub(crate) const POSTCOPY_RISK: &str = "in post-copy a move cannot be cancelled, and a guest whose \
                                        source or destination dies is lost";

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
    /// Which of the two did not complete all its migrations there: then neither its data nor its
    /// overhead is in its favour.
    #[serde(default)]
    pub incomplete: Vec<Incomplete>,
    /// In words.
    pub sentence: String,
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
        let open = |cell: &&CellComparison| cell.difference.weighs(Verdict::NotDistinguishable);
        let undecided = cells.filter(open).count();
        let sides = Side::all(record);
        let mut findings: Vec<Finding> = comparisons
            .iter()
            .flat_map(|comparison| of_comparison(comparison, &sides))
            .collect();
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
fn of_comparison(comparison: &Comparison, sides: &[Side<'_>]) -> Vec<Finding> {
    comparison
        .cells
        .chunk_by(|a, b| a.cell == b.cell)
        .filter_map(|metrics| finding(comparison, metrics, sides))
        .collect()
}

fn finding(
    comparison: &Comparison,
    metrics: &[CellComparison],
    sides: &[Side<'_>],
) -> Option<Finding> {
    let cell = &metrics.first()?.cell;
    let (subject, baseline) = (&comparison.judged.subject, &comparison.baseline.subject);
    let side = |name: &str| sides.iter().find(|side| side.subject == name);
    let incomplete: Vec<Incomplete> = [subject, baseline]
        .into_iter()
        .filter_map(|name| Incomplete::of(side(name)?, cell))
        .collect();
    // Judged as `verdict`, which is in favour of `lower`.
    let with = |verdict: Verdict, lower: &str| -> Vec<&CellComparison> {
        let cells = metrics.iter();
        let cells = cells.filter(|c| c.difference.weighs(verdict));
        cells
            .filter(|c| !gained_by_failing(&incomplete, lower, c.metric))
            .collect()
    };
    let better = with(Verdict::Better, subject);
    let worse = with(Verdict::Worse, baseline);
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
    let open = metrics.iter();
    let open = open.filter(|c| c.difference.weighs(Verdict::NotDistinguishable));
    let open: Vec<String> = open.map(|c| c.metric.to_string()).collect();
    if !open.is_empty() {
        sentence.push_str(&format!("; not distinguishable: {}", joined(&open)));
    }
    for one in &incomplete {
        sentence.push_str(&format!("; {}", one.words()));
    }
    let recommended = match better.is_empty() {
        true => baseline,
        false => subject,
    };
    if side(recommended).is_some_and(Side::may_use_postcopy) {
        sentence.push_str(&format!("; {POSTCOPY_RISK}"));
    }
    Some(Finding {
        cell: cell.clone(),
        subject: subject.clone(),
        baseline: baseline.clone(),
        better: names(&better),
        worse: names(&worse),
        same: names(&same),
        incomplete,
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

#[cfg(test)]
mod tests {
    use vmferry_core::{Millis, Promise};

    use super::*;
    use crate::fixture::{Figures, plan, record};
    use crate::plan::BenchPlan;
    use crate::record::PointStatus;

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
    fn what_is_real_and_too_small_to_choose_by_is_no_advice() {
        let plan = plan(&["default", "multifd"], &["web"]);
        let findings = Findings::of(&record(plan, |key, point| {
            let mut figures = Figures::default();
            if key.subject == "multifd" {
                figures.migrated_bytes = figures.migrated_bytes * 98 / 100;
                figures.downtime_ms *= 3.0;
            }
            figures.with_noise(0.002, key, point)
        }));
        let [one] = findings.findings.as_slice() else {
            panic!("{:#?}", findings.findings)
        };
        let begin = "For web use default rather than multifd, which has downtime ";
        assert!(one.sentence.starts_with(begin), "{}", one.sentence);
        assert!(one.same.contains(&Metric::MigratedData), "{:?}", one.same);
        let data = findings
            .best
            .iter()
            .find(|b| b.metric == Metric::MigratedData);
        assert!(data.is_some_and(|best| best.worse.is_empty()), "{data:?}");
    }

    /// None of the second subject's migrations completed; hardly anything was sent and lost.
    fn failing(status: PointStatus) -> Findings {
        let plan = plan(&["default", "multifd"], &["web"]);
        Findings::of(&record(plan, |key, point| {
            let mut figures = Figures::default();
            if key.subject == "multifd" {
                figures.status = status;
                figures.migrated_bytes = 1 << 20;
                figures.rate_with = figures.rate_without * 0.98;
            }
            figures.with_noise(0.001, key, point)
        }))
    }

    #[test]
    fn who_does_not_complete_is_told_so_and_never_recommended_for_sending_little() {
        for status in [
            PointStatus::NotConverged,
            PointStatus::Failed,
            PointStatus::Refused,
        ] {
            let findings = failing(status);
            let [one] = findings.findings.as_slice() else {
                panic!("{:#?}", findings.findings)
            };
            assert_eq!(one.better, []);
            assert_eq!(one.worse, [Metric::Downtime, Metric::TotalTime]);
            let deadline = Metric::Downtime.show(60_000.0);
            let begin = format!(
                "For web use default rather than multifd, which has downtime {deadline} instead of "
            );
            assert!(one.sentence.starts_with(&begin), "{}", one.sentence);
            let end = "; 9 of 9 migrations of multifd did not complete and count with the deadline";
            assert!(one.sentence.ends_with(end), "{}", one.sentence);
            assert_eq!(findings.best.len(), 4);
            for best in &findings.best {
                assert_eq!(
                    (best.subject.as_str(), best.incomplete.len()),
                    ("default", 1)
                );
            }
        }
    }

    #[test]
    fn post_copy_is_not_recommended_without_its_risk() {
        let mut record = made(4);
        let plain = Findings::of(&record);
        assert!(!plain.best.iter().any(|best| best.may_use_postcopy));
        let promise = Promise {
            allow_postcopy: true,
            ..Promise::default()
        };
        for (after, promise) in [(Some(Millis(2000.0)), None), (None, Some(promise))] {
            let multifd = &mut record.plan.subjects[1];
            (multifd.postcopy_after_ms, multifd.promise) = (after, promise);
            let found = Findings::of(&record);
            let told = found
                .findings
                .iter()
                .map(|f| f.sentence.ends_with(POSTCOPY_RISK));
            assert_eq!(told.collect::<Vec<bool>>(), [true, false]);
            for best in &found.best {
                assert_eq!(best.may_use_postcopy, best.subject == "multifd");
            }
            assert!(found.best.iter().any(|best| best.may_use_postcopy));
        }
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
