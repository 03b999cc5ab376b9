//! Which differences between two subjects are real.
//!
//! Downtime, total time and data are compared as ratios, overhead as a difference of shares: it may
//! be 0 or below. Scores are compared with the baseline as reference. The scores are judged
//! together, and so are all cells: by chance, one comparison in twenty at most calls anything among
//! them real that is none.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::contrast::Contrast;
use crate::difference::{Difference, RatioEstimate, judge};
use crate::estimate::{Confidence, Scale, Spread, Term, confidence};
use crate::metric::{DowntimeSource, Metric};
use crate::plan::BenchPlan;
use crate::record::{BenchRecord, HeavyLoad, MachineRecord};
use crate::score::{Assessed, LeftOut, REFERENCE_SCORE, pairs};
use crate::side::{CellName, Side, SideName, common_source};

/// One subject against another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Comparison {
    /// What is judged.
    pub judged: SideName,
    /// What it is compared with.
    pub baseline: SideName,
    /// Who looked at the downtimes, on both sides.
    pub downtime_by: DowntimeSource,
    /// What else differs between the two benchmarks, each a sentence: a difference found may be due
    /// to it. Empty within one record.
    pub conditions: Vec<String>,
    /// By metric, over all cells.
    pub scores: Vec<ScoreComparison>,
    /// By cell and metric.
    pub cells: Vec<CellComparison>,
}

/// A score against the baseline's 1000.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ScoreComparison {
    /// Of what.
    pub metric: Metric,
    /// The score with the baseline as reference.
    pub score: Option<f64>,
    /// `None` where no cell can be compared. Of overhead, its change and verdict are of the mean
    /// difference of shares over cells, which exists where no score does.
    pub difference: Option<Difference>,
    /// Cells that are not in the score.
    pub left_out: Vec<LeftOut>,
}

/// One metric of one cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CellComparison {
    /// Workload and load.
    #[serde(flatten)]
    pub cell: CellName,
    /// Of what.
    pub metric: Metric,
    /// Mean of what is judged, in the metric's unit: ms, ms, bytes, a share.
    pub judged: f64,
    /// Mean of the baseline, in the same.
    pub baseline: f64,
    /// How they differ.
    pub difference: Difference,
}

impl Comparison {
    /// Compares two subjects, of one record or of two.
    pub fn of(judged: Side<'_>, baseline: Side<'_>) -> Self {
        let by = common_source(&[judged, baseline]);
        let mut comparison = Self::unjudged(judged, baseline, by);
        judge_together(std::slice::from_mut(&mut comparison));
        comparison
    }

    /// Compares every subject of a record with its first; all are judged together, with downtimes
    /// of one source.
    pub fn within(record: &BenchRecord) -> Vec<Self> {
        match Side::all(record).split_first() {
            Some((baseline, others)) => Self::of_all(others, *baseline),
            None => Vec::new(),
        }
    }

