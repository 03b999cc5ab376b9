//! The four scores (`virtlm2011` eq. 1-3).
//!
//! N_ij = P_ij / R_ij, S'_i = 1000 x mean over j of N_ij: metric i, cell j (a workload under a
//! load), P what is judged, R the reference. The reference has 1000, lower is better, and the four
//! are never merged. Intervals are 95 %, by propagation of the variances of all P and R; see
//! [`crate::estimate`].

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::estimate::{Confidence, Scale, Spread, Term, confidence};
use crate::metric::{DowntimeSource, Metric};
use crate::side::{CellName, Side, SideName, common_source};

/// The score of the reference.
pub const REFERENCE_SCORE: f64 = 1000.0;

/// The four scores of one subject.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Scores {
    /// What is judged.
    pub judged: SideName,
    /// What has 1000.
    pub reference: SideName,
    /// Who looked at the downtimes, on both sides.
    pub downtime_by: DowntimeSource,
    /// One of every metric, in the order of [`Metric::ALL`].
    pub scores: Vec<Score>,
}

/// One score.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Score {
    /// Of what.
    pub metric: Metric,
    /// S'; `None` where no cell can be normalised.
    pub score: Option<f64>,
    /// `None` of the reference itself, where some cell has one value only, and where a reference
    /// value may be 0: then the score has no upper end.
    pub confidence: Option<Confidence>,
    /// The cells in it.
    pub normalised: Vec<Normalised>,
    /// The cells that are not in it.
    pub left_out: Vec<LeftOut>,
}

/// N of one cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Normalised {
    /// Workload and load.
    #[serde(flatten)]
    pub cell: CellName,
    /// P, in the metric's unit: ms, ms, bytes, a share.
    pub value: f64,
    /// R, in the same.
    pub reference: f64,
    /// P / R.
    pub normalised: f64,
    /// Of P / R.
    pub confidence: Option<Confidence>,
}

/// A cell that is not in a score.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LeftOut {
    /// Workload and load.
    #[serde(flatten)]
    pub cell: CellName,
    /// Why.
    pub reason: LeftOutReason,
}

/// Why a cell is not in a score.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LeftOutReason {
    /// The reference was not asked for this workload under this load.
    NotInReference,
    /// The reference has it, what is judged was not asked for it.
    NotInJudged,
    /// Neither side measured it, as overhead of a service that does nothing.
    NotMeasured,
    /// The reference has it and did not measure it.
    NotMeasuredInReference,
    /// The reference did and what is judged did not measure it.
    NotMeasuredInJudged,
    /// Nothing can be divided by the reference's value: it is 0 or below.
    ReferenceNotPositive,
}

impl fmt::Display for LeftOutReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::NotInReference => "the reference was not run with it",
            Self::NotInJudged => "only the reference was run with it",
            Self::NotMeasured => "it was not measured",
            Self::NotMeasuredInReference => "the reference did not measure it",
            Self::NotMeasuredInJudged => "only the reference measured it",
            Self::ReferenceNotPositive => "the reference's value is not above 0",
        })
    }
}

impl Scores {
    /// The scores of one subject against a reference.
    pub fn of(judged: Side<'_>, reference: Side<'_>) -> Self {
        Self::seen_by(judged, reference, common_source(&[judged, reference]))
    }

