//! Every model on the same migrations: those of the papers beside ours.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::num::NonZeroUsize;

use vmferry::model::leaderboard::{Errors, Holdout, Leaderboard, Standing, compare};
use vmferry::model::predictor::{Case, Fit, Measured, Past, Predicted, RuleSet, named};

use crate::cells::Set;
use crate::record::Record;

/// The models compared, ours first. (`learned` needs more moves than these,
/// `post-copy` another technique.)
const MODELS: [&str; 9] = [
    "auto",
    "pages",
    "hist",
    "curve",
    "avg",
    "base",
    "refined",
    "textbook",
    "closed-form",
];

/// From so many earlier moves of the same guest on a guest is known.
const KNOWN_AFTER: usize = 3;

const SEED: u64 = 1;

/// The comparison, for people.
pub(crate) fn markdown(records: &[Record]) -> Result<String, Box<dyn Error>> {
    let mut out = String::from(
        "# Every model on the same migrations\n\n\
         Made by `cargo xtask bench accuracy -- --models` from the observations that were recorded before each of the \
         migrations of [README.md](README.md) (the burst: 15 s at 20 % of a core). Every model is given the same observation, \
         link and limits; what learns (`auto`, `refined`), learns from the moves that had ended before. Errors are of moves \
         that converged; *verdicts* counts wrong ones on convergence of those that the model forecast.\n\n",
    );
    for (title, set) in [
        ("Cells used for tuning", Set::Tuning),
        ("Cells held back", Set::Held),
    ] {
        let chosen: Vec<&Record> = records.iter().filter(|r| r.cell.set == set).collect();
        if chosen.len() >= 2 {
            let pasts: Vec<Past<'_>> = chosen.iter().map(|r| past(r)).collect();
            section(&mut out, title, &board(&pasts)?);
        }
    }
    let again: Vec<&Record> = records
        .iter()
        .filter(|r| r.cell.set == Set::Series)
        .collect();
    if !again.is_empty() {
        known_guests(&mut out, &again)?;
    }
    Ok(out)
}

/// A record as models learn from it and are judged by it.
fn past(record: &Record) -> Past<'_> {
    let mut case = Case::observed(
        &record.observation,
        record.link.clone(),
        record.limits,
        record.assumptions(),
    );
    // Guests of one load are the same guest, started anew.
    case.guest = Some(record.cell.guest());
    case.workload = Some(&record.cell.pattern);
    case.route = Some("testbed");
    case.at = Some(record.outcome.started_at);
    Past {
        case,
        said: None,
        measured: Measured {
            // A move given up at the deadline did not converge, though it ran a little less.
            converged: Some(record.converged()),
            ..Measured::of_outcome(&record.outcome, record.limits.deadline_ms)
        },
    }
}

fn models() -> Vec<Box<dyn Fit>> {
    MODELS
        .iter()
        .filter_map(|name| named(name, RuleSet::Qemu))
        .collect()
}

