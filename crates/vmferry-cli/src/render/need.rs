//! What a move needs, for people.

use vmferry::core::{Interval, Millis, Ratio};
use vmferry::profiling::{Least, NeedReport, Several};

use super::{cells, or_dash, table as new_table, text};

fn at_once(several: &Several) -> String {
    let n = several.guests;
    let Some(concurrency) = &several.concurrency else {
        return format!(
            "{n} guests like this one do not all converge, however many are moved at once"
        );
    };
    let all = |made: Option<Millis>| {
        made.map_or_else(|| "never end".to_owned(), |ms| format!("end after {ms}"))
    };
    let best = concurrency.best;
    let at = |number: usize| all(concurrency.makespans_ms.get(number - 1).copied().flatten());
    let mut out = format!(
        "{n} guests like this one: {best} at once {}; one after the other they {}, all at once they {}",
        at(best),
        at(1),
        at(n)
    );
    if let Some(made) = &several.all_at_once {
        out.push_str(&format!(
            "\nbounds of all at once: no earlier than {}, and {:.1} CPUs at the source, {:.1} at the destination",
            made.least_makespan_ms, made.least_cpus.0, made.least_cpus.1
        ));
    }
    out
}

/// The answer of `need`.
pub(crate) fn table(report: &NeedReport) -> String {
    let mut out = format!(
        "guest        {}\nlink         {}\ndeadline     {}, met with a probability of {:.0} %\n",
        report.guest.label(),
        report.link.wire_rate,
        report.limits.deadline_ms,
        report.probability * 100.0
    );
    if let (Some(profile), Some(intensity)) = (report.profile, report.intensity) {
        out.push_str(&format!(
            "profile      a {profile}-intensive guest ({intensity}){}, of {}\n",
            if report.upper_bound {
                ", an upper bound"
            } else {
                ""
            },
            or_dash(report.profile_made_at)
        ));
    }
    out.push_str("it is enough to give the move any one of\n");
    let mut rows = new_table(&["", "at least", "the same by", "time p5", "p50", "p95"]);
    let mut row = |what: &str, least: String, same: String, time: Option<Interval<Millis>>| {
        let [p5, p50, p95] = cells(time);
        rows.add_row([what, &least, &same, &p5, &p50, &p95]);
    };
    let none = || "not enough".to_owned();
    let need = &report.need;
    if report.profile.is_some() {
        let cpus: [(&str, Option<Least>); 3] = [
            ("CPU at the source", need.source_cpu),
            ("CPU at the destination", need.destination_cpu),
            ("CPU at both ends", need.both_cpu),
        ];
        for (what, least) in cpus {
            match least {
                Some(least) => row(
                    what,
                    least.share.to_string(),
                    format!("{} of bandwidth", least.rate),
                    least.total_time_ms,
                ),
                None => row(what, none(), "-".to_owned(), None),
            }
        }
    }
    match &need.bandwidth {
        Some(least) => {
            let cap = |end: &str, cap: Option<Ratio>| {
                cap.map(|cap| format!("{cap} of a CPU at the {end}"))
            };
            let same: Vec<String> = [
                cap("source", least.source_cap),
                cap("destination", least.destination_cap),
            ]
            .into_iter()
            .flatten()
            .collect();
            let same = if same.is_empty() {
                "-".to_owned()
            } else {
                same.join(" or ")
            };
            row(
                "bandwidth",
                least.rate.to_string(),
                same,
                least.total_time_ms,
            );
        }
        None => row("bandwidth", none(), "-".to_owned(), None),
    }
    out.push_str(&text(&rows));
    if let Some(several) = &report.several {
        out.push('\n');
        out.push_str(&at_once(several));
    }
    for note in &report.notes {
        out.push_str(&format!("\nnote: {note}"));
    }
    out
}
