//! What is said of a move that is over: the promises it missed, its exit code.

use vmferry_core::{ExitCode, Missed, Outcome, OutcomeStatus, Place, Plan};

use crate::document::MigrateReport;

/// What was promised and not kept by a move that reached the destination.
pub(super) fn missed(plan: &Plan, outcome: Option<&Outcome>) -> Vec<Missed> {
    match (&plan.promise, outcome) {
        (Some(promise), Some(outcome)) if outcome.status == OutcomeStatus::Completed => {
            promise.missed(outcome.downtime_ms, outcome.total_time_ms, outcome.slowdown)
        }
        _ => Vec::new(),
    }
}

/// The exit code of a move that was started. Where the guest is comes before
/// what was promised.
pub fn exit_code(report: &MigrateReport) -> ExitCode {
    let Some(outcome) = &report.outcome else {
        return ExitCode::Done;
    };
    match (outcome.status, outcome.place) {
        (OutcomeStatus::Completed, Place::RunningAtDestination) if report.missed.is_empty() => {
            ExitCode::Done
        }
        (OutcomeStatus::Completed, Place::RunningAtDestination) => ExitCode::PromiseMissed,
        (_, Place::Uncertain) | (OutcomeStatus::Completed, _) => ExitCode::Uncertain,
        (_, Place::RunningAtDestination) => ExitCode::Uncertain,
        (OutcomeStatus::Cancelled, _) => ExitCode::Cancelled,
        (OutcomeStatus::Failed | OutcomeStatus::Unknown, _) => ExitCode::FailedSafe,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::sample;
    use vmferry_core::{Millis, Promise, Ratio};

    fn ended(status: OutcomeStatus, place: Place, downtime_ms: f64) -> MigrateReport {
        let mut report = sample::unmoved();
        report.plan.promise = Some(Promise {
            max_downtime_ms: Some(Millis(300.0)),
            max_slowdown: Some(Ratio(0.1)),
            ..Promise::default()
        });
        let start = jiff::Timestamp::UNIX_EPOCH;
        let outcome = Outcome {
            error: None,
            downtime_ms: Some(Millis(downtime_ms)),
            ..Outcome::unseen(status, place, String::new(), start, start)
        };
        report.missed = missed(&report.plan, Some(&outcome));
        report.outcome = Some(outcome);
        report
    }

    #[test]
    fn a_missed_promise_is_told_of_a_guest_that_moved() {
        use OutcomeStatus::{Cancelled, Completed, Failed};
        use Place::{RunningAtDestination, RunningAtSource, Uncertain};
        for (status, place, downtime_ms, code) in [
            (Completed, RunningAtDestination, 280.0, ExitCode::Done),
            (
                Completed,
                RunningAtDestination,
                320.0,
                ExitCode::PromiseMissed,
            ),
            // Where the guest is comes first.
            (Completed, Uncertain, 320.0, ExitCode::Uncertain),
            (Failed, RunningAtSource, 320.0, ExitCode::FailedSafe),
            (Cancelled, RunningAtSource, 320.0, ExitCode::Cancelled),
        ] {
            let report = ended(status, place, downtime_ms);
            assert_eq!(exit_code(&report), code, "{report:?}");
        }
        let report = ended(Completed, RunningAtDestination, 320.0);
        let told: Vec<String> = report.missed.iter().map(Missed::to_string).collect();
        insta::assert_snapshot!(told.join("; "), @"downtime 320 ms, promised at most 300 ms");
        assert!(ended(Failed, RunningAtSource, 320.0).missed.is_empty());
    }

    #[test]
    fn without_a_promise_nothing_is_missed() {
        let mut report = ended(OutcomeStatus::Completed, Place::RunningAtDestination, 9e9);
        report.plan.promise = None;
        report.missed = missed(&report.plan, report.outcome.as_ref());
        assert_eq!(exit_code(&report), ExitCode::Done);
    }
}
