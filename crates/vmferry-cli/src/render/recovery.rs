//! What `recover` did, for people.

use vmferry::document::RecoverReport;

use super::{or_dash, table as new_table, text};

/// The answer of `recover`.
pub(crate) fn table(report: &RecoverReport) -> String {
    if report.moves.is_empty() {
        return "nothing to recover: no move was interrupted".to_owned();
    }
    let mut rows = new_table(&["move", "guest", "what", "guest's place"]);
    for found in &report.moves {
        let what = if found.supervised {
            "still supervised, left alone".to_owned()
        } else if found.failed.is_empty() {
            format!("{} changes undone", found.undone)
        } else {
            format!(
                "{} undone, not undone: {}",
                found.undone,
                found.failed.join("; ")
            )
        };
        rows.add_row(vec![
            found.move_id.to_string(),
            or_dash(found.guest.as_ref()),
            what,
            or_dash(found.place),
        ]);
    }
    text(&rows)
}