    /// The scores of several subjects against one reference, with downtimes of one source for all.
    pub fn of_all(judged: &[Side<'_>], reference: Side<'_>) -> Vec<Self> {
        let sides: Vec<Side<'_>> = judged.iter().copied().chain([reference]).collect();
        let by = common_source(&sides);
        let scores = judged.iter();
        scores
            .map(|side| Self::seen_by(*side, reference, by))
            .collect()
    }

    pub(crate) fn seen_by(judged: Side<'_>, reference: Side<'_>, by: DowntimeSource) -> Self {
        let score = |metric| Assessed::of(metric, judged, reference, by).score;
        Self {
            judged: judged.name(),
            reference: reference.name(),
            downtime_by: by,
            scores: Metric::ALL.into_iter().map(score).collect(),
        }
    }

    /// The score of a metric.
    pub fn score(&self, metric: Metric) -> Option<&Score> {
        self.scores.iter().find(|score| score.metric == metric)
    }
}

/// A score and the variances of what it is made of.
pub(crate) struct Assessed {
    pub(crate) score: Score,
    /// Of the score; `None` where one is unknown.
    pub(crate) terms: Option<Vec<Term>>,
}

impl Assessed {
    pub(crate) fn of(
        metric: Metric,
        judged: Side<'_>,
        reference: Side<'_>,
        by: DowntimeSource,
    ) -> Self {
        let mut normalised = Vec::new();
        let mut left_out = Vec::new();
        let mut terms: Option<Vec<Term>> = Some(Vec::new());
        for (cell, pair) in pairs(metric, judged, reference, by) {
            let pair = pair.and_then(|(p, r)| {
                let positive = r.mean > 0.0;
                positive
                    .then_some((p, r))
                    .ok_or(LeftOutReason::ReferenceNotPositive)
            });
            match pair {
                Err(reason) => left_out.push(LeftOut { cell, reason }),
                Ok((p, r)) => {
                    let of_cell = ratio_terms(metric, &p, &r).filter(|_| !judged.is(&reference));
                    let ratio = p.mean / r.mean;
                    normalised.push(Normalised {
                        cell,
                        value: p.mean,
                        reference: r.mean,
                        normalised: ratio,
                        confidence: confidence(
                            ratio,
                            of_cell.as_ref().map(<[Term; 2]>::as_slice),
                            metric.scale(),
                        ),
                    });
                    terms = terms.zip(of_cell).map(|(mut all, more)| {
                        all.extend(more);
                        all
                    });
                }
            }
        }
        let n = normalised.len() as f64;
        let sum: f64 = normalised.iter().map(|cell| cell.normalised).sum();
        let score = (n > 0.0).then(|| REFERENCE_SCORE * sum / n);
        let scaled = |terms: Vec<Term>| {
            terms
                .into_iter()
                .map(|t| t.times(REFERENCE_SCORE / n))
                .collect()
        };
        let terms: Option<Vec<Term>> = terms.filter(|terms| !terms.is_empty()).map(scaled);
        Self {
            score: Score {
                metric,
                score,
                confidence: score.and_then(|s| confidence(s, terms.as_deref(), metric.scale())),
                normalised,
                left_out,
            },
            terms,
        }
    }
}

/// The variances of P / R to first order; `None` where they are unknown or R may be 0.
fn ratio_terms(metric: Metric, p: &Spread, r: &Spread) -> Option<[Term; 2]> {
    let (of_p, of_r) = p.term.zip(r.term)?;
    if metric.scale() == Scale::Linear {
        let around = confidence(r.mean, Some(&[of_r]), Scale::Linear)?;
        if around.low <= 0.0 {
            return None;
        }
    }
    let ratio = p.mean / r.mean;
    Some([of_p.times(1.0 / r.mean), of_r.times(ratio / r.mean)])
}

/// What was measured of both in a cell, or why it cannot be compared.
type Pair = Result<(Spread, Spread), LeftOutReason>;

/// What both sides have of every cell of either.
pub(crate) fn pairs(
    metric: Metric,
    judged: Side<'_>,
    reference: Side<'_>,
    by: DowntimeSource,
) -> Vec<(CellName, Pair)> {
    let (ours, theirs) = (judged.cells(), reference.cells());
    let pair = |cell: &CellName| {
        if !theirs.contains(cell) {
            return Err(LeftOutReason::NotInReference);
        }
        if !ours.contains(cell) {
            return Err(LeftOutReason::NotInJudged);
        }
        let of = |side: Side<'_>| side.cell(cell).spread(metric, by);
        match (of(judged), of(reference)) {
            (Some(p), Some(r)) => Ok((p, r)),
            (None, None) => Err(LeftOutReason::NotMeasured),
            (Some(_), None) => Err(LeftOutReason::NotMeasuredInReference),
            (None, Some(_)) => Err(LeftOutReason::NotMeasuredInJudged),
        }
    };
    ours.union(&theirs)
        .map(|cell| (cell.clone(), pair(cell)))
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fixture::{Figures, plan, record};
    use crate::plan::BenchPlan;
    use crate::record::BenchRecord;

    const WORKLOADS: [&str; 4] = ["compiler", "compress", "crypto", "serial"];
    /// `virtlm2011` table 6: ms, s, MB, ops/min without and with migrations.
    const XEN: [[f64; 5]; 4] = [
        [436.0, 64.24, 745.0, 33.37, 33.09],
        [60.0, 63.24, 742.0, 32.95, 32.83],
        [119.0, 66.63, 748.0, 32.07, 31.81],
        [247.0, 72.41, 844.0, 24.67, 24.43],
    ];
    /// Table 7.
    const KVM: [[f64; 5]; 4] = [
        [1748.0, 43.73, 501.0, 40.27, 37.05],
        [1041.0, 25.41, 290.0, 34.4, 30.67],
        [876.0, 24.07, 286.0, 29.86, 28.56],
        [1053.0, 28.27, 312.0, 23.07, 20.46],
    ];

    /// Runs of 100 minutes, in which every hundredth of an operation a minute is a whole one.
    fn paper() -> BenchRecord {
        let plan = BenchPlan {
            points: 1,
            repeats: 1,
            sector_s: 3000.0,
            ..plan(&["xen", "kvm"], &WORKLOADS)
        };
        record(plan, |key, _| {
            let place = WORKLOADS.iter().position(|w| *w == key.workload).unwrap();
            let table = if key.subject == "xen" { XEN } else { KVM };
            let [downtime_ms, time_s, mb, without, with] = table[place];
            Figures {
                downtime_ms,
                total_time_ms: time_s * 1e3,
                migrated_bytes: (mb * 1e6) as u64,
                rate_without: without / 60.0,
                rate_with: with / 60.0,
                ..Figures::default()
            }
        })
    }

    fn against(record: &BenchRecord, judged: &str, reference: &str) -> Scores {
        Scores::of(
            Side::new(record, judged).unwrap(),
            Side::new(record, reference).unwrap(),
        )
    }

    fn values(scores: &Scores) -> Vec<f64> {
        scores.scores.iter().map(|s| s.score.unwrap()).collect()
    }

    #[test]
    fn tables_6_to_9_of_the_paper() {
        let record = paper();
        let kvm = values(&against(&record, "kvm", "xen"));
        for (found, (wanted, to)) in kvm.iter().zip([
            (8245.9, 0.05),
            (458.5, 0.05),
            (453.8, 0.05),
            (14_075.0, 0.5),
        ]) {
            assert!((found - wanted).abs() <= to, "{found} instead of {wanted}");
        }
        let scores = against(&record, "kvm", "xen");
        let downtime = &scores.score(Metric::Downtime).unwrap().normalised;
        let rounded: Vec<f64> = downtime
            .iter()
            .map(|n| (n.normalised * 100.0).round() / 100.0)
            .collect();
        assert_eq!(rounded, [4.01, 17.35, 7.36, 4.26]);
        assert_eq!(values(&against(&record, "xen", "xen")), [1000.0; 4]);
    }

    #[test]
    fn one_point_of_one_repeat_has_no_interval() {
        let scores = against(&paper(), "kvm", "xen");
        let known: Vec<bool> = scores
            .scores
            .iter()
            .map(|s| s.confidence.is_some())
            .collect();
        // The two sectors of each run say something of overhead.
        assert_eq!(known[..3], [false; 3]);
    }

    #[test]
    fn a_workload_that_the_reference_lacks_is_said() {
        let judged = record(plan(&["a"], &["web", "mail"]), |_, _| Figures::default());
        let mut reference = record(plan(&["a"], &["web", "file"]), |_, _| Figures::default());
        reference.id = uuid::Uuid::from_u128(8);
        let scores = Scores::of(Side::all(&judged)[0], Side::all(&reference)[0]);
        let downtime = scores.score(Metric::Downtime).unwrap();
        assert_eq!(downtime.score, Some(1000.0));
        assert_eq!(downtime.normalised.len(), 1);
        let said: Vec<(&str, LeftOutReason)> = downtime
            .left_out
            .iter()
            .map(|out| (out.cell.workload.as_str(), out.reason))
            .collect();
        assert_eq!(
            said,
            [
                ("file", LeftOutReason::NotInJudged),
                ("mail", LeftOutReason::NotInReference)
            ]
        );
    }

    #[test]
    fn an_idle_service_has_no_overhead_and_nothing_is_divided_by_none() {
        let record = record(plan(&["a", "b"], &["standby", "web"]), |key, _| Figures {
            rate_without: if key.workload == "standby" {
                0.0
            } else {
                1000.0
            },
            rate_with: match (key.workload.as_str(), key.subject.as_str()) {
                ("standby", _) => 0.0,
                (_, "a") => 1010.0,
                _ => 990.0,
            },
            ..Figures::default()
        });
        let scores = against(&record, "b", "a");
        let overhead = scores.score(Metric::Overhead).unwrap();
        assert_eq!((overhead.score, overhead.confidence), (None, None));
        let reasons: Vec<LeftOutReason> = overhead.left_out.iter().map(|out| out.reason).collect();
        assert_eq!(
            reasons,
            [
                LeftOutReason::NotMeasured,
                LeftOutReason::ReferenceNotPositive
            ]
        );
        let text = serde_json::to_string(&scores).unwrap();
        assert_eq!(
            serde_json::from_str::<Scores>(&text).unwrap().scores.len(),
            4
        );
    }

    #[test]
    fn failures_count_with_the_deadline() {
        let record = record(plan(&["a", "b"], &["web"]), |key, _| Figures {
            status: if key.subject == "b" {
                crate::record::PointStatus::Failed
            } else {
                crate::record::PointStatus::Completed
            },
            ..Figures::default()
        });
        let scores = values(&against(&record, "b", "a"));
        assert_eq!(scores[0], 600_000.0);
        assert_eq!(scores[1], 15_000.0);
    }

    #[test]
    fn who_refuses_has_neither_data_nor_overhead() {
        let mut record = record(plan(&["a", "b"], &["web"]), |_, _| Figures::default());
        for run in record.runs.iter_mut().filter(|run| run.key.subject == "b") {
            for point in &mut run.points {
                point.status = crate::record::PointStatus::Refused;
            }
        }
        let scores = against(&record, "b", "a");
        for metric in [Metric::MigratedData, Metric::Overhead] {
            let score = scores.score(metric).unwrap();
            assert_eq!(score.score, None, "{metric}");
            let reasons: Vec<LeftOutReason> = score.left_out.iter().map(|out| out.reason).collect();
            assert_eq!(reasons, [LeftOutReason::NotMeasuredInJudged], "{metric}");
        }
        let downtime = scores.score(Metric::Downtime).unwrap();
        assert_eq!(downtime.score, Some(600_000.0));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn scaled_records_have_scaled_scores(factor in 0.2f64..5.0, noise in 0.0f64..0.2) {
            let made = |by: f64| record(plan(&["a", "b"], &["web", "mail"]), |key, point| {
                let mut figures = Figures::default().with_noise(noise, key, point);
                if key.subject == "b" {
                    figures.downtime_ms *= by;
                    figures.total_time_ms *= by;
                }
                figures
            });
            let (one, other) = (made(1.0), made(factor));
            let (one, other) = (against(&one, "b", "a"), against(&other, "b", "a"));
            for place in [0, 1] {
                let (one, other) = (&one.scores[place], &other.scores[place]);
                let ratio = other.score.unwrap() / one.score.unwrap();
                prop_assert!((ratio / factor - 1.0).abs() < 1e-9);
                let (one, other) = (one.confidence.unwrap(), other.confidence.unwrap());
                prop_assert!(one.low.is_finite() && one.low <= one.high);
                // Reading to 5 ms does not scale, so that only total time's interval does.
                if place == 1 {
                    prop_assert!((other.high / one.high / factor - 1.0).abs() < 1e-6);
                }
            }
        }

        #[test]
        fn identical_records_have_1000(noise in 0.0f64..0.3) {
            let made = record(plan(&["a"], &["web", "mail"]), |key, point| {
                Figures::default().with_noise(noise, key, point)
            });
            let mut again = made.clone();
            again.id = uuid::Uuid::from_u128(9);
            let scores = Scores::of(Side::all(&made)[0], Side::all(&again)[0]);
            for score in &scores.scores {
                let Some(found) = score.score else { continue };
                prop_assert!((found - 1000.0).abs() < 1e-9);
                if let Some(interval) = score.confidence {
                    prop_assert!(interval.low <= found && found <= interval.high);
                }
            }
        }
    }
}
