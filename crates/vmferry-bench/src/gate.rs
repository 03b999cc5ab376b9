//! Limits that a benchmark must keep: `--fail-if downtime>+10%`.
//!
//! | gate | fails where |
//! |---|---|
//! | `downtime>300ms` | the mean downtime of any cell is longer |
//! | `total-time>+10%` | that of any cell is more than a tenth above the baseline's |
//! | `migrated-data>2GiB`, `overhead>5%` | so for data and overhead |
//! | `overhead>+5%` | the overhead of any cell is more than 5 points above the baseline's |
//! | `score.downtime>1100` | the score is higher |
//! | `score.downtime>+10%` | the score is higher than 1100 |
//!
//! A gate looks at means: whether noise alone could have taken it there is said beside
//! (`certain`), the baseline's own included; of one run nobody knows. What the baseline measured and the judged benchmark did not fails the gate, and so
//! does a gate that found nothing to look at. The process then exits with
//! [`vmferry_core::ExitCode::Regression`].

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::difference::Difference;
use crate::estimate::{Basis, Confidence, Spread};
pub use crate::limit::Limit;
use crate::limit::read_limit;
use crate::metric::{DowntimeSource, Metric};
use crate::score::{LeftOutReason, REFERENCE_SCORE, Scores};
use crate::side::{CellName, JudgeError, Side, common_source};

/// A gate: what must not be above what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Gate {
    /// As it was given.
    pub text: String,
    /// Of what.
    pub metric: Metric,
    /// The score rather than the metric of each cell.
    pub of_score: bool,
    /// What it must not be above.
    pub limit: Limit,
}

/// What a gate found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GateResult {
    /// The gate.
    pub gate: Gate,
    /// Who looked at the downtimes.
    pub downtime_by: DowntimeSource,
    /// Whether it fails.
    pub failed: bool,
    /// What it looked at: every cell, or the score.
    pub findings: Vec<GateFinding>,
}

/// One value at a gate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GateFinding {
    /// Workload and load; absent of a score.
    pub cell: Option<CellName>,
    /// How it went.
    pub status: GateStatus,
    /// What was measured, in the metric's unit, or the score.
    pub value: Option<f64>,
    /// What it must not be above, in the same.
    pub limit: Option<f64>,
    /// The baseline's value, where the gate asks for it.
    pub baseline: Option<f64>,
    /// Of `value`.
    pub confidence: Option<Confidence>,
    /// Whether 95 % intervals say the same: that of `value` is on the same side of the limit, or
    /// that of its ratio to (of overhead: its difference from) the baseline, whose noise is in it.
    /// `None` where a side has one run only.
    pub certain: Option<bool>,
    /// All this in a sentence.
    pub sentence: String,
}

/// How one value went at a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum GateStatus {
    /// Not above the limit.
    Kept,
    /// Above it: fails.
    Exceeded,
    /// The baseline has a value and the judged benchmark has not: fails.
    Lost,
    /// There is nothing to compare.
    NotMeasured,
}

/// One value that a gate looks at.
struct Looked {
    cell: Option<CellName>,
    value: Option<f64>,
    /// Of `value`.
    confidence: Option<Confidence>,
    baseline: Option<f64>,
    /// Whether the baseline has the value.
    expected: bool,
    /// What tells noise where that is not `confidence` and the limit.
    against: Option<Against>,
}

/// How a value stands to a baseline that is noisy itself.
struct Against {
    interval: Option<Confidence>,
    limit: f64,
}

impl FromStr for Gate {
    type Err = JudgeError;

