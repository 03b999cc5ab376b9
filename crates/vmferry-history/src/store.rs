//! What a history must be able to do, wherever it is kept.

use std::future::Future;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;
use vmferry_core::{
    Bytes, ImportedMigration, LinkSpeed, Millis, MoveRecord, Observation, Outcome, OutcomeStatus,
    Place,
};

use crate::error::HistoryError;
use crate::imports::{Added, ImportFilter, ImportSource, SourcedMigration};
use crate::profiles::{Profile, ProfileFilter};
use crate::route::Route;

/// Which moves; the default is all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MoveFilter {
    /// Name, UUID or URI of the guest.
    pub guest: Option<String>,
    /// Started at that time or later.
    pub since: Option<jiff::Timestamp>,
    /// At most so many.
    pub limit: Option<u32>,
}

/// A move in a list. Lengths and amounts of the forecast are its medians.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MoveSummary {
    /// Identifier.
    pub move_id: Uuid,
    /// When the record was opened.
    pub started_at: jiff::Timestamp,
    /// Version of vmferry that made it.
    pub tool_version: String,
    /// The guest's monitor at the source.
    pub guest_uri: String,
    /// The guest's name, where it has one.
    pub guest_name: Option<String>,
    /// The guest's UUID, where it has one.
    pub guest_uuid: Option<String>,
    /// Name of the source host.
    pub source_host: String,
    /// Name of the destination host.
    pub destination_host: String,
    /// How it ended; `None` while it runs, or if nobody recorded its end.
    pub status: Option<OutcomeStatus>,
    /// Where the guest was at the end.
    pub place: Option<Place>,
    /// Forecast probability of converging, 0..1.
    pub forecast_converges_probability: Option<f64>,
    /// Forecast total time.
    pub forecast_total_time_ms: Option<Millis>,
    /// Measured total time.
    pub total_time_ms: Option<Millis>,
    /// Forecast downtime.
    pub forecast_downtime_ms: Option<Millis>,
    /// Measured downtime.
    pub downtime_ms: Option<Millis>,
    /// Forecast wire bytes.
    pub forecast_wire_bytes: Option<Bytes>,
    /// Measured wire bytes.
    pub wire_bytes: Option<Bytes>,
}

/// What became of an outcome that was handed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// It is the recorded one.
    Recorded,
    /// Another was recorded before and stays.
    Before,
}

/// A place in the order of moves by time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    pub(crate) started_at_ms: i64,
    pub(crate) id: String,
}

impl Cursor {
    /// Before every move.
    pub const fn start() -> Self {
        Self {
            started_at_ms: i64::MIN,
            id: String::new(),
        }
    }

    /// Just after a move.
    pub fn after(record: &MoveRecord) -> Self {
        Self {
            started_at_ms: record.started_at.as_millisecond(),
            id: record.move_id.to_string(),
        }
    }
}

/// A history of moves. Every method may be called by several processes at
/// once. Each fails when the store is unavailable; see
/// [`HistoryError::is_unavailable`].
pub trait Store: Send + Sync {
    /// Writes a record, with its forecast, before the move; does nothing if
    /// that move is there already. An outcome in it is left out: that is for
    /// [`Self::close_move`].
    fn open_move(
        &self,
        record: &MoveRecord,
    ) -> impl Future<Output = Result<(), HistoryError>> + Send;

    /// Adds the outcome and the hypervisor's last statistics. The first
    /// outcome stays, but a real one replaces [`OutcomeStatus::Unknown`].
    fn close_move(
        &self,
        id: Uuid,
        outcome: &Outcome,
        raw_statistics: Option<&Value>,
    ) -> impl Future<Output = Result<Closed, HistoryError>> + Send;

    /// Moves, the newest first.
    fn list(
        &self,
        filter: &MoveFilter,
    ) -> impl Future<Output = Result<Vec<MoveSummary>, HistoryError>> + Send;

    /// The move whose identifier begins with `prefix`.
    fn get(&self, prefix: &str) -> impl Future<Output = Result<MoveRecord, HistoryError>> + Send;

    /// Some of the moves after `cursor`, the oldest first; none at the end.
    /// The filter's limit does not count here.
    fn page(
        &self,
        filter: &MoveFilter,
        cursor: &Cursor,
    ) -> impl Future<Output = Result<Vec<MoveRecord>, HistoryError>> + Send;

    /// The latest moves of a guest (name, UUID or URI), the newest first.
    fn guest_history(
        &self,
        guest: &str,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<MoveRecord>, HistoryError>> + Send;

    /// Rate of a route as learned from its latest moves that no `max-bandwidth`
    /// held; `None` without any.
    fn route_rate(
        &self,
        route: &Route,
    ) -> impl Future<Output = Result<Option<LinkSpeed>, HistoryError>> + Send;

    /// Keeps what was seen of the guest before a move that is recorded; the
    /// first one stays.
    fn keep_observation(
        &self,
        id: Uuid,
        observation: &Observation,
    ) -> impl Future<Output = Result<(), HistoryError>> + Send;

    /// What was seen of the guest before a move; `None` where nothing was
    /// kept. One that cannot be read is [`HistoryError::BadObservation`].
    fn observation(
        &self,
        id: Uuid,
    ) -> impl Future<Output = Result<Option<Observation>, HistoryError>> + Send;

    /// Adds a profile of hosts. Rows are never changed: of several of one kind
    /// for the same hosts the reader takes the newest, or all of them.
    fn keep_profile(
        &self,
        profile: &Profile,
    ) -> impl Future<Output = Result<(), HistoryError>> + Send;

    /// Profiles, the newest first.
    fn profiles(
        &self,
        filter: &ProfileFilter,
    ) -> impl Future<Output = Result<Vec<Profile>, HistoryError>> + Send;

    /// Adds other people's migrations, all or none of them. One that is known
    /// stays as it is, whichever source told it: see
    /// [`Fingerprint`](crate::Fingerprint).
    fn add_imported(
        &self,
        migrations: &[ImportedMigration],
        source: &str,
        at: jiff::Timestamp,
    ) -> impl Future<Output = Result<Added, HistoryError>> + Send;

    /// Imported migrations in the order in which they were imported, a file's
    /// in the file's order.
    fn imported(
        &self,
        filter: &ImportFilter,
    ) -> impl Future<Output = Result<Vec<SourcedMigration>, HistoryError>> + Send;

    /// The sources of imported migrations, by name.
    fn import_sources(
        &self,
    ) -> impl Future<Output = Result<Vec<ImportSource>, HistoryError>> + Send;

    /// Removes the migrations of a source, and says how many. What another
    /// source told later was not added then, and has to be imported again.
    fn forget_source(&self, source: &str)
    -> impl Future<Output = Result<u64, HistoryError>> + Send;
}
