//! One difference between two values of a metric: how large, and whether it is real.

use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::contrast::{Contrast, holm};
use crate::estimate::{Basis, Confidence, Scale, Spread, Term, confidence};
use crate::metric::Metric;

/// Probability that among all differences of a comparison one is called real and is none.
pub const LEVEL: f64 = 0.05;

/// What [`Difference::repeats_needed`] repeats would do.
pub(crate) const WOULD_SHOW: &str = "would show it four times in five";

/// A ratio whose whole interval is within this share of 1 is told as no change.
pub const SAME: f64 = 0.1;

/// What a comparison says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The judged value is really lower.
    Better,
    /// The judged value is really higher.
    Worse,
    /// Noise may have made the difference.
    NotDistinguishable,
}

/// A ratio with its confidence.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RatioEstimate {
    /// Judged over baseline: below 1 is better.
    pub ratio: f64,
    /// `None` where a variance is unknown.
    pub confidence: Option<Confidence>,
}

/// How what is judged differs from the baseline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Difference {
    /// Judged over baseline; `None` where the baseline is not above 0, and of an overhead that may
    /// be 0.
    pub ratio: Option<RatioEstimate>,
    /// Judged minus baseline, in the metric's unit (scores: in points of the score; overhead: a
    /// share, also of scores).
    pub change: f64,
    /// Of `change`.
    pub change_confidence: Option<Confidence>,
    /// Probability of such a difference by chance (Welch's t test, both sides; of ratios on the log
    /// scale); `None` with fewer than two repeats on either side.
    pub p: Option<f64>,
    /// The same as Holm corrects it for all differences that are judged together.
    pub p_corrected: Option<f64>,
    /// At [`LEVEL`] by the corrected probability.
    pub verdict: Verdict,
    /// Repeats on each side with which a difference of this size would be found four times in
    /// five; only where it is not distinguishable and an answer exists.
    pub repeats_needed: Option<u32>,
    /// What was tested.
    #[serde(skip)]
    contrast: Option<Contrast>,
    /// Whether a side has one repeat only, for which there is no test.
    #[serde(skip)]
    once: bool,
}

impl Difference {
    /// Not yet judged: see [`judge`].
    pub(crate) fn between(metric: Metric, judged: &Spread, baseline: &Spread) -> Self {
        let scale = metric.scale();
        let contrast = Contrast::between(judged, baseline, scale);
        let terms = judged.term.zip(baseline.term).map(|(a, b)| [a, b]);
        let change = judged.mean - baseline.mean;
        Self {
            ratio: ratio(scale, judged, baseline),
            change,
            change_confidence: confidence(
                change,
                terms.as_ref().map(<[Term; 2]>::as_slice),
                Scale::Linear,
            ),
            once: judged.repeats.min(baseline.repeats) < 2,
            ..Self::of(contrast)
        }
    }

    /// Of a score against 1000.
    pub(crate) fn of_score(
        contrast: Contrast,
        ratio: Option<RatioEstimate>,
        change: f64,
        change_confidence: Option<Confidence>,
    ) -> Self {
        Self {
            ratio,
            change,
            change_confidence,
            ..Self::of(contrast)
        }
    }

    fn of(contrast: Contrast) -> Self {
        let mut terms = contrast.terms.iter().flatten();
        Self {
            once: terms.any(|term| term.basis == Basis::Points),
            ratio: None,
            change: 0.0,
            change_confidence: None,
            p: contrast.p(),
            p_corrected: None,
            verdict: Verdict::NotDistinguishable,
            repeats_needed: None,
            contrast: Some(contrast),
        }
    }

    /// Whether the verdict is this one, and the difference not certainly too small to choose by.
    pub(crate) fn weighs(&self, verdict: Verdict) -> bool {
        self.verdict == verdict && !self.is_same_within(SAME)
    }

    /// Whether the ratio's whole interval lies within `share` of 1: no difference that matters, real
    /// or not.
    pub fn is_same_within(&self, share: f64) -> bool {
        self.p.is_some()
            && self
                .ratio
                .and_then(|ratio| ratio.confidence)
                .is_some_and(|c| c.low >= 1.0 - share && c.high <= 1.0 + share)
    }

    /// In words, as `1.40 ± 0.10 times faster`; `±` is half of the 95 % interval. Overheads differ
    /// by points, of a hundredth each.
    pub fn words(&self, metric: Metric) -> String {
        self.words_in(metric, "points")
    }