    /// Compares several subjects with one baseline; all are judged together, with downtimes of one
    /// source.
    pub fn of_all(judged: &[Side<'_>], baseline: Side<'_>) -> Vec<Self> {
        let sides: Vec<Side<'_>> = judged.iter().copied().chain([baseline]).collect();
        let by = common_source(&sides);
        let mut comparisons: Vec<Self> = judged
            .iter()
            .map(|judged| Self::unjudged(*judged, baseline, by))
            .collect();
        judge_together(&mut comparisons);
        comparisons
    }

    fn unjudged(judged: Side<'_>, baseline: Side<'_>, by: DowntimeSource) -> Self {
        let mut cells = Vec::new();
        let mut scores = Vec::new();
        for metric in Metric::ALL {
            let pairs = pairs(metric, judged, baseline, by);
            let measured: Vec<(CellName, (Spread, Spread))> = pairs
                .into_iter()
                .filter_map(|(cell, pair)| Some((cell, pair.ok()?)))
                .collect();
            let assessed = Assessed::of(metric, judged, baseline, by);
            scores.push(ScoreComparison {
                metric,
                score: assessed.score.score,
                difference: match metric {
                    Metric::Overhead => of_overheads(&measured, &assessed),
                    _ => of_score(&assessed),
                },
                left_out: assessed.score.left_out,
            });
            cells.extend(measured.into_iter().map(|(cell, (p, r))| CellComparison {
                cell,
                metric,
                judged: p.mean,
                baseline: r.mean,
                difference: Difference::between(metric, &p, &r),
            }));
        }
        cells.sort_by(|a, b| (&a.cell, a.metric).cmp(&(&b.cell, b.metric)));
        Self {
            judged: judged.name(),
            baseline: baseline.name(),
            downtime_by: by,
            conditions: conditions(judged.record, baseline.record),
            scores,
            cells,
        }
    }
}

fn judge_together(comparisons: &mut [Comparison]) {
    let scores = comparisons.iter_mut().flat_map(|c| &mut c.scores);
    judge(
        scores
            .filter_map(|score| score.difference.as_mut())
            .collect(),
    );
    let cells = comparisons.iter_mut().flat_map(|c| &mut c.cells);
    judge(cells.map(|cell| &mut cell.difference).collect());
}

fn ratio_of(assessed: &Assessed) -> Option<RatioEstimate> {
    let score = assessed.score.score?;
    let scaled = |c: Confidence| Confidence {
        low: c.low / REFERENCE_SCORE,
        high: c.high / REFERENCE_SCORE,
        standard_error: c.standard_error / REFERENCE_SCORE,
        ..c
    };
    Some(RatioEstimate {
        ratio: score / REFERENCE_SCORE,
        confidence: assessed.score.confidence.map(scaled),
    })
}

fn of_score(assessed: &Assessed) -> Option<Difference> {
    let score = assessed.score.score?;
    let (effect, factor) = if score > 0.0 {
        ((score / REFERENCE_SCORE).ln(), 1.0 / score)
    } else {
        (score - REFERENCE_SCORE, 1.0)
    };
    let terms = assessed.terms.as_deref();
    let contrast = Contrast {
        effect: if effect.abs() < 1e-12 { 0.0 } else { effect },
        terms: terms.map(|terms| terms.iter().map(|t| t.times(factor)).collect()),
    };
    let change = score - REFERENCE_SCORE;
    let around = confidence(change, terms, Scale::Linear);
    Some(Difference::of_score(
        contrast,
        ratio_of(assessed),
        change,
        around,
    ))
}

/// Overheads by the mean difference of shares.
fn of_overheads(cells: &[(CellName, (Spread, Spread))], assessed: &Assessed) -> Option<Difference> {
    let n = cells.len() as f64;
    let sum: f64 = cells.iter().map(|(_, (p, r))| p.mean - r.mean).sum();
    let terms: Option<Vec<[Term; 2]>> = cells
        .iter()
        .map(|(_, (p, r))| Some([p.term?.times(1.0 / n), r.term?.times(1.0 / n)]))
        .collect();
    let terms: Option<Vec<Term>> = terms.map(|terms| terms.into_iter().flatten().collect());
    (n > 0.0).then(|| {
        let change = sum / n;
        let around = confidence(change, terms.as_deref(), Scale::Linear);
        let ratio = ratio_of(assessed).filter(|ratio| ratio.confidence.is_some());
        let contrast = Contrast {
            effect: change,
            terms,
        };
        Difference::of_score(contrast, ratio, change, around)
    })
}

/// What else differs between two benchmarks.
pub(crate) fn conditions(judged: &BenchRecord, baseline: &BenchRecord) -> Vec<String> {
    let mut said = Vec::new();
    if judged.id == baseline.id {
        return said;
    }
    let mut differ = |what: &str, of_plan: String, other: String| {
        if of_plan != other {
            said.push(format!("{what} differs: {of_plan} against {other}"));
        }
    };
    let machine = |of: fn(&MachineRecord) -> String| (of(&judged.machine), of(&baseline.machine));
    let plan = |of: fn(&BenchPlan) -> String| (of(&judged.plan), of(&baseline.plan));
    for (what, (ours, theirs)) in [
        ("the processor", machine(|m| m.cpu.clone())),
        ("the number of CPUs", machine(|m| m.cpus.to_string())),
        ("the memory", machine(|m| m.memory_bytes.to_string())),
        ("the host's kernel", machine(|m| m.kernel.clone())),
        ("the accelerator", machine(|m| m.accelerator.clone())),
        ("the setup of hosts", machine(|m| m.note.clone())),
        (
            "the link",
            plan(|p| {
                p.link
                    .map_or_else(|| "not shaped".to_owned(), |l| l.to_string())
            }),
        ),
        (
            "the downtime limit",
            plan(|p| p.max_downtime_ms.to_string()),
        ),
        ("the deadline", plan(|p| p.deadline_ms.to_string())),
        (
            "the length of a sector",
            plan(|p| format!("{} s", p.sector_s)),
        ),
        ("the number of points", plan(|p| p.points.to_string())),
        ("the warm-up", plan(|p| format!("{} s", p.warm_up_s))),
        (
            "the time of observation",
            plan(|p| format!("{} s", p.observe_s)),
        ),
        (
            "the version of vmferry",
            (judged.tool_version.clone(), baseline.tool_version.clone()),
        ),
    ] {
        differ(what, ours, theirs);
    }
    for heavy in &judged.heavy {
        let guests = |of: &HeavyLoad| format!("{} guests beside", of.background_guests);
        let same = baseline.heavy.iter();
        if let Some(other) = same.into_iter().find(|one| one.workload == heavy.workload) {
            let what = format!("heavy load of `{}`", heavy.workload);
            differ(&what, guests(heavy), guests(other));
        }
    }
    for image in &judged.images {
        let same = baseline
            .images
            .iter()
            .find(|other| other.name == image.name);
        if let Some(other) = same.filter(|other| other.packages != image.packages) {
            let new = image
                .packages
                .iter()
                .filter(|p| !other.packages.contains(p))
                .count();
            said.push(format!(
                "the packages of `{}` differ: {new} have another version or are new",
                image.name
            ));
        }
    }
    said
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::difference::Verdict;
    use crate::fixture::{Figures, plan, record};

    /// `multifd` takes half the time, 30 % more data, and leaves the rest as it is.
    fn made(noise: f64, repeats: u32) -> BenchRecord {
        let plan = BenchPlan {
            repeats,
            ..plan(&["default", "multifd"], &["postgres", "web"])
        };
        record(plan, |key, point| {
            let mut figures = Figures::default();
            if key.subject == "multifd" {
                figures.total_time_ms *= 0.5;
                figures.migrated_bytes = figures.migrated_bytes * 13 / 10;
            }
            figures.with_noise(noise, key, point)
        })
    }

    fn verdicts(comparison: &Comparison) -> Vec<(Metric, Verdict)> {
        comparison
            .cells
            .iter()
            .map(|c| (c.metric, c.difference.verdict))
            .collect()
    }

    #[test]
    fn real_differences_are_found_and_others_are_not() {
        let record = made(0.02, 3);
        let [comparison] = Comparison::within(&record).try_into().unwrap();
        let wanted = [
            (Metric::Downtime, Verdict::NotDistinguishable),
            (Metric::TotalTime, Verdict::Better),
            (Metric::MigratedData, Verdict::Worse),
            (Metric::Overhead, Verdict::NotDistinguishable),
        ];
        assert_eq!(verdicts(&comparison), [wanted, wanted].concat());
        for (score, (metric, verdict)) in comparison.scores.iter().zip(wanted) {
            let difference = score.difference.as_ref().unwrap();
            assert_eq!((score.metric, difference.verdict), (metric, verdict));
        }
        let time = &comparison.scores[1];
        assert!((time.score.unwrap() - 500.0).abs() < 10.0, "{time:?}");
        let text = serde_json::to_string(&comparison).unwrap();
        assert!(serde_json::from_str::<Comparison>(&text).is_ok());
    }

    #[test]
    fn one_repeat_tells_nothing_and_says_how_many_would() {
        let record = made(0.02, 1);
        let [comparison] = Comparison::within(&record).try_into().unwrap();
        let time = comparison
            .cells
            .iter()
            .find(|c| c.metric == Metric::TotalTime)
            .unwrap();
        assert_eq!(time.difference.verdict, Verdict::NotDistinguishable);
        assert_eq!(time.difference.p, None);
        let needed = time.difference.repeats_needed.unwrap();
        assert!((2..=4).contains(&needed), "{needed}");
    }

    #[test]
    fn other_conditions_are_said() {
        let (mut judged, mut baseline) = (made(0.02, 2), made(0.02, 2));
        baseline.id = uuid::Uuid::from_u128(8);
        baseline.machine.kernel = "6.12.0".to_owned();
        baseline.plan.sector_s = 20.0;
        baseline.images[0].packages[0].1 = "6.1.2-1".to_owned();
        let heavy = |background_guests| HeavyLoad {
            workload: "web".to_owned(),
            background_guests,
            steps: Vec::new(),
            because: crate::record::HeavyEnd::Given,
        };
        (judged.heavy, baseline.heavy) = (vec![heavy(2)], vec![heavy(1)]);
        let comparison = Comparison::of(Side::all(&judged)[0], Side::all(&baseline)[0]);
        insta::assert_snapshot!(comparison.conditions.join("\n"), @r"
        the host's kernel differs: 6.1.0 against 6.12.0
        the length of a sector differs: 10 s against 20 s
        heavy load of `web` differs: 2 guests beside against 1 guests beside
        the packages of `postgres` differ: 1 have another version or are new
        ");
    }

    #[test]
    fn a_baseline_seen_by_tcp_only_is_compared_by_tcp() {
        let (judged, mut baseline) = (made(0.0, 2), made(0.0, 2));
        baseline.id = uuid::Uuid::from_u128(8);
        for point in baseline.runs.iter_mut().flat_map(|run| &mut run.points) {
            point.downtime.icmp_ms = None;
        }
        let comparison = Comparison::of(Side::all(&judged)[0], Side::all(&baseline)[0]);
        assert_eq!(comparison.downtime_by, DowntimeSource::Tcp);
        assert_eq!(comparison.cells[0].judged, 105.0);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn the_same_record_is_not_distinguishable_from_itself(noise in 0.0f64..0.5, repeats in 1u32..5) {
            let record = made(noise, repeats);
            let mut again = record.clone();
            again.id = uuid::Uuid::from_u128(8);
            for (one, other) in Side::all(&record).into_iter().zip(Side::all(&again)) {
                let comparison = Comparison::of(one, other);
                for (metric, verdict) in verdicts(&comparison) {
                    prop_assert_eq!(verdict, Verdict::NotDistinguishable, "{}", metric);
                }
                for score in comparison.scores {
                    let difference = score.difference.unwrap();
                    prop_assert_eq!(difference.verdict, Verdict::NotDistinguishable);
                    prop_assert!(difference.p.is_none_or(|p| (0.0..=1.0).contains(&p)));
                }
            }
        }
    }
}
