//! The leaderboard for people.

use std::cmp::Ordering;

use vmferry::comparison::{Board, CompareReport, Errors, Holdout, Made, Standing};
use vmferry::core::Technique;
use vmferry::imports::printable;

use super::{table as new_table, text};

/// The answer of `compare`.
pub(crate) fn table(report: &CompareReport) -> String {
    let mut parts: Vec<String> = report.boards.iter().map(board).collect();
    parts.extend(
        report
            .notes
            .iter()
            .map(|note| format!("note: {}", printable(note))),
    );
    parts.push(
        "Errors of migrations that came to their end, |forecast - measured| / measured: median / mean / 90th \
         percentile; (of how many, measured within p5..p95). Intervals are calibrated on the moves learned from; \
         `predict --model NAME` shows the model's own."
            .to_owned(),
    );
    parts.join("\n\n")
}

fn board(board: &Board) -> String {
    let found = &board.leaderboard;
    let from: Vec<String> = board
        .sources
        .iter()
        .map(|source| format!("{} ({})", printable(&source.source), source.moves))
        .collect();
    let whose = match board.made {
        Made::Live => "moves made by vmferry".to_owned(),
        Made::Imported => format!("imported migrations of {}", from.join(", ")),
    };
    let holdout = match found.holdout {
        Holdout::Workload => "every workload left out in turn",
        Holdout::Guest => "every guest left out in turn",
        Holdout::Future => "one after the other, each forecast from those that had ended",
    };
    let censored = match found.censored {
        0 => String::new(),
        n => format!(", {n} of them not complete (in verdicts only)"),
    };
    let mut lines = vec![
        format!("{} {whose}{censored}", found.moves),
        format!("{holdout}; {} fits of each model that learns", found.fits),
    ];
    lines.extend(board.notes.iter().map(|note| format!("note: {note}")));
    let sections = sections(&found.standings);
    for technique in &sections {
        let title = technique.map_or("all techniques", Technique::name);
        let standings = found.standings.iter().filter(|s| s.technique == *technique);
        let mut standings: Vec<&Standing> = standings.collect();
        standings.sort_by(|a, b| by_error(a, b));
        lines.push(format!("\n{title}"));
        if technique.is_none() {
            lines.push(standing_table(&standings));
            continue;
        }
        // Reasons differ by technique, and so stand there.
        let refusals = refusals(&standings);
        standings.retain(|standing| standing.forecast > 0);
        if !standings.is_empty() {
            lines.push(standing_table(&standings));
        }
        lines.extend(refusals);
    }
    lines.join("\n")
}

/// All together, and each technique where there are several.
fn sections(standings: &[Standing]) -> Vec<Option<Technique>> {
    let mut found: Vec<Option<Technique>> = standings.iter().map(|s| s.technique).collect();
    found.sort();
    found.dedup();
    if found.len() == 2 {
        // One technique: over all is the same.
        found.remove(0);
    }
    found
}

/// The least median error of total time first, models without one last.
fn by_error(a: &Standing, b: &Standing) -> Ordering {
    let median = |s: &Standing| s.total_time.map_or(f64::INFINITY, |errors| errors.median);
    median(a)
        .total_cmp(&median(b))
        .then(b.forecast.cmp(&a.forecast))
}

fn standing_table(standings: &[&Standing]) -> String {
    let mut rows = new_table(&[
        "model",
        "forecast",
        "total time",
        "",
        "downtime",
        "",
        "traffic",
        "",
        "verdicts right",
    ]);
    for standing in standings {
        let mut cells = vec![
            standing.model.clone(),
            format!("{} of {}", standing.forecast, standing.moves),
        ];
        for errors in [standing.total_time, standing.downtime, standing.transferred] {
            cells.extend(error_cells(errors));
        }
        cells.push(standing.verdicts.map_or_else(
            || "-".to_owned(),
            |verdicts| match verdicts.too_hopeful {
                0 => format!("{} of {}", verdicts.right, verdicts.n),
                n => format!("{} of {}, {n} too hopeful", verdicts.right, verdicts.n),
            },
        ));
        rows.add_row(cells);
    }
    text(&rows)
}

fn error_cells(errors: Option<Errors>) -> [String; 2] {
    errors.map_or_else(
        || ["-".to_owned(), String::new()],
        |errors| {
            let [median, mean, p90] = [errors.median, errors.mean, errors.p90].map(percent);
            let covered = errors
                .coverage
                .map_or_else(String::new, |share| format!(", {:.0} %", share * 100.0));
            [
                format!("{median} / {mean} / {p90} %"),
                format!("({}{covered})", errors.n),
            ]
        },
    )
}

/// A share in percent, with one digit below ten.
fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent < 9.95 {
        format!("{percent:.1}")
    } else {
        format!("{percent:.0}")
    }
}

/// Why models did not forecast everything, those with the same reason together.
fn refusals(standings: &[&Standing]) -> Vec<String> {
    let mut by_reason: Vec<(String, Vec<String>)> = Vec::new();
    for standing in standings {
        let Some(reason) = &standing.refusal else {
            continue;
        };
        let reason =
            printable(reason).replace(&format!("the model `{}`", standing.model), "the model");
        let who = match standing.moves - standing.forecast {
            all if all == standing.moves => standing.model.clone(),
            some => format!("{} ({some} of {})", standing.model, standing.moves),
        };
        match by_reason.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, models)) => models.push(who),
            None => by_reason.push((reason, vec![who])),
        }
    }
    let line = |(reason, models): &(String, Vec<String>)| {
        format!("   no forecast by {}: {reason}", models.join(", "))
    };
    by_reason.iter().map(line).collect()
}
