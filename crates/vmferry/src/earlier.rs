//! Earlier moves that teach a forecast: the loop back, closed by value.

use std::collections::BTreeMap;

use vmferry_core::{GuestInfo, ImportedMigration, MoveRecord};
use vmferry_history::{
    History, HistoryError, ImportFilter, MoveFilter, MoveSummary, Route, Store as _,
};
use vmferry_model::Experience;
use vmferry_model::predictor::Past;

use crate::history_place::HistoryPlace;

/// The latest moves of a guest, and over a route, that are looked at.
const MOVES: usize = 200;
/// The latest moves over a route that tell of its link and hosts.
const EXPERIENCES: usize = 50;
/// The latest moves over any route among which those of one are looked for.
const LATEST: u32 = 500;

/// The latest moves of one guest and over one route that were recorded to their
/// end, the oldest first. A history that is missing or cannot be read teaches
/// nothing.
#[derive(Debug, Default)]
pub(crate) struct Earlier {
    records: Vec<MoveRecord>,
    /// Other people's migrations, for a model that learns from tables.
    imported: Vec<ImportedMigration>,
    /// The route of the move to come, where it is known.
    route: Option<Route>,
    /// The guest's accelerator now: another one makes another guest.
    accelerator: Option<String>,
}

impl Earlier {
    /// What the history of this machine knows that a model can learn from:
    /// `learned` alone takes other people's migrations too.
    pub(crate) async fn of(guest: &GuestInfo, route: Option<Route>, model: &str) -> Self {
        Self::kept_at(&HistoryPlace::Usual, guest, route, model).await
    }

    /// The same of another history.
    pub(crate) async fn kept_at(
        place: &HistoryPlace,
        guest: &GuestInfo,
        route: Option<Route>,
        model: &str,
    ) -> Self {
        let found = read_history(place, guest, route.as_ref(), model == "learned").await;
        let (records, imported) = found.unwrap_or_else(|error| {
            tracing::debug!(%error, "nothing is learned from the history");
            Default::default()
        });
        Self {
            imported,
            ..Self::new(records, guest, route)
        }
    }

    /// Known records, in the order in which they began.
    pub(crate) fn new(records: Vec<MoveRecord>, guest: &GuestInfo, route: Option<Route>) -> Self {
        let accelerator = guest.accelerator.clone();
        Self {
            records,
            imported: Vec::new(),
            route,
            accelerator,
        }
    }

    /// The route of the move to come.
    pub(crate) fn route(&self) -> Option<&Route> {
        self.route.as_ref()
    }

    /// What the latest moves over the route, under the same accelerator, tell
    /// of its link and hosts.
    pub(crate) fn experience(&self) -> Experience {
        let over_it: Vec<MoveRecord> = self
            .records
            .iter()
            .rev()
            .filter(|record| self.is_alike(record))
            .take(EXPERIENCES)
            .cloned()
            .collect();
        Experience::of(&over_it)
    }

    /// The moves as models learn from them. A guest under another accelerator
    /// dirties otherwise, and is left out.
    pub(crate) fn with_pasts<T>(&self, learn: impl FnOnce(&[Past<'_>]) -> T) -> T {
        let route = |record: &MoveRecord| Route::of(record).to_string();
        let routes: Vec<String> = self.records.iter().map(route).collect();
        let live = self
            .records
            .iter()
            .zip(&routes)
            .filter(|(record, _)| record.guest.accelerator == self.accelerator)
            // What was said then teaches, not what would be said now of what was seen.
            .filter_map(|(record, route)| Past::of_record(record, None, route));
        // Other people's first: the latest moves are our own.
        let pasts: Vec<Past<'_>> = self.imported.iter().map(Past::from).chain(live).collect();
        learn(&pasts)
    }

    /// Whether a move went over the same route under the same accelerator.
    fn is_alike(&self, record: &MoveRecord) -> bool {
        record.guest.accelerator == self.accelerator
            && self.route.as_ref() == Some(&Route::of(record))
    }
}

async fn read_history(
    place: &HistoryPlace,
    guest: &GuestInfo,
    route: Option<&Route>,
    with_imported: bool,
) -> Result<(Vec<MoveRecord>, Vec<ImportedMigration>), HistoryError> {
    let history = History::open_existing(&place.path()?).await?;
    let records = records(&history, guest, route).await?;
    let imported = if with_imported {
        history.imported(&ImportFilter::default()).await?
    } else {
        Vec::new()
    };
    let imported = imported.into_iter().map(|row| row.migration).collect();
    Ok((records, imported))
}

async fn records(
    history: &History,
    guest: &GuestInfo,
    route: Option<&Route>,
) -> Result<Vec<MoveRecord>, HistoryError> {
    let mut found = BTreeMap::new();
    if let Some(name) = guest.uuid.as_ref().or(guest.name.as_ref()) {
        let of_guest = MoveFilter {
            guest: Some(name.clone()),
            limit: Some(LATEST),
            ..MoveFilter::default()
        };
        read(history, &of_guest, |_| true, |_| true, &mut found).await?;
    }
    if let Some(route) = route {
        let latest = MoveFilter {
            limit: Some(LATEST),
            ..MoveFilter::default()
        };
        let between = |summary: &MoveSummary| {
            summary.source_host == route.source_host
                && summary.destination_host == route.destination_host
        };
        let over_it = |record: &MoveRecord| Route::of(record) == *route;
        read(history, &latest, between, over_it, &mut found).await?;
    }
    Ok(found.into_values().collect())
}

/// Adds the latest moves that are wanted and came to an end, by when they began.
async fn read(
    history: &History,
    filter: &MoveFilter,
    wanted: impl Fn(&MoveSummary) -> bool,
    is_it: impl Fn(&MoveRecord) -> bool,
    found: &mut BTreeMap<(jiff::Timestamp, uuid::Uuid), MoveRecord>,
) -> Result<(), HistoryError> {
    let mut count = 0;
    for summary in history.list(filter).await? {
        if count == MOVES {
            break;
        }
        if summary.status.is_none() || !wanted(&summary) {
            continue;
        }
        let key = (summary.started_at, summary.move_id);
        if let Some(known) = found.get(&key) {
            count += usize::from(is_it(known));
            continue;
        }
        // One record that cannot be read must not hide the others.
        let Ok(record) = history.get(&summary.move_id.to_string()).await else {
            continue;
        };
        if is_it(&record) {
            found.insert(key, record);
            count += 1;
        }
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests;
