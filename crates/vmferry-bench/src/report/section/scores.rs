//! The four scores of every subject, and which differences between them are real.

use std::collections::{BTreeMap, BTreeSet};

use crate::compare::Comparison;
use crate::difference::{Verdict, WOULD_SHOW};
use crate::metric::Metric;
use crate::report::page::{Figure, Holds, Section, Table};
use crate::report::results::Results;
use crate::report::spread::{UNKNOWN, number};
use crate::report::svg::bars::{self, Bar};
use crate::score::{REFERENCE_SCORE, Score, Scores};

/// The section.
pub(crate) fn section(results: &Results) -> Section {
    let mut section = Section::new("Scores");
    let Some(reference) = &results.reference else {
        section.say("The plan names no subject, so that there is nothing to score.");
        return section;
    };
    section.say(
        "Each score is 1000 times the mean, over workloads and loads, of what was measured over \
         what the reference has: the reference has 1000, lower is better, and the four are never \
         merged. Behind each is its 95 % interval. A service under a load that either side lacks \
         is in no score; it is named below.",
    );
    section.say(format!("The reference is {}.", reference.measured));
    if !reference.conditions.is_empty() {
        section.say(
            "The reference was measured under other conditions, and scores may differ from 1000 \
             for these alone; what is judged here against the reference:",
        );
        let conditions = reference.conditions.iter();
        section.list(conditions.map(|one| format!("{one}.")).collect());
    }
    if let Some(scores) = results.scores.first() {
        section.say(format!(
            "Downtime counts as seen by {}.",
            scores.downtime_by
        ));
    }
    section.table(table(results));
    section.figures(
        Metric::ALL
            .into_iter()
            .filter_map(|of| figure(results, of))
            .collect(),
    );
    let unfounded = |scores: &Scores| {
        let mut of_one = scores.scores.iter();
        of_one.any(|score| ranks_nothing(score, scores, results))
    };
    if results.scores.iter().any(unfounded) {
        section.say(
            "Where a score of overhead is not above 0, or has no interval, it would rank nothing, \
             and there is none: the overheads behind it are not certain to be above 0, for noise, \
             for one run only, or because the warm-up was too short.",
        );
    }
    section.list(left_out(results));
    section.table(differences(&results.comparisons));
    section
}

fn head(first: &str) -> Vec<String> {
    let metrics = Metric::ALL.iter().map(Metric::to_string);
    std::iter::once(first.to_owned()).chain(metrics).collect()
}

fn of(scores: &Scores, metric: Metric) -> Option<&Score> {
    scores.scores.iter().find(|score| score.metric == metric)
}

fn table(results: &Results) -> Table {
    let rows = results.scores.iter().map(|scores| {
        let cells = Metric::ALL.map(|metric| match of(scores, metric) {
            Some(score) if ranks_nothing(score, scores, results) => "none".to_owned(),
            Some(score) => told(score),
            None => unknown(),
        });
        std::iter::once(scores.judged.subject.clone())
            .chain(cells)
            .collect()
    });
    Table {
        caption: "Scores with 95 % intervals; the reference is 1000, lower is better".to_owned(),
        head: head("subject"),
        rows: rows.collect(),
        holds: Holds::Numbers,
    }
}

fn unknown() -> String {
    UNKNOWN.to_owned()
}

fn told(score: &Score) -> String {
    let Some(value) = score.score.filter(|value| value.is_finite()) else {
        return unknown();
    };
    score.confidence.map_or_else(
        || format!("{value:.0}"),
        |sure| format!("{value:.0} ({:.0}–{:.0})", sure.low, sure.high),
    )
}

/// Whether a score of overhead is there and not founded well enough to choose by.
fn ranks_nothing(score: &Score, scores: &Scores, results: &Results) -> bool {
    let mut reference = results.reference.iter();
    let is_reference = reference.any(|one| one.name == scores.judged);
    let known = score.score.filter(|_| score.metric == Metric::Overhead);
    !is_reference && known.is_some_and(|value| value <= 0.0 || score.confidence.is_none())
}

