//! Migrations that did not complete, behind figures that look measured.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::metric::{Metric, never_seen_again};
use crate::record::PointStatus;
use crate::side::{CellName, Side};

/// Migrations of a subject in a cell, of which some are counted rather than measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Incomplete {
    /// The subject.
    pub subject: String,
    /// All its migrations there, refused ones included.
    pub migrations: usize,
    /// Those that did not complete: they count with the deadline as total time and as downtime, and
    /// what they did not send or cost is no gain.
    pub not_completed: usize,
    /// Those that completed, after which nobody outside saw the guest again: they count with the
    /// deadline as downtime.
    pub never_seen_again: usize,
}

/// Whether a subject would gain by a metric for migrations that did not complete.
pub(crate) fn gained_by_failing(incomplete: &[Incomplete], subject: &str, metric: Metric) -> bool {
    let mut incomplete = incomplete.iter();
    incomplete.any(|one| one.subject == subject && one.gains_by_failing(metric))
}

impl Incomplete {
    /// `None` where all completed, and the guest was seen after each.
    pub(crate) fn of(side: &Side<'_>, cell: &CellName) -> Option<Self> {
        let runs = side.cell(cell).runs;
        let points = || runs.iter().flat_map(|run| &run.points);
        let not_completed = points().filter(|point| point.status != PointStatus::Completed);
        let found = Self {
            subject: side.subject.to_owned(),
            migrations: points().count(),
            not_completed: not_completed.count(),
            never_seen_again: points().filter(|point| never_seen_again(point)).count(),
        };
        (found.not_completed + found.never_seen_again > 0).then_some(found)
    }

    /// Whether it sent less, or cost the service less, for not moving the guest: it then is in no
    /// race by this metric.
    pub(crate) fn gains_by_failing(&self, metric: Metric) -> bool {
        self.not_completed > 0 && matches!(metric, Metric::MigratedData | Metric::Overhead)
    }

    /// `4 of 4 migrations of multifd did not complete and count with the deadline`.
    pub(crate) fn words(&self) -> String {
        let parts = [self.given_up(), self.lost_sight_of()];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        parts.join("; ")
    }

    /// The same as far as the metric is counted rather than measured; `None` where it is not.
    pub(crate) fn words_by(&self, metric: Metric) -> Option<String> {
        match metric {
            Metric::Downtime => Some(self.words()),
            Metric::TotalTime => self.given_up(),
            Metric::MigratedData | Metric::Overhead => self.gains_by_failing(metric).then(|| {
                format!(
                    "{} of {} migrations of {} did not complete, and it is not compared here",
                    self.not_completed, self.migrations, self.subject
                )
            }),
        }
    }

    fn given_up(&self) -> Option<String> {
        (self.not_completed > 0).then(|| {
            format!(
                "{} of {} migrations of {} did not complete and {} with the deadline",
                self.not_completed,
                self.migrations,
                self.subject,
                count(self.not_completed)
            )
        })
    }

    fn lost_sight_of(&self) -> Option<String> {
        (self.never_seen_again > 0).then(|| {
            format!(
                "after {} of {} migrations of {} nobody outside saw the guest again, which {} \
                 with the deadline as downtime",
                self.never_seen_again,
                self.migrations,
                self.subject,
                count(self.never_seen_again)
            )
        })
    }
}

fn count(migrations: usize) -> &'static str {
    match migrations {
        1 => "counts",
        _ => "count",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Figures, plan, record};
    use crate::record::Downtimes;

    #[test]
    fn what_did_not_complete_and_what_was_not_seen_again_is_counted() {
        let mut made = record(plan(&["a", "b"], &["web"]), |_, _| Figures::default());
        for run in made.runs.iter_mut().filter(|run| run.key.subject == "b") {
            run.points[0].status = PointStatus::Refused;
        }
        let last = made.runs.iter_mut().rfind(|run| run.key.subject == "b");
        last.unwrap().points[2].downtime = Downtimes::default();
        let sides = Side::all(&made);
        let cell = sides[0].cells().into_iter().next().unwrap();
        assert_eq!(Incomplete::of(&sides[0], &cell), None);
        let found = Incomplete::of(&sides[1], &cell).unwrap();
        let counted = (found.migrations, found.not_completed);
        assert_eq!((counted, found.never_seen_again), ((9, 3), 1));
        let said = Metric::ALL.map(|metric| found.words_by(metric).unwrap());
        insta::assert_snapshot!(said.join("\n"), @r"
        3 of 9 migrations of b did not complete and count with the deadline; after 1 of 9 migrations of b nobody outside saw the guest again, which counts with the deadline as downtime
        3 of 9 migrations of b did not complete and count with the deadline
        3 of 9 migrations of b did not complete, and it is not compared here
        3 of 9 migrations of b did not complete, and it is not compared here
        ");
    }
}
