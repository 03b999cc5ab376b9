//! What the history teaches a forecast: the loop back, closed by value.

use vmferry_core::MoveRecord;
use vmferry_history::{History, HistoryError, MoveFilter, Route, Store as _, history_path};
use vmferry_model::Experience;

/// The latest moves over a route that are looked at.
const MOVES: usize = 50;
/// The latest moves over any route among which they are looked for.
const LATEST: u32 = 500;

/// What the latest moves over a route taught, under the same accelerator. A
/// history that is missing or cannot be read teaches nothing.
pub(crate) async fn of(route: Option<&Route>, accelerator: Option<&str>) -> Experience {
    let records = match route {
        Some(route) => records(route, accelerator).await.unwrap_or_else(|error| {
            tracing::debug!(%error, %route, "nothing is learned from the history");
            Vec::new()
        }),
        None => Vec::new(),
    };
    Experience::of(&records)
}

async fn records(
    route: &Route,
    accelerator: Option<&str>,
) -> Result<Vec<MoveRecord>, HistoryError> {
    let history = History::open_existing(&history_path()?).await?;
    let latest = MoveFilter {
        limit: Some(LATEST),
        ..MoveFilter::default()
    };
    let mut records = Vec::new();
    for summary in history.list(&latest).await? {
        let between = summary.source_host == route.source_host
            && summary.destination_host == route.destination_host;
        if !between || summary.total_time_ms.is_none() {
            continue;
        }
        // One record that cannot be read must not hide the others.
        let Ok(record) = history.get(&summary.move_id.to_string()).await else {
            continue;
        };
        let same = record.guest.accelerator.as_deref() == accelerator;
        if same && Route::of(&record) == *route {
            records.push(record);
        }
        if records.len() == MOVES {
            break;
        }
    }
    Ok(records)
}
