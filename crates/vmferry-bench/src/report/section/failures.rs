//! What failed, and what that does to the scores.

use crate::metric::never_seen_again;
use crate::record::{BenchRecord, PointStatus, RunKey};
use crate::report::cell::load_name;
use crate::report::page::Section;

/// The section.
pub(crate) fn section(record: &BenchRecord) -> Section {
    let mut section = Section::new("Failures and how they count");
    section.say(format!(
        "A migration that did not complete counts in the scores with the plan's deadline, {}, as \
         total time and as downtime, and with the data that was sent until it was given up. A guest \
         that moved and was not seen again by any probe counts with the deadline as downtime. A move \
         that was refused has no data. Tables and drawings show completed migrations only.",
        record.plan.deadline_ms
    ));
    let mut failed = Vec::new();
    for run in &record.runs {
        let place = place(&run.key);
        if let Some(why) = &run.failure {
            failed.push(format!("The run of {place} did not get to its end: {why}"));
        }
        for point in &run.points {
            let how = match point.status {
                PointStatus::Completed => None,
                PointStatus::NotConverged => Some("had not converged by the deadline"),
                PointStatus::Failed => Some("failed"),
                PointStatus::Refused => Some("was refused before it began"),
            };
            if let Some(how) = how {
                let why = point.failure.as_deref().unwrap_or("no reason is recorded");
                failed.push(format!(
                    "The migration of {place}, point {}, {how}: {why}",
                    point.point
                ));
            }
            if never_seen_again(point) {
                failed.push(format!(
                    "The migration of {place}, point {}, completed, but nobody outside saw the \
                     guest again",
                    point.point
                ));
            }
            if point.back.is_some_and(|back| !back.checked) {
                failed.push(format!(
                    "After the way back of {place}, point {}, the service was not seen to go on",
                    point.point
                ));
            }
        }
    }
    match failed.is_empty() {
        true if record.runs.is_empty() => section.say("No run has ended yet."),
        true => section.say("Nothing failed."),
        false => section.list(failed),
    }
    section
}

/// A run in words.
fn place(key: &RunKey) -> String {
    format!(
        "{}, {}, {} load, repeat {}",
        key.subject,
        key.workload,
        load_name(key.load),
        key.repeat
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Figures, plan, record};
    use crate::record::Downtimes;
    use crate::report::page::Block;

    #[test]
    fn a_guest_that_nobody_saw_again_is_listed() {
        let mut made = record(plan(&["a"], &["web"]), |_, _| Figures::default());
        let said = |record: &BenchRecord| -> Vec<String> {
            let blocks = section(record).blocks;
            let lists = blocks.into_iter().filter_map(|block| match block {
                Block::List(items) => Some(items),
                _ => None,
            });
            lists.flatten().collect()
        };
        assert_eq!(said(&made), Vec::<String>::new());
        made.runs[1].points[2].downtime = Downtimes::default();
        assert_eq!(
            said(&made),
            [
                "The migration of a, web, light load, repeat 2, point 3, completed, but nobody \
                 outside saw the guest again"
            ]
        );
    }
}