fn board(pasts: &[Past<'_>]) -> Result<Leaderboard, Box<dyn Error>> {
    let models = models();
    let models: Vec<&dyn Fit> = models.iter().map(|model| &**model).collect();
    let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    Ok(compare(pasts, &models, Holdout::Future, SEED, threads)?)
}

fn section(out: &mut String, title: &str, board: &Leaderboard) {
    let _ = writeln!(
        out,
        "## {title}\n\n{} migrations, {} converged. Median / p90 of the relative error, and how many lie within p5..p95.\n\n\
         | model | forecast | total time | downtime | traffic | wrong verdicts |\n|---|---|---|---|---|---|",
        board.moves,
        board.moves - board.censored
    );
    let over_all = |standing: &&Standing| standing.technique.is_none();
    for standing in board.standings.iter().filter(over_all) {
        let verdicts = standing.verdicts.map_or_else(
            || "says none".to_owned(),
            |v| format!("{} of {}", v.n - v.right, v.n),
        );
        let _ = writeln!(
            out,
            "| `{}` | {} of {} | {} | {} | {} | {verdicts} |",
            standing.model,
            standing.forecast,
            standing.moves,
            errors(standing.total_time),
            errors(standing.downtime),
            errors(standing.transferred),
        );
    }
    out.push('\n');
    for standing in board.standings.iter().filter(over_all) {
        if let Some(refusal) = &standing.refusal {
            let _ = writeln!(
                out,
                "- `{}` did not forecast {}: {refusal}",
                standing.model,
                standing.moves - standing.forecast
            );
        }
    }
    out.push('\n');
}

fn errors(errors: Option<Errors>) -> String {
    errors.map_or_else(
        || "-".to_owned(),
        |e| {
            let covered = e
                .coverage
                .map_or_else(String::new, |c| format!(", {:.0} %", c * 100.0));
            format!("{:.1} / {:.1} %{covered}", e.median * 100.0, e.p90 * 100.0)
        },
    )
}

/// Guests that moved several times: what models say once they know a guest.
fn known_guests(out: &mut String, records: &[&Record]) -> Result<(), Box<dyn Error>> {
    let mut records = records.to_vec();
    records.sort_by_key(|record| record.outcome.started_at);
    let pasts: Vec<Past<'_>> = records.iter().map(|record| past(record)).collect();
    let _ = writeln!(
        out,
        "## The same guest again and again\n\n{} moves of {} guests, each guest started anew for every move and moved as long \
         after its start. Error of total time (signed), move by move; `auto` has learned from the guest's earlier moves and \
         those of the others over the same route.\n\n| guest | model | moves in order |\n|---|---|---|",
        pasts.len(),
        pasts
            .iter()
            .map(|p| p.case.guest)
            .collect::<std::collections::BTreeSet<_>>()
            .len(),
    );
    let mut lines: BTreeMap<(&str, &str), Vec<String>> = BTreeMap::new();
    let mut known: BTreeMap<&str, (Vec<f64>, usize)> = BTreeMap::new();
    for name in ["auto", "pages", "refined"] {
        for (number, move_) in pasts.iter().enumerate() {
            let guest = move_.case.guest.unwrap_or("?");
            let line = lines.entry((guest, name)).or_default();
            let (Some(said), Some(was)) = (
                said(name, &pasts[..number], move_, number)?,
                move_
                    .measured
                    .total_time
                    .filter(|_| move_.measured.is_complete()),
            ) else {
                line.push("-".to_owned());
                continue;
            };
            let Some(total) = said.total_time_ms else {
                line.push("-".to_owned());
                continue;
            };
            let off = total.p50.0 / was.0 - 1.0;
            line.push(format!("{:+.1} %", off * 100.0));
            let before = pasts[..number]
                .iter()
                .filter(|p| p.case.guest == move_.case.guest)
                .count();
            if before >= KNOWN_AFTER {
                let (errors, covered) = known.entry(name).or_default();
                errors.push(off.abs());
                *covered += usize::from(total.covers(&was));
            }
        }
    }
    for ((guest, model), moves) in lines {
        let _ = writeln!(out, "| {guest} | `{model}` | {} |", moves.join(", "));
    }
    out.push('\n');
    for (model, (mut errors, covered)) in known {
        errors.sort_by(f64::total_cmp);
        let _ = writeln!(
            out,
            "- `{model}`, from the fourth move of a guest on: total time off by {:.1} % in the median, {:.1} % at most; {covered} of {} within p5..p95",
            errors[errors.len() / 2] * 100.0,
            errors[errors.len() - 1] * 100.0,
            errors.len(),
        );
    }
    Ok(())
}

/// What a model says of a move after those before it; `None` where it cannot.
fn said(
    name: &str,
    earlier: &[Past<'_>],
    move_: &Past<'_>,
    number: usize,
) -> Result<Option<Predicted>, Box<dyn Error>> {
    let fit = named(name, RuleSet::Qemu).ok_or("an unknown model")?;
    let Ok(model) = fit.fit(earlier) else {
        return Ok(None);
    };
    Ok(model.forecast(&move_.case, SEED + number as u64).ok())
}
