//! What a move needs, for people.

use vmferry::core::{Interval, Millis, Ratio};
use vmferry::profiling::{Least, NeedReport};

use super::{cells, or_dash, table as new_table, text};

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
    for note in &report.notes {
        out.push_str(&format!("\nnote: {note}"));
    }
    out
}