fn figure(results: &Results, metric: Metric) -> Option<Figure> {
    let bars: Vec<Bar> = results
        .scores
        .iter()
        .enumerate()
        .map(|(number, scores)| {
            let score = of(scores, metric);
            let score = score.filter(|score| !ranks_nothing(score, scores, results));
            Bar {
                name: scores.judged.subject.clone(),
                number,
                value: score.and_then(|score| score.score),
                interval: score.and_then(|score| {
                    let sure = score.confidence?;
                    Some((sure.low, sure.high))
                }),
            }
        })
        .collect();
    let known = bars.iter().any(|bar| bar.value.is_some());
    known.then(|| Figure {
        caption: format!("Score of {metric} with its 95 % interval; the line is the reference."),
        svg: bars::svg(
            &format!("Score of {metric}"),
            "score, lower is better",
            &bars,
            Some(REFERENCE_SCORE),
        ),
    })
}

/// Which cells are in no score of which metrics, and why; said once for all subjects and metrics
/// where it is the same.
fn left_out(results: &Results) -> Vec<String> {
    let mut metrics: BTreeMap<_, BTreeSet<Metric>> = BTreeMap::new();
    for score in results.scores.iter().flat_map(|scores| &scores.scores) {
        for left in &score.left_out {
            let why = (&left.cell, left.reason.to_string());
            metrics.entry(why).or_default().insert(score.metric);
        }
    }
    let told = metrics.into_iter().map(|((cell, reason), metrics)| {
        if metrics.len() == Metric::ALL.len() {
            return format!("{cell} is in no score: {reason}.");
        }
        let metrics: Vec<String> = metrics.iter().map(Metric::to_string).collect();
        let score = if metrics.len() == 1 {
            "score"
        } else {
            "scores"
        };
        format!(
            "{cell} is not in the {score} of {}: {reason}.",
            metrics.join(", ")
        )
    });
    told.collect()
}

fn differences(comparisons: &[Comparison]) -> Table {
    let rows = comparisons.iter().map(|comparison| {
        let cells = Metric::ALL.map(|metric| {
            let scores = comparison.scores.iter();
            let found = scores.filter(|score| score.metric == metric);
            found.map(difference).next().unwrap_or_else(unknown)
        });
        std::iter::once(comparison.judged.subject.clone())
            .chain(cells)
            .collect()
    });
    let baseline = comparisons
        .first()
        .map_or("", |one| one.baseline.subject.as_str());
    Table {
        caption: format!("Which differences of scores from {baseline} of this benchmark are real"),
        head: head("subject"),
        rows: rows.collect(),
        holds: Holds::Words,
    }
}

fn difference(score: &crate::compare::ScoreComparison) -> String {
    let Some(difference) = &score.difference else {
        return unknown();
    };
    let verdict = match (difference.verdict, difference.repeats_needed) {
        (Verdict::Better, _) => "better".to_owned(),
        (Verdict::Worse, _) => "worse".to_owned(),
        (Verdict::NotDistinguishable, None) => "not distinguishable".to_owned(),
        (Verdict::NotDistinguishable, Some(repeats)) => {
            format!("not distinguishable ({repeats} repeats {WOULD_SHOW})")
        }
    };
    match score.score {
        Some(value) if value.is_finite() && value > 0.0 => {
            format!("× {}, {verdict}", number(value / REFERENCE_SCORE))
        }
        _ => verdict,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Figures, plan, record};
    use crate::plan::BenchPlan;
    use crate::report::{markdown::markdown, page};

    #[test]
    fn sizes_stand_first_and_what_ranks_nothing_is_none() {
        let plan = BenchPlan {
            repeats: 2,
            ..plan(&["a", "b"], &["web"])
        };
        let made = record(plan, |key, point| {
            let mut figures = Figures::default().with_noise(0.2, key, point);
            figures.rate_without = 1000.0;
            figures.rate_with = 950.0;
            if key.subject == "b" {
                figures.total_time_ms *= 1.1;
                // More with migrations than without.
                figures.rate_with = 1020.0;
            }
            figures
        });
        let text = markdown(&page(&made, &Results::of(&made, None)));
        for part in [
            "**Which differences of scores from a of this benchmark are real**",
            "| b | × ",
            ", not distinguishable (",
            " repeats would show it four times in five) |",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let rows: Vec<&str> = text
            .lines()
            .filter(|line| line.starts_with("| b | "))
            .collect();
        assert!(rows[0].ends_with(" | none |"), "{}", rows[0]);
        assert!(text.contains("it would rank nothing, and there is none"));
    }
}
