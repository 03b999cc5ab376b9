//! Which guests to move, for people.

use vmferry::choosing::report::{ChooseReport, GuestReport, OptionReport};
use vmferry::core::{Bytes, Joules, Millis};
use vmferry::model::choice::{Proof, Term, Verdict};

use super::{or_dash, outcome, table as new_table, text};

/// Length of the longest bar.
const BAR: f64 = 10.0;

/// The answer of `choose`.
pub(crate) fn table(report: &ChooseReport) -> String {
    let mut out = head(report);
    out.push_str(&text(&costs(report)));
    out.push('\n');
    for guest in &report.guests {
        if let Some(why) = &guest.excluded {
            out.push_str(&format!("never {}: {why}\n", guest.name));
        }
    }
    out.push_str(&answer(report));
    for skipped in &report.skipped {
        out.push_str(&format!(
            "passed over {}: {}\n",
            skipped.monitor, skipped.reason
        ));
    }
    for note in &report.notes {
        out.push_str(&format!("note: {note}\n"));
    }
    for moved in &report.moves {
        out.push_str(&format!(
            "\n{} to {}\n{}\n",
            moved.guest.label(),
            moved.plan.destination,
            outcome::table(moved)
        ));
    }
    out.trim_end().to_owned()
}

fn head(report: &ChooseReport) -> String {
    let mut out = format!("from         {}\n", report.from);
    for to in &report.to {
        let link = to.link.as_ref().map_or_else(
            || "no guest fits there".to_owned(),
            |link| {
                let source = format!("{:?}", link.source).to_lowercase();
                format!("{} ({source})", link.wire_rate)
            },
        );
        out.push_str(&format!(
            "to           {} via {}: {} waiting, {link}\n",
            to.host, to.via, to.waiting
        ));
    }
    out.push_str(&format!(
        "observed     {} of {} guests, {} of a core in all\n",
        report.options.window_ms,
        report.guests.len(),
        report.observing_core_share
    ));
    out.push_str(&format!(
        "to free      {}, by the cost {}\n",
        report.demand, report.weights
    ));
    out
}

/// A bar for every part of every cost.
fn costs(report: &ChooseReport) -> comfy_table::Table {
    let mut rows = new_table(&[
        "",
        "guest",
        "converges",
        "downtime",
        "",
        "total time",
        "",
        "traffic",
        "",
        "energy",
        "",
        "cost",
    ]);
    let parts = report.guests.iter().filter_map(|guest| guest.parts);
    let longest = parts
        .flat_map(|parts| Term::ALL.map(|term| parts.of(term)))
        .fold(0.0, f64::max);
    let energy = report.guests.iter().any(|guest| guest.energy_j.is_some());
    for guest in &report.guests {
        let bar = |term| {
            let part = guest.parts.map_or(0.0, |parts| parts.of(term));
            bar(part, longest)
        };
        rows.add_row(vec![
            if guest.chosen { "*" } else { "" }.to_owned(),
            guest.name.clone(),
            converges(guest),
            or_dash(guest.downtime_ms.map(|i| i.p50)),
            bar(Term::Downtime),
            or_dash(guest.total_time_ms.map(|i| i.p50)),
            bar(Term::Time),
            or_dash(guest.transferred_bytes.map(|i| i.p50)),
            bar(Term::Traffic),
            if energy {
                or_dash(guest.energy_j.map(|i| i.p50))
            } else {
                String::new()
            },
            bar(Term::Energy),
            guest
                .cost
                .map_or_else(|| "-".to_owned(), |cost| format!("{cost:.3}")),
        ]);
    }
    let nothing = report.choice.verdict != Verdict::Move;
    rows.add_row([if nothing { "*" } else { "" }, "move nothing"]);
    rows
}

fn converges(guest: &GuestReport) -> String {
    guest
        .converges_probability
        .map_or_else(|| "-".to_owned(), |p| format!("{:.0} %", p * 100.0))
}

fn bar(part: f64, longest: f64) -> String {
    if part <= 0.0 || longest <= 0.0 {
        return String::new();
    }
    "█".repeat(((part / longest * BAR).round() as usize).max(1))
}

fn answer(report: &ChooseReport) -> String {
    let choice = &report.choice;
    let demand = report.demand;
    let said = |option: &OptionReport| {
        format!(
            "{} (cost {:.3}, frees {})",
            option.guests.join(", "),
            option.cost,
            demand.shown(option.frees)
        )
    };
    let mut out = match choice.verdict {
        Verdict::Move => {
            let proof = match choice.proof {
                Proof::Exact => "no set that frees enough costs less".to_owned(),
                Proof::Bounded { least } => {
                    format!("none that frees enough costs less than {least:.3}")
                }
            };
            format!("choice       move {}: {proof}\n", said(&choice.option))
        }
        Verdict::NotEnough { most } => format!(
            "choice       move nothing: the guests that may move free {} together, and {demand} is asked for\n",
            demand.shown(most)
        ),
        Verdict::NotWorth { cheapest, staying } => format!(
            "choice       move nothing: the cheapest set costs {cheapest:.3}, and moving is worth {staying:.3}\n"
        ),
    };
    if let Some(second) = &choice.runner_up {
        out.push_str(&format!("next         {}\n", said(second)));
    }
    if let Some(change) = &choice.weight_change {
        out.push_str(&format!(
            "changes with the weight of {} at {:.3} instead of {:.3}: then {}\n",
            change.term,
            change.to,
            change.from,
            change.then.join(", ")
        ));
    }
    if let Some(change) = choice.forecast_change {
        out.push_str(&format!(
            "changes with {} instead of {} of {} for the next: {:.0} % less\n",
            amount(change.term, change.to),
            amount(change.term, change.from),
            change.term,
            100.0 * (1.0 - change.to / change.from)
        ));
    }
    out
}

fn amount(term: Term, value: f64) -> String {
    match term {
        Term::Downtime | Term::Time => Millis(value).to_string(),
        Term::Traffic => Bytes(value.max(0.0).round() as u64).to_string(),
        Term::Energy => Joules(value).to_string(),
    }
}
