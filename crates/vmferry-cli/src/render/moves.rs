//! A list of moves for people.

use vmferry::document::MoveList;

use super::{or_dash, table as new_table, text};

/// The answer of `history list`.
pub(crate) fn table(list: &MoveList) -> String {
    let mut rows = new_table(&[
        "move",
        "started",
        "guest",
        "to",
        "status",
        "total (forecast)",
        "downtime (forecast)",
        "wire (forecast)",
    ]);
    for entry in &list.moves {
        let pair = |measured: String, forecast: String| format!("{measured} ({forecast})");
        rows.add_row(vec![
            entry.move_id.to_string(),
            entry.started_at.strftime("%Y-%m-%d %H:%M:%S").to_string(),
            entry
                .guest_name
                .clone()
                .unwrap_or_else(|| entry.guest_uri.clone()),
            entry.destination_host.clone(),
            entry.status.map_or_else(
                || "open".to_owned(),
                |status| format!("{status:?}").to_lowercase(),
            ),
            pair(
                or_dash(entry.total_time_ms),
                or_dash(entry.forecast_total_time_ms),
            ),
            pair(
                or_dash(entry.downtime_ms),
                or_dash(entry.forecast_downtime_ms),
            ),
            pair(
                or_dash(entry.wire_bytes),
                or_dash(entry.forecast_wire_bytes),
            ),
        ]);
    }
    text(&rows)
}