    /// The same of a score, beside which points of overhead would look like points of the score.
    pub fn words_of_score(&self, metric: Metric) -> String {
        self.words_in(metric, "points of overhead")
    }

    fn words_in(&self, metric: Metric, points: &str) -> String {
        match self.verdict {
            Verdict::NotDistinguishable => self.undecided(metric, points),
            Verdict::Better | Verdict::Worse => self.decided(metric, points),
        }
    }

    fn undecided(&self, metric: Metric, points: &str) -> String {
        let mut words = "not distinguishable".to_owned();
        let size = match (metric, self.ratio) {
            (Metric::Overhead, _) => format!("{:+.1} {points}", self.change * 100.0),
            (_, None) => {
                let sign = if self.change < 0.0 { "-" } else { "+" };
                format!("{sign}{}", metric.show(self.change.abs()))
            }
            (_, Some(ratio)) => format!("{:+.1} %", (ratio.ratio - 1.0) * 100.0),
        };
        let _ = match self.repeats_needed {
            Some(repeats) => write!(
                words,
                " ({size} seen; {repeats} repeats on each side {WOULD_SHOW})"
            ),
            None if self.once => {
                write!(words, " ({size} seen; one run on a side cannot show it)")
            }
            None => write!(words, " ({size} seen)"),
        };
        words
    }

    fn decided(&self, metric: Metric, points: &str) -> String {
        let better = self.verdict == Verdict::Better;
        let comparative = match (metric, better) {
            (Metric::Downtime, true) => "shorter",
            (Metric::Downtime, false) => "longer",
            (Metric::TotalTime, true) => "faster",
            (Metric::TotalTime, false) => "slower",
            (_, true) => "less",
            (_, false) => "more",
        };
        let ratio = self
            .ratio
            .filter(|r| r.ratio > 0.0 && metric != Metric::Overhead);
        let Some(ratio) = ratio else {
            let half = self.change_confidence.map_or(0.0, |c| c.half_width());
            return match metric {
                Metric::Overhead => format!(
                    "{:.1} ± {:.1} {points} {comparative}",
                    self.change.abs() * 100.0,
                    half * 100.0
                ),
                _ => format!("{} {comparative}", metric.show(self.change.abs())),
            };
        };
        let (times, ends) = if better {
            (
                1.0 / ratio.ratio,
                ratio.confidence.map(|c| (1.0 / c.high, 1.0 / c.low)),
            )
        } else {
            (ratio.ratio, ratio.confidence.map(|c| (c.low, c.high)))
        };
        let half = ends.map_or(0.0, |(low, high)| (high - low) / 2.0);
        format!("{times:.2} ± {half:.2} times {comparative}")
    }
}

fn ratio(scale: Scale, judged: &Spread, baseline: &Spread) -> Option<RatioEstimate> {
    if baseline.mean <= 0.0 {
        return None;
    }
    let positive = |spread: &Spread| {
        let term = spread.term?;
        let around = confidence(spread.mean, Some(&[term]), Scale::Linear)?;
        Some(around.low > 0.0)
    };
    if scale == Scale::Linear && positive(baseline) != Some(true) {
        return None;
    }
    let ratio = judged.mean / baseline.mean;
    let terms = judged
        .term
        .zip(baseline.term)
        .map(|(a, b)| [a.times(1.0 / baseline.mean), b.times(ratio / baseline.mean)]);
    Some(RatioEstimate {
        ratio,
        confidence: confidence(ratio, terms.as_ref().map(<[Term; 2]>::as_slice), scale),
    })
}

