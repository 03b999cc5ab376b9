//! When to move, for people.

use vmferry::core::{Interval, Millis};
use vmferry::model::schedule::{BreakEven, CostOf, MovesWithin, TimeCost};
use vmferry::when::report::{SlaAnswer, SlaTime, WhenReport};
use vmferry::when::{advice, as_good_stretches, counted, mebibytes};

use super::{or_dash, table as new_table, text};

/// Most stretches of times that are named; the JSON has all.
const MOST_STRETCHES: usize = 6;

/// The answer of `when`.
pub(crate) fn table(report: &WhenReport) -> String {
    let (data, guest) = (&report.data, &report.guest);
    let mut lines = vec![
        (
            "guest",
            format!(
                "{} (UUID {}), {} to migrate",
                guest.name.as_ref().unwrap_or(&guest.asked),
                or_dash(guest.uuid.as_ref()),
                or_dash(guest.migrated_bytes)
            ),
        ),
        (
            "recorded",
            format!(
                "{} over {}: {} replayed from {}, {} real; {} of {} parts of the day are known ({})",
                counted(data.replays + data.moves, "move"),
                counted(data.days, "day"),
                data.replays,
                counted(data.traces.len() as u64, "trace"),
                data.moves,
                data.known_parts,
                data.parts,
                report.timezone
            ),
        ),
        (
            "link",
            format!(
                "{} ({}), downtime limit {}, deadline {}",
                report.link.wire_rate,
                format!("{:?}", report.link.source).to_lowercase(),
                report
                    .limits
                    .max_downtime_ms
                    .map_or_else(|| "QEMU's own".to_owned(), |limit| limit.to_string()),
                report.limits.deadline_ms
            ),
        ),
    ];
    if let Some(best) = &report.best {
        lines.push(("best", format!("{}: {}", best.local, one_line(&best.cost))));
    }
    if let Some(now) = report.starts.first() {
        let cost = now
            .cost
            .as_ref()
            .map_or_else(|| "unknown".to_owned(), one_line);
        lines.push(("now", format!("{}: {cost}", now.local)));
    }
    lines.push(("advice", advice(report)));
    if let Some(saving) = report.best.as_ref().and_then(|best| best.saving.as_ref()) {
        let parts = [
            saving
                .total_time_ms
                .map(|i| format!("total time {}", span(i.map(signed)))),
            saving
                .downtime_ms
                .map(|i| format!("downtime {}", span(i.map(signed)))),
            saving
                .transferred_bytes
                .map(|i| format!("traffic {}", span(i.map(mebibytes)))),
            Some(format!(
                "converges {}",
                span(
                    saving
                        .converges_probability
                        .map(|p| format!("{:+.0} %", p * 100.0))
                )
            )),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        lines.push(("waiting saves", parts.join(", ")));
    }
    let stretches = as_good_stretches(report);
    if !stretches.is_empty() {
        let named = stretches.iter().take(MOST_STRETCHES);
        let mut named: Vec<String> = named
            .map(|(from, to)| match from == to {
                true => from.clone(),
                false => format!("{from} to {}", &to[to.len() - 5..]),
            })
            .collect();
        if stretches.len() > MOST_STRETCHES {
            named.push(format!("{} more", stretches.len() - MOST_STRETCHES));
        }
        lines.push(("as good", named.join(", ")));
    }
    let mut out: Vec<String> = lines
        .iter()
        .map(|(name, text)| format!("{name:<13} {text}"))
        .collect();
    out.push(by_hour(report));
    out.extend(report.sla.as_ref().map(sla));
    out.extend(consolidation(report));
    out.extend(report.notes.iter().map(|note| format!("note: {note}")));
    out.join("\n")
}

fn signed(ms: Millis) -> String {
    match ms.0 < 0.0 {
        true => format!("-{}", Millis(-ms.0)),
        false => ms.to_string(),
    }
}

/// `12 (10..15)`.
fn span(interval: Interval<String>) -> String {
    format!("{} ({}..{})", interval.p50, interval.p5, interval.p95)
}

/// What to expect, and how sure that is.
fn expected<T>(cost: Option<CostOf<T>>, show: impl Fn(T) -> String) -> String {
    cost.map_or_else(
        || "-".to_owned(),
        |cost| match cost.expected_interval {
            Some(interval) => span(Interval {
                p50: show(cost.expected),
                p5: show(interval.p5),
                p95: show(interval.p95),
            }),
            None => show(cost.expected),
        },
    )
}

fn converges(cost: &TimeCost) -> String {
    let p = cost.converges_probability.map(|p| p * 100.0);
    format!("{:.0} % ({:.0}..{:.0})", p.p50, p.p5, p.p95)
}

fn one_line(cost: &TimeCost) -> String {
    let converges = converges(cost);
    if cost.total_time_ms.is_none() {
        return format!("converges {converges}");
    }
    format!(
        "converges {converges}, total {}, downtime {}, traffic {}",
        expected(cost.total_time_ms, |ms| ms.to_string()),
        expected(cost.downtime_ms, |ms| ms.to_string()),
        expected(cost.transferred_bytes, |bytes| bytes.to_string()),
    )
}

/// The day in hours; a run of unknown ones is one line.
fn by_hour(report: &WhenReport) -> String {
    let mut rows = new_table(&[
        "from",
        "days",
        "moves",
        "converges",
        "total time",
        "downtime",
        "traffic",
    ]);
    let count = report.hours.len();
    let name = |hour: usize| {
        let minutes = hour * 1440 / count.max(1);
        format!("{:02}:{:02}", minutes / 60, minutes % 60)
    };
    let mut unknown: Option<usize> = None;
    for (hour, cost) in report.hours.iter().enumerate() {
        let Some(cost) = cost else {
            unknown.get_or_insert(hour);
            if report.hours.get(hour + 1).is_none_or(Option::is_some) {
                let from = unknown.take().unwrap_or(hour);
                let label = format!("{}-{}", name(from), name(hour + 1));
                rows.add_row([label.as_str(), "", "", "unknown"]);
            }
            continue;
        };
        rows.add_row([
            cost.from.clone(),
            cost.days.to_string(),
            (cost.replays + cost.moves).to_string(),
            converges(cost),
            expected(cost.total_time_ms, |ms| ms.to_string()),
            expected(cost.downtime_ms, |ms| ms.to_string()),
            expected(cost.transferred_bytes, |bytes| bytes.to_string()),
        ]);
    }
    text(&rows)
}

fn moves(within: Option<MovesWithin>) -> String {
    within.map_or_else(
        || "any".to_owned(),
        |moves| match moves.per_month < 10.0 {
            true => format!("{:.1}", moves.per_month),
            false => format!("{:.0}", moves.per_month),
        },
    )
}

fn sla(answer: &SlaAnswer) -> String {
    let (sla, each) = (
        &answer.sla,
        if answer.counts_degraded {
            "the whole move"
        } else {
            "the pause"
        },
    );
    let one = |hour: &SlaTime| {
        format!(
            "{} a month where each takes {} (median), {} where each takes {} (p95)",
            moves(hour.median_moves),
            hour.each_ms.p50,
            moves(hour.costly_moves),
            hour.each_ms.p95
        )
    };
    let best = answer.best.as_ref().map_or_else(
        || "at no known hour are moves likely to converge".to_owned(),
        |hour| format!("from {}: {}", hour.from, one(hour)),
    );
    let mut rows = new_table(&[
        "from",
        "converges",
        "each p50",
        "each p95",
        "a month (p50)",
        "a month (p95)",
    ]);
    for hour in &answer.hours {
        rows.add_row([
            hour.from.clone(),
            format!("{:.0} %", hour.converges_probability * 100.0),
            hour.each_ms.p50.to_string(),
            hour.each_ms.p95.to_string(),
            moves(hour.median_moves),
            moves(hour.costly_moves),
        ]);
    }
    format!(
        "moves within {} a {} ({each} counts), at the best hour {best}\n{}",
        minutes(sla.downtime_ms),
        sla.period.name(),
        text(&rows)
    )
}

fn consolidation(report: &WhenReport) -> Option<String> {
    let answer = report.consolidation.as_ref()?;
    let one = |what: &str, found: &BreakEven| {
        format!(
            "  moving {what}: off for at least {} ({}..{}); {} moves take {} and {} one after another",
            minutes(found.off_ms.p50),
            minutes(found.off_ms.p5),
            minutes(found.off_ms.p95),
            found.moves,
            found.energy_j.p50,
            found.moving_ms.p50
        )
    };
    let mut lines = vec![format!(
        "to save {} by switching off a host with {} such guests",
        answer.host_power_w, answer.guests
    )];
    lines.extend(
        answer
            .at_best
            .as_ref()
            .map(|found| one("at the best time", found)),
    );
    lines.extend(answer.at_now.as_ref().map(|found| one("now", found)));
    if lines.len() == 1 {
        lines.push("  unknown: moves do not converge, or nothing is known of them".to_owned());
    }
    Some(lines.join("\n"))
}

fn minutes(time: Millis) -> String {
    match time.0 >= 180_000.0 {
        true => format!("{:.1} min", time.0 / 60_000.0),
        false => time.to_string(),
    }
}
