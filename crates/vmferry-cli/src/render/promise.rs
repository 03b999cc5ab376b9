//! Promises for people.

use vmferry::core::{MovedBy, PromiseForecast, Relaxation};
use vmferry::document::MigrateReport;

use super::{cells, or_dash, table as new_table, text};

/// What becomes of a promise, with what would help where it cannot be kept.
pub(crate) fn lines(promise: &PromiseForecast) -> String {
    let mut out = format!(
        "promise      kept with probability {:.0} %: {} ({} trials, --throttle {})\n",
        promise.kept_probability * 100.0,
        means(promise),
        promise.trials,
        promise.throttle,
    );
    if promise.total_time_ms.is_some() {
        let mut rows = new_table(&["", "p5", "p50", "p95"]);
        for (name, [p5, p50, p95]) in [
            ("total time", cells(promise.total_time_ms)),
            ("downtime", cells(promise.downtime_ms)),
            ("work lost", cells(promise.slowdown)),
        ] {
            rows.add_row([name, &p5, &p50, &p95]);
        }
        out.push_str(&text(&rows));
        out.push('\n');
    }
    if !promise.accepted {
        out.push_str(&refusal(promise));
    }
    out.trim_end().to_owned()
}

/// By which means it is kept.
pub(crate) fn means(promise: &PromiseForecast) -> String {
    match promise.by {
        MovedBy::Itself => "the guest keeps its speed".to_owned(),
        MovedBy::Throttled => match (promise.least_cpu_share, promise.throttled_ms) {
            (Some(share), Some(time)) => format!(
                "the guest is held to {:.0} % of its CPU for about {time}",
                share.percent()
            ),
            _ => "the guest is slowed down for a while".to_owned(),
        },
        MovedBy::PostCopy => "by post-copy".to_owned(),
        MovedBy::GivenUp => "the guest does not move".to_owned(),
    }
}

/// Why a promise is not given, and what would make it possible.
pub(crate) fn refusal(promise: &PromiseForecast) -> String {
    let reason = promise.reason.as_deref().unwrap_or("it is kept too rarely");
    let mut out = format!("refused: the promise cannot be kept: {reason}");
    if promise.relaxations.is_empty() {
        out.push_str("\n  no single change within reach makes it possible");
    }
    for relaxation in &promise.relaxations {
        out.push_str(&format!(
            "\n  it can be kept with {}",
            relaxation_line(relaxation)
        ));
    }
    out
}

fn relaxation_line(relaxation: &Relaxation) -> String {
    format!(
        "{}: total {}, downtime {}, work lost {}, kept {:.0} %",
        relaxation.change,
        or_dash(relaxation.total_time_ms),
        or_dash(relaxation.downtime_ms),
        or_dash(relaxation.slowdown),
        relaxation.kept_probability * 100.0
    )
}

/// What became of the promise of a move that was made; `None` where none was
/// made, or the guest did not move.
pub(crate) fn kept(report: &MigrateReport) -> Option<String> {
    use vmferry::core::OutcomeStatus::Completed;
    let promise = report.plan.promise?;
    let outcome = report.outcome.as_ref()?;
    if outcome.status != Completed {
        return None;
    }
    let unjudged = promise.unjudged(outcome.downtime_ms, outcome.total_time_ms, outcome.slowdown);
    if report.missed.is_empty() {
        return Some(if unjudged.is_empty() {
            "promise kept".to_owned()
        } else {
            format!(
                "promise kept as far as it was measured; not measured: {}",
                unjudged.join(", ")
            )
        });
    }
    let missed: Vec<String> = report.missed.iter().map(ToString::to_string).collect();
    Some(format!("promise missed: {}", missed.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use vmferry::core::{Change, Interval, Millis, Promise, Ratio, Throttle};

    fn forecast() -> PromiseForecast {
        let ms = |p5, p50, p95| Interval {
            p5: Millis(p5),
            p50: Millis(p50),
            p95: Millis(p95),
        };
        PromiseForecast {
            promise: Promise::default(),
            throttle: Throttle::Curve,
            trials: 20,
            kept_probability: 0.95,
            accepted: true,
            by: MovedBy::Throttled,
            total_time_ms: Some(ms(17_000.0, 18_500.0, 21_000.0)),
            downtime_ms: Some(ms(180.0, 220.0, 290.0)),
            slowdown: Some(Interval {
                p5: Ratio(0.06),
                p50: Ratio(0.09),
                p95: Ratio(0.13),
            }),
            least_cpu_share: Some(Ratio(0.35)),
            throttled_ms: Some(Millis(9_000.0)),
            reason: None,
            relaxations: Vec::new(),
        }
    }

    #[test]
    fn a_promise_that_is_given() {
        let told = lines(&forecast());
        let (first, table) = told.split_once('\n').expect("a table too");
        insta::assert_snapshot!(first, @"promise      kept with probability 95 %: the guest is held to 35 % of its CPU for about 9.00 s (20 trials, --throttle curve)");
        for words in [
            "total time",
            "18.5 s",
            "downtime",
            "290 ms",
            "work lost",
            "13.0 %",
        ] {
            assert!(table.contains(words), "{words}: {table}");
        }
        assert!(!told.contains("refused"), "{told}");
    }

    #[test]
    fn a_promise_that_is_not() {
        let refused = PromiseForecast {
            kept_probability: 0.0,
            accepted: false,
            by: MovedBy::GivenUp,
            total_time_ms: None,
            least_cpu_share: None,
            throttled_ms: None,
            reason: Some("the guest writes too fast to converge within 120.0 s".to_owned()),
            relaxations: vec![Relaxation {
                change: Change::MaxDowntime {
                    max_downtime_ms: Millis(850.0),
                },
                kept_probability: 1.0,
                total_time_ms: Some(Millis(14_200.0)),
                downtime_ms: Some(Millis(790.0)),
                slowdown: Some(Ratio(0.06)),
            }],
            ..forecast()
        };
        insta::assert_snapshot!(lines(&refused), @r"
        promise      kept with probability 0 %: the guest does not move (20 trials, --throttle curve)
        refused: the promise cannot be kept: the guest writes too fast to converge within 120.0 s
          it can be kept with --max-downtime 850ms: total 14.2 s, downtime 790 ms, work lost 6.0 %, kept 100 %
        ");
    }
}
