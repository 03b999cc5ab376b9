//! The four scores of every subject, and which differences between them are real.

use std::collections::BTreeSet;

use crate::compare::Comparison;
use crate::difference::Verdict;
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
    section.say(format!(
        "Each score is 1000 times the mean, over workloads and loads, of what was measured over \
         what the reference has: the reference has 1000, lower is better, and the four are never \
         merged. Behind each is its 95 % interval. A service under a load that either side lacks \
         is in no score; it is named below. The reference is {}.",
        reference.measured
    ));
    if !reference.conditions.is_empty() {
        section.say(
            "The reference was measured under other conditions, and scores differ from 1000 for \
             these, too:",
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
    if results.scores.iter().any(is_below_zero) {
        section.say(
            "A score of overhead that is not above 0 ranks nothing: with migrations more work was \
             done than without, by noise or because the warm-up was too short.",
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
        let cells = Metric::ALL.map(|metric| of(scores, metric).map_or_else(unknown, told));
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

fn is_below_zero(scores: &Scores) -> bool {
    let values = scores.scores.iter().filter_map(|score| score.score);
    values.into_iter().any(|value| value <= 0.0)
}

fn figure(results: &Results, metric: Metric) -> Option<Figure> {
    let bars: Vec<Bar> = results
        .scores
        .iter()
        .enumerate()
        .map(|(number, scores)| {
            let score = of(scores, metric);
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

/// Which cells are in no score of a metric, and why; said once for all subjects where it is the
/// same.
fn left_out(results: &Results) -> Vec<String> {
    let mut said = BTreeSet::new();
    for score in results.scores.iter().flat_map(|scores| &scores.scores) {
        for cell in &score.left_out {
            said.insert(format!(
                "{} is not in the score of {}: {}.",
                cell.cell, score.metric, cell.reason
            ));
        }
    }
    said.into_iter().collect()
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
        caption: format!("Which differences of scores from {baseline} are real"),
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
            format!("not distinguishable; {repeats} repeats might tell")
        }
    };
    match score.score {
        Some(value) if value.is_finite() && value > 0.0 => {
            format!("{verdict}, × {}", number(value / REFERENCE_SCORE))
        }
        _ => verdict,
    }
}