/// Gives verdicts on differences that are looked at together.
pub(crate) fn judge(mut differences: Vec<&mut Difference>) {
    let tested: Vec<usize> = (0..differences.len())
        .filter(|place| differences[*place].p.is_some())
        .collect();
    let p: Vec<f64> = tested
        .iter()
        .filter_map(|place| differences[*place].p)
        .collect();
    for (place, corrected) in tested.iter().zip(holm(&p)) {
        let difference = &mut differences[*place];
        difference.p_corrected = Some(corrected);
        let effect = difference.contrast.as_ref().map_or(0.0, |c| c.effect);
        difference.verdict = match corrected <= LEVEL {
            true if effect < 0.0 => Verdict::Better,
            true if effect > 0.0 => Verdict::Worse,
            _ => Verdict::NotDistinguishable,
        };
    }
    let alpha = LEVEL / differences.len().max(1) as f64;
    for difference in &mut differences {
        let contrast = difference.contrast.as_ref();
        difference.repeats_needed = match difference.verdict {
            Verdict::NotDistinguishable => contrast.and_then(|c| c.repeats_needed(alpha)),
            _ => None,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(mean: f64, sd: f64, repeats: u32) -> Spread {
        Spread {
            mean,
            repeats,
            term: Some(Term {
                variance: sd * sd / f64::from(repeats),
                freedom: f64::from(repeats.max(2) - 1),
                repeats,
                basis: if repeats > 1 {
                    Basis::Repeats
                } else {
                    Basis::Points
                },
            }),
        }
    }

    fn said(metric: Metric, judged: Spread, baseline: Spread) -> String {
        let mut difference = Difference::between(metric, &judged, &baseline);
        judge(vec![&mut difference]);
        difference.words(metric)
    }

    #[test]
    fn differences_in_words() {
        let words = [
            said(
                Metric::TotalTime,
                spread(1000.0, 20.0, 5),
                spread(1400.0, 50.0, 5),
            ),
            said(
                Metric::Downtime,
                spread(300.0, 5.0, 5),
                spread(100.0, 5.0, 5),
            ),
            said(
                Metric::MigratedData,
                spread(1e8, 1e7, 5),
                spread(1.05e8, 1e7, 5),
            ),
            said(
                Metric::Overhead,
                spread(0.02, 0.002, 5),
                spread(0.08, 0.004, 5),
            ),
            said(
                Metric::Overhead,
                spread(0.02, 0.02, 5),
                spread(0.03, 0.02, 5),
            ),
            said(
                Metric::TotalTime,
                spread(1000.0, 20.0, 1),
                spread(1400.0, 50.0, 1),
            ),
            said(
                Metric::TotalTime,
                spread(1000.0, 0.0, 3),
                spread(1000.0, 0.0, 3),
            ),
            said(
                Metric::MigratedData,
                spread(0.0, 0.0, 3),
                spread(1e8, 1e6, 3),
            ),
        ];
        insta::assert_snapshot!(words.join("\n"), @r"
        1.40 ± 0.06 times faster
        3.00 ± 0.18 times longer
        not distinguishable (-4.8 % seen; 64 repeats on each side would show it four times in five)
        6.0 ± 0.5 points less
        not distinguishable (-1.0 points seen; 64 repeats on each side would show it four times in five)
        not distinguishable (-28.6 % seen; 2 repeats on each side would show it four times in five)
        not distinguishable (+0.0 % seen)
        95 MiB less
        ");
    }

    #[test]
    fn only_one_repeat_is_called_one_run_and_scores_name_what_points_are_of() {
        // One run whose points say nothing of noise.
        let once = Spread {
            term: None,
            ..spread(1000.0, 0.0, 1)
        };
        assert_eq!(
            said(Metric::TotalTime, once, spread(1400.0, 50.0, 5)),
            "not distinguishable (-28.6 % seen; one run on a side cannot show it)"
        );
        // No test for another reason: both scores are of the same runs.
        let untested = Contrast {
            effect: 0.0,
            terms: None,
        };
        let mut same = Difference::of_score(untested, None, 0.0, None);
        judge(vec![&mut same]);
        assert_eq!(
            [
                same.words(Metric::Overhead),
                same.words_of_score(Metric::Overhead)
            ],
            [
                "not distinguishable (+0.0 points seen)",
                "not distinguishable (+0.0 points of overhead seen)"
            ]
        );
        let mut less = Difference::between(
            Metric::Overhead,
            &spread(0.02, 0.002, 5),
            &spread(0.08, 0.004, 5),
        );
        judge(vec![&mut less]);
        assert_eq!(
            less.words_of_score(Metric::Overhead),
            "6.0 ± 0.5 points of overhead less"
        );
    }

    #[test]
    fn many_differences_are_held_to_more() {
        let make = || {
            Difference::between(
                Metric::Downtime,
                &spread(100.0, 5.0, 4),
                &spread(112.0, 5.0, 4),
            )
        };
        let mut alone = make();
        judge(vec![&mut alone]);
        assert_eq!(alone.verdict, Verdict::Better);
        let mut many: Vec<Difference> = (0..20).map(|_| make()).collect();
        judge(many.iter_mut().collect());
        assert!(
            many.iter()
                .all(|d| d.verdict == Verdict::NotDistinguishable)
        );
        assert!(many[0].repeats_needed > Some(4));
    }
}