    fn from_str(text: &str) -> Result<Self, JudgeError> {
        let refuse = |problem: String| JudgeError::Gate {
            gate: text.to_owned(),
            problem,
        };
        let (what, limit) = text.split_once('>').ok_or_else(|| {
            refuse(
                "it has no `>`; in a shell write it in quotes: --fail-if 'downtime>+10%'"
                    .to_owned(),
            )
        })?;
        let (what, limit) = (what.trim(), limit.trim());
        let (of_score, name) = match what.strip_prefix("score.") {
            Some(name) => (true, name),
            None => (false, what),
        };
        let metric = Metric::ALL
            .into_iter()
            .find(|m| m.name() == name)
            .ok_or_else(|| {
                let known = Metric::ALL.map(Metric::name).join(", ");
                refuse(format!(
                    "`{what}` is no metric; there are {known}, and score.METRIC"
                ))
            })?;
        Ok(Self {
            text: text.to_owned(),
            metric,
            of_score,
            limit: read_limit(limit, metric, of_score).map_err(refuse)?,
        })
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl Gate {
    /// Looks at a subject, and at a baseline, which is also the reference of scores.
    ///
    /// # Errors
    /// [`JudgeError::NoBaseline`] where the gate asks for one.
    pub fn evaluate(
        &self,
        judged: Side<'_>,
        baseline: Option<Side<'_>>,
    ) -> Result<GateResult, JudgeError> {
        let needs_baseline = self.of_score || matches!(self.limit, Limit::AboveBaseline(_));
        if needs_baseline && baseline.is_none() {
            return Err(JudgeError::NoBaseline {
                gate: self.text.clone(),
            });
        }
        let sides: Vec<Side<'_>> = std::iter::once(judged).chain(baseline).collect();
        let by = common_source(&sides);
        let findings = match baseline {
            Some(baseline) if self.of_score => self.at_score(judged, baseline, by),
            _ => self.at_cells(judged, baseline, by),
        };
        let bad = |f: &GateFinding| matches!(f.status, GateStatus::Exceeded | GateStatus::Lost);
        let nothing = findings.iter().all(|f| f.status == GateStatus::NotMeasured);
        Ok(GateResult {
            gate: self.clone(),
            downtime_by: by,
            failed: nothing || findings.iter().any(bad),
            findings,
        })
    }

    /// The score, and the cells of the reference that the judged benchmark does not have.
    fn at_score(
        &self,
        judged: Side<'_>,
        baseline: Side<'_>,
        by: DowntimeSource,
    ) -> Vec<GateFinding> {
        let scores = Scores::seen_by(judged, baseline, by);
        let score = scores.score(self.metric);
        let value = score.and_then(|score| score.score);
        let confidence = score.and_then(|score| score.confidence);
        let lost = score
            .into_iter()
            .flat_map(|score| &score.left_out)
            .filter(|out| {
                matches!(
                    out.reason,
                    LeftOutReason::NotInJudged | LeftOutReason::NotMeasuredInJudged
                )
            });
        // The reference's noise is in the interval of a score.
        let of = |cell, value, confidence, expected| {
            let looked = Looked {
                cell,
                value,
                confidence,
                baseline: Some(REFERENCE_SCORE),
                expected,
                against: None,
            };
            self.finding(looked)
        };
        let mut findings = vec![of(None, value, confidence, value.is_some())];
        findings.extend(lost.map(|out| of(Some(out.cell.clone()), None, None, true)));
        findings
    }

    fn at_cells(
        &self,
        judged: Side<'_>,
        baseline: Option<Side<'_>>,
        by: DowntimeSource,
    ) -> Vec<GateFinding> {
        let mut cells = judged.cells();
        cells.extend(baseline.into_iter().flat_map(|side| side.cells()));
        let of = |cell: CellName| {
            let spread = |side: Side<'_>| side.cell(&cell).spread(self.metric, by);
            let (value, base) = (spread(judged), baseline.and_then(spread));
            let estimate = value.map(|v| v.estimate(self.metric.scale()));
            self.finding(Looked {
                against: self.against(value.as_ref(), base.as_ref()),
                value: value.map(|v| v.mean),
                confidence: estimate.and_then(|e| e.confidence),
                baseline: base.map(|base| base.mean),
                expected: base.is_some(),
                cell: Some(cell),
            })
        };
        cells.into_iter().map(of).collect()
    }

    /// The interval that decides against a baseline, and what it must not be above.
    fn against(&self, value: Option<&Spread>, base: Option<&Spread>) -> Option<Against> {
        let Limit::AboveBaseline(share) = self.limit else {
            return None;
        };
        let difference = Difference::between(self.metric, value?, base?);
        Some(match self.metric {
            Metric::Overhead => Against {
                interval: difference.change_confidence,
                limit: share.0,
            },
            _ => Against {
                interval: difference.ratio.and_then(|ratio| ratio.confidence),
                limit: 1.0 + share.0,
            },
        })
    }

    fn finding(&self, looked: Looked) -> GateFinding {
        let Looked {
            cell,
            value,
            confidence,
            baseline,
            expected,
            against,
        } = looked;
        let (limit, baseline) = match self.limit {
            Limit::Absolute(limit) => (Some(limit), None),
            Limit::AboveBaseline(share) if self.metric == Metric::Overhead && !self.of_score => {
                (baseline.map(|base| base + share.0), baseline)
            }
            Limit::AboveBaseline(share) => {
                let base = baseline.filter(|base| *base > 0.0);
                (base.map(|base| base * (1.0 + share.0)), baseline)
            }
        };
        let status = match (value, limit) {
            (None, _) if expected => GateStatus::Lost,
            (Some(value), Some(limit)) if value > limit => GateStatus::Exceeded,
            (Some(_), Some(_)) => GateStatus::Kept,
            _ => GateStatus::NotMeasured,
        };
        let (interval, edge) = match against {
            Some(against) => (against.interval, Some(against.limit)),
            None => (confidence, limit),
        };
        let over_repeats = interval.filter(|c| c.basis == Basis::Repeats);
        let certain = over_repeats.zip(edge).map(|(c, edge)| match status {
            GateStatus::Exceeded => c.low > edge,
            _ => c.high <= edge,
        });
        GateFinding {
            sentence: self.sentence(cell.as_ref(), status, value, limit, certain),
            cell,
            status,
            value,
            limit,
            baseline,
            confidence,
            certain,
        }
    }

    fn sentence(
        &self,
        cell: Option<&CellName>,
        status: GateStatus,
        value: Option<f64>,
        limit: Option<f64>,
        certain: Option<bool>,
    ) -> String {
        let show = |value: f64| match self.of_score {
            true => format!("{value:.1}"),
            false => self.metric.show(value),
        };
        let score = if self.of_score { "score of " } else { "" };
        let what = match cell {
            Some(cell) => format!("{score}{} of {cell}", self.metric),
            None => format!("{score}{}", self.metric),
        };
        let noise = match certain {
            Some(true) => "",
            Some(false) => "; noise may have decided it",
            None => "; too few runs to tell it from noise",
        };
        match (status, value, limit) {
            (GateStatus::Kept, Some(value), Some(limit)) => {
                format!(
                    "{what} is {}, not above {}{noise}",
                    show(value),
                    show(limit)
                )
            }
            (GateStatus::Exceeded, Some(value), Some(limit)) => {
                format!("{what} is {}, above {}{noise}", show(value), show(limit))
            }
            (GateStatus::Lost, ..) => format!("{what} was not measured; the baseline has it"),
            (_, Some(value), _) => {
                format!(
                    "{what} is {}; the baseline has nothing to compare with",
                    show(value)
                )
            }
            _ => format!("{what} was not measured"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use vmferry_core::Ratio;

    use super::*;
    use crate::fixture::{Figures, plan, record};
    use crate::plan::BenchPlan;
    use crate::record::BenchRecord;

    fn limit(text: &str) -> Limit {
        text.parse::<Gate>().unwrap().limit
    }

    #[test]
    fn limits_are_read_with_their_units() {
        for (text, wanted) in [
            ("downtime>300ms", 300.0),
            ("total-time > 5 s", 5000.0),
            ("total-time>1.5min", 90_000.0),
            ("migrated-data>2GiB", 2.0 * 1_073_741_824.0),
            ("overhead>5%", 0.05),
            ("score.downtime>1100", 1100.0),
        ] {
            assert_eq!(limit(text), Limit::Absolute(wanted), "{text}");
        }
        assert_eq!(limit("downtime>+10%"), Limit::AboveBaseline(Ratio(0.1)));
        assert_eq!(
            limit("score.overhead>+50%"),
            Limit::AboveBaseline(Ratio(0.5))
        );
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        let said: Vec<String> = [
            "downtime",
            "speed>5s",
            "downtime>5",
            "downtime>10%",
            "downtime>+5ms",
            "downtime>-5%",
            "score.downtime>5s",
            "overhead>",
            "migrated-data>5 apples",
            "downtime>1e3ms",
        ]
        .iter()
        .map(|text| text.parse::<Gate>().unwrap_err().to_string())
        .collect();
        insta::assert_snapshot!(said.join("\n"), @r"
        cannot read the gate `downtime`: it has no `>`; in a shell write it in quotes: --fail-if 'downtime>+10%'
        cannot read the gate `speed>5s`: `speed` is no metric; there are downtime, total-time, migrated-data, overhead, and score.METRIC
        cannot read the gate `downtime>5`: a limit of downtime has one of the units ms, s, min, or is a per cent above the baseline: `+10%`
        cannot read the gate `downtime>10%`: to compare with the baseline, write `+10%`
        cannot read the gate `downtime>+5ms`: `+5ms` begins with `+`, which compares with the baseline in per cent: `+10%`
        cannot read the gate `downtime>-5%`: `-5%` is below 0; what gets better needs no gate
        cannot read the gate `score.downtime>5s`: scores have no unit, and `s` is none
        cannot read the gate `overhead>`: `` does not begin with a number
        cannot read the gate `migrated-data>5 apples`: a limit of migrated data has one of the units B, kB, MB, GB, KiB, MiB, GiB, or is a per cent above the baseline: `+10%`
        cannot read the gate `downtime>1e3ms`: a limit of downtime has one of the units ms, s, min, or is a per cent above the baseline: `+10%`
        ");
    }

    /// A baseline `a`, and `b` with a downtime a fifth longer.
    fn made(workloads: &[&str]) -> BenchRecord {
        record(plan(&["a", "b"], workloads), |key, _| Figures {
            downtime_ms: if key.subject == "b" { 120.0 } else { 100.0 },
            ..Figures::default()
        })
    }

    fn at(record: &BenchRecord, gate: &str) -> GateResult {
        let sides = Side::all(record);
        gate.parse::<Gate>()
            .unwrap()
            .evaluate(sides[1], Some(sides[0]))
            .unwrap()
    }

    #[test]
    fn every_gate_says_its_numbers() {
        let record = made(&["web"]);
        let said: Vec<String> = [
            "downtime>+10%",
            "downtime>+30%",
            "downtime>110ms",
            "total-time>4s",
            "migrated-data>+5%",
            "overhead>4%",
            "score.downtime>1100",
            "score.downtime>+25%",
        ]
        .iter()
        .map(|gate| {
            let result = at(&record, gate);
            let verdict = if result.failed { "fails" } else { "holds" };
            let findings: Vec<&str> = result
                .findings
                .iter()
                .map(|f| f.sentence.as_str())
                .collect();
            format!("{gate} {verdict}: {}", findings.join("; "))
        })
        .collect();
        insta::assert_snapshot!(said.join("\n"), @r"
        downtime>+10% fails: downtime of web is 120 ms, above 110 ms
        downtime>+30% holds: downtime of web is 120 ms, not above 130 ms
        downtime>110ms fails: downtime of web is 120 ms, above 110 ms
        total-time>4s holds: total time of web is 4.00 s, not above 4.00 s
        migrated-data>+5% holds: migrated data of web is 256 MiB, not above 269 MiB
        overhead>4% fails: overhead of web is 5.0 %, above 4.0 %
        score.downtime>1100 fails: score of downtime is 1200.0, above 1100.0
        score.downtime>+25% holds: score of downtime is 1200.0, not above 1250.0
        ");
    }

    #[test]
    fn what_was_lost_fails_the_gate_and_so_does_nothing() {
        let mut record = made(&["web", "mail"]);
        record
            .runs
            .retain(|run| (run.key.workload.as_str(), run.key.subject.as_str()) != ("mail", "b"));
        for gate in ["downtime>+90%", "score.downtime>9999"] {
            let result = at(&record, gate);
            assert!(result.failed);
            assert!(
                result.findings.iter().any(|f| f.status == GateStatus::Lost),
                "{result:?}"
            );
        }
        record.runs.clear();
        assert!(at(&record, "downtime>9s").failed);
    }

    #[test]
    fn overheads_are_held_to_points_above_the_baseline() {
        // The baseline loses nothing, which is nothing to take per cents of.
        let record = record(plan(&["a", "b"], &["web"]), |key, _| Figures {
            rate_with: if key.subject == "b" { 700.0 } else { 1001.0 },
            ..Figures::default()
        });
        let said = |gate| at(&record, gate).findings[0].sentence.clone();
        insta::assert_snapshot!(
            [said("overhead>+10%"), said("overhead>+40%")].join("\n"),
            @r"
        overhead of web is 30.0 %, above 9.9 %
        overhead of web is 30.0 %, not above 39.9 %
        "
        );
        assert!(at(&record, "overhead>+10%").failed);
    }

    #[test]
    fn a_noisy_baseline_and_a_single_run_leave_no_certainty() {
        let noisy = |repeats, noise: f64| {
            let plan = BenchPlan {
                repeats,
                ..plan(&["a", "b"], &["web"])
            };
            let record = record(plan, |key, point| {
                let figures = Figures {
                    total_time_ms: if key.subject == "b" { 5000.0 } else { 4000.0 },
                    ..Figures::default()
                };
                // The baseline's runs differ as a whole, the other's not at all.
                let first = if key.subject == "a" { noise } else { 0.0 };
                let by = 1.0 + first * (f64::from(key.repeat) - 2.0);
                Figures {
                    total_time_ms: figures.total_time_ms * by,
                    ..figures
                }
                .with_noise(0.0, key, point)
            });
            let found = at(&record, "total-time>+10%");
            assert!(found.failed, "{found:?}");
            found.findings[0].certain
        };
        assert_eq!(noisy(3, 0.01), Some(true));
        assert_eq!(noisy(3, 0.2), Some(false));
        assert_eq!(noisy(1, 0.0), None);
    }

    #[test]
    fn a_gate_against_nothing_is_refused() {
        let record = made(&["web"]);
        let gate: Gate = "downtime>+10%".parse().unwrap();
        let refused = gate.evaluate(Side::all(&record)[1], None);
        assert!(matches!(refused, Err(JudgeError::NoBaseline { .. })));
        let gate: Gate = "downtime>10s".parse().unwrap();
        assert!(!gate.evaluate(Side::all(&record)[1], None).unwrap().failed);
    }

    proptest! {
        #[test]
        fn no_text_breaks_it(text in ".{0,20}", metric in 0usize..4, limit in ".{0,8}") {
            let _ = text.parse::<Gate>();
            let gate = format!("{}>{limit}", Metric::ALL[metric].name());
            if let Ok(Gate { limit: Limit::Absolute(limit), .. }) = gate.parse() {
                prop_assert!(limit.is_finite() && limit >= 0.0);
            }
        }
    }
}
