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
    out.push_str(&energy_of(report));
    out.push_str(&format!(
        "to free      {}, by the cost {}\n",
        report.demand, report.weights
    ));
    out
}

/// Whose word the energies are.
fn energy_of(report: &ChooseReport) -> String {
    let mut told: Vec<String> = Vec::new();
    for guest in report
        .guests
        .iter()
        .filter(|guest| guest.energy_j.is_some())
    {
        let meters = guest.energy_meters.join(" and ");
        if !told.contains(&meters) {
            told.push(meters);
        }
    }
    match &told[..] {
        [] => "energy       no energy profile (`vmferry profile energy --help`)\n".to_owned(),
        told => format!("energy       by {}\n", told.join("; by ")),
    }
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
                or_dash(
                    guest
                        .energy_j
                        .map(|i| format!("{} ({} .. {})", i.p50, i.p5, i.p95)),
                )
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn guest(name: &str, downtime: f64, seconds: f64, mib: u64, cost: Option<[f64; 3]>) -> Value {
        let interval = |value: Value| json!({ "p5": value, "p50": value, "p95": value });
        json!({
            "name": name, "monitor": format!("qmp:/run/{name}"), "uuid": null,
            "memory_bytes": 1_u64 << 30, "cpu_cores": 0.5, "dirty_rate_1s_bytes_per_s": 1e6,
            "to": "qmp:/run/b", "max_bandwidth_bytes_per_s": null,
            "converges_probability": if cost.is_some() { 1.0 } else { 0.2 },
            "total_time_ms": interval(json!(seconds * 1e3)),
            "downtime_ms": interval(json!(downtime)),
            "transferred_bytes": interval(json!(mib << 20)),
            "energy_j": null,
            "cost": cost.map(|parts| parts.iter().sum::<f64>()),
            "parts": cost.map(|[d, t, v]| json!({ "downtime": d, "time": t, "traffic": v, "energy": 0.0 })),
            "chosen": name == "web",
            "excluded": if cost.is_some() { Value::Null } else { json!("converges with probability 20 % only") },
        })
    }

    fn option(name: &str, cost: f64) -> Value {
        let parts = json!({ "downtime": cost, "time": 0.0, "traffic": 0.0, "energy": 0.0 });
        json!({ "guests": [name], "cost": cost, "parts": parts, "frees": (1_u64 << 30) as f64 })
    }

    fn report(verdict: Value) -> ChooseReport {
        serde_json::from_value(json!({
            "schema_version": 1, "tool_version": "0.1.0",
            "from": "qmp-dir:/run/guests",
            "to": [{ "host": "qmp+ssh://b/run/guests", "via": "tcp:b:4444", "waiting": 3, "link": null }],
            "demand": { "memory_bytes": 1_u64 << 30 },
            "weights": { "downtime": 0.5, "time": 0.3, "traffic": 0.2, "energy": 0.0 },
            "largest": null, "worth": null, "model": "auto",
            "limits": { "max_downtime_ms": null, "max_bandwidth_bytes_per_s": null, "deadline_ms": 120_000.0 },
            "options": { "window_ms": 30_000.0, "budget": 0.04, "pages": 4096 },
            "observing_core_share": 0.031,
            "guests": [
                guest("web", 90.0, 5.0, 200, Some([0.05, 0.1, 0.04])),
                guest("database", 900.0, 15.0, 1000, Some([0.5, 0.3, 0.2])),
                guest("cache", 0.0, 0.0, 0, None),
            ],
            "skipped": [{ "monitor": "qmp:/run/guests/old", "reason": "its QEMU has exited" }],
            "choice": {
                "verdict": verdict, "option": option("web", 0.19), "proof": "exact",
                "runner_up": option("database", 1.0),
                "weight_change": null,
                "forecast_change": { "term": "time", "from": 15_000.0, "to": 6000.0 },
            },
            "moves": [], "notes": ["Energy has no weight."],
        }))
        .expect("a report")
    }

    #[test]
    fn every_part_has_a_bar_and_the_answer_its_reasons() {
        let shown = table(&report(json!("move")));
        for words in [
            "from         qmp-dir:/run/guests",
            "to           qmp+ssh://b/run/guests via tcp:b:4444: 3 waiting, no guest fits there",
            "observed     30.0 s of 3 guests, 3.1 % of a core in all",
            "energy       no energy profile",
            "to free      1024 MiB, by the cost downtime=0.5,time=0.3,traffic=0.2",
            "never cache: converges with probability 20 % only",
            "choice       move web (cost 0.190, frees 1024 MiB): no set that frees enough costs less",
            "next         database (cost 1.000, frees 1024 MiB)",
            "changes with 6.00 s instead of 15.0 s of time for the next: 60 % less",
            "passed over qmp:/run/guests/old: its QEMU has exited",
            "note: Energy has no weight.",
            "move nothing",
        ] {
            assert!(shown.contains(words), "not said: {words}\n{shown}");
        }
        let row = |name: &str| {
            let line = shown
                .lines()
                .find(|line| line.contains(&format!(" {name} ")));
            line.expect("a row").chars().filter(|c| *c == '█').count()
        };
        assert_eq!((row("web"), row("database"), row("cache")), (4, 20, 0));
    }

    #[test]
    fn energies_are_intervals_by_named_meters() {
        let mut metered = report(json!("move"));
        metered.guests[0].energy_j = Some(vmferry::core::Interval {
            p5: Joules(400.0),
            p50: Joules(532.0),
            p95: Joules(700.0),
        });
        metered.guests[0].energy_meters = vec!["RAPL (package-0)".into(), "IPMI".into()];
        let shown = table(&metered);
        for words in [
            "532 J (400 J .. 700 J)",
            "energy       by RAPL (package-0) and IPMI",
        ] {
            assert!(shown.contains(words), "not said: {words}\n{shown}");
        }
    }

    #[test]
    fn moving_nothing_is_said_with_its_reason() {
        let most = json!({ "not-enough": { "most": 5e8 } });
        let shown = table(&report(most));
        assert!(shown.contains("choice       move nothing: the guests that may move free 477 MiB together, and 1024 MiB is asked for"), "{shown}");
        let dear = json!({ "not-worth": { "cheapest": 0.19, "staying": 0.1 } });
        let shown = table(&report(dear));
        assert!(
            shown.contains("the cheapest set costs 0.190, and moving is worth 0.100"),
            "{shown}"
        );
    }

    #[test]
    fn the_drawing_has_every_guest() {
        let svg = crate::render::cost_bars::svg(&report(json!("move"))).expect("a drawing");
        for words in [
            "<svg",
            "web",
            "database",
            "0.190",
            "probability 20 %",
            "move nothing",
        ] {
            assert!(svg.contains(words), "not drawn: {words}");
        }
    }
}
