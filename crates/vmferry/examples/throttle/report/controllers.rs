//! Every controller over all guests, in one line each.

use super::rows::{self, Row};
use super::{Report, percent, text};
use crate::page::Page;
use crate::record::{self, Record};
use crate::steering::Steering;

impl Report<'_> {
    pub(super) fn controllers(&self, page: &mut Page) {
        page.say(
            "## Controllers\n\nMedians over guests; *over qemu* where both end in time, *fall* of the downtime where `off` \
             never ends by itself and the controller does.",
        );
        let mut all: Vec<Steering> = Vec::new();
        for row in &self.guests {
            if !all.contains(&row.by) {
                all.push(row.by);
            }
        }
        let lines: Vec<Vec<String>> = all.into_iter().map(|by| self.controller(by)).collect();
        let head = [
            "controller",
            "guests",
            "end in time",
            "promise kept",
            "total time over qemu",
            "work lost over qemu",
            "work lost, of the move",
            "longest freeze ms",
            "fall of the downtime",
        ];
        page.table(&head, &lines);
    }

    fn controller(&self, by: Steering) -> Vec<String> {
        let rows: Vec<&Row<'_>> = self.guests.iter().filter(|row| row.by == by).collect();
        let ended: Vec<&&Row<'_>> = rows.iter().filter(|row| row.finished()).collect();
        let kept = rows
            .iter()
            .filter(|row| row.runs.iter().all(|run| run.kept()));
        let pairs = self.both(by, Steering::QEMU);
        let over_qemu = |of: fn(&Row<'_>) -> Option<f64>| {
            let ratio = |(one, qemu): &(&Row<'_>, &Row<'_>)| Some(of(one)? / of(qemu)?);
            let ratios: Vec<f64> = pairs.iter().filter_map(ratio).collect();
            match record::median(&ratios) {
                Some(median) => format!("{} ({})", percent(Some(median)), ratios.len()),
                None => "-".to_owned(),
            }
        };
        let medians = |of: fn(&Record) -> Option<f64>| {
            let of_each: Vec<f64> = ended.iter().filter_map(|row| row.median(of)).collect();
            record::median(&of_each)
        };
        let fall = |row: &&&Row<'_>| {
            let off = rows::of(&self.guests, row.guest, Steering::OFF)?;
            (!off.finished()).then_some(1.0 - row.downtime_ms()? / off.downtime_ms()?)
        };
        let falls: Vec<f64> = ended.iter().filter_map(fall).collect();
        vec![
            by.to_string(),
            rows.len().to_string(),
            ended.len().to_string(),
            kept.count().to_string(),
            over_qemu(|row| row.total_s()),
            over_qemu(|row| row.lost_s()),
            percent(medians(|run| run.cost?.lost.map(|lost| lost.0))),
            text(medians(|run| run.cost?.freeze_ms.map(|ms| ms.0)), 0),
            percent(record::median(&falls)),
        ]
    }
}
