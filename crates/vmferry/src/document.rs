//! The JSON documents of the command line. Their schemas are checked in under
//! `schemas/`, and tests hold both together.

use schemars::{JsonSchema, Schema, schema_for};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Value, json};
use uuid::Uuid;
use vmferry_core::plan::MoveLimits;
use vmferry_core::{
    Analysis, Forecast, GuestInfo, GuestUri, HostInfo, LinkSpeed, Millis, Missed, MoveEvent,
    MoveRecord, Observation, Outcome, Place, Plan, PromiseForecast, Ratio, SCHEMA_VERSION,
};
use vmferry_history::MoveSummary;
use vmferry_history::trace::TraceSummary;
use vmferry_migrate::Check;
use vmferry_testbed::TestbedStatus;

mod simulate;

pub use simulate::{SimulateReport, SourceKind};

use crate::TOOL_VERSION;
use crate::benchmarking::{BenchComparison, BenchDocument, BenchEvent, BenchList, BenchRunReport};
use crate::choosing::report::ChooseReport;
use crate::comparison::CompareReport;
use crate::demo::DemoReport;
use crate::energy::{EnergyForecast, EnergyReport};
use crate::imports::{ForgetReport, ImportList, ImportReport};
use crate::profiling::{CpuLimits, NeedReport, ProfileCpuReport};
use crate::when::report::WhenReport;

/// Versions, at the head of every document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Versions {
    /// Version of the document.
    pub schema_version: u32,
    /// Version of vmferry that wrote it.
    pub tool_version: String,
}

impl Default for Versions {
    fn default() -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            tool_version: TOOL_VERSION.to_owned(),
        }
    }
}

/// How a guest was, or was to be, observed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ObservingOptions {
    /// Window asked for.
    pub window_ms: Millis,
    /// Most of one core that observing may take, 0..1.
    pub budget: Ratio,
    /// Pages to sample.
    pub pages: u32,
}

/// `vmferry measure -o json`: also what `--profile` reads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MeasureReport {
    /// Versions.
    #[serde(flatten)]
    pub versions: Versions,
    /// The options used.
    pub options: ObservingOptions,
    /// How the guest writes, as far as the window shows; `None` in documents of
    /// earlier versions.
    #[serde(default)]
    pub analysis: Option<Analysis>,
    /// What was seen.
    #[serde(flatten)]
    pub observation: Observation,
}

/// `vmferry predict -o json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PredictReport {
    /// Versions.
    #[serde(flatten)]
    pub versions: Versions,
    /// The guest.
    pub guest: GuestInfo,
    /// The host it runs on.
    pub host: HostInfo,
    /// How the guest was observed, now or for the profile.
    pub options: ObservingOptions,
    /// The link as it was assumed.
    pub link: LinkSpeed,
    /// The limits that were asked for; under a promise the forecast assumes a
    /// lower downtime limit (`model.max_downtime_ms`).
    pub limits: MoveLimits,
    /// What becomes of the promise; `None` where none was made.
    #[serde(default)]
    pub promise: Option<PromiseForecast>,
    /// What caps on the migration's CPU do; `None` where none were asked for.
    #[serde(default)]
    pub cpu: Option<CpuLimits>,
    /// The forecast.
    #[serde(flatten)]
    pub forecast: Forecast,
    /// The energy of the move; `None` without an energy profile of its hosts,
    /// and in documents of earlier versions.
    #[serde(default)]
    pub energy: Option<EnergyForecast>,
}

/// `vmferry migrate -o json`: the forecast's fields, then `outcome` with the
/// same names measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(transform = allow_no_forecast)]
pub struct MigrateReport {
    /// Versions.
    #[serde(flatten)]
    pub versions: Versions,
    /// Identifier of the move in the history.
    pub move_id: Uuid,
    /// What was asked for.
    pub plan: Plan,
    /// The guest.
    pub guest: GuestInfo,
    /// The source host.
    pub source_host: HostInfo,
    /// The destination host.
    pub destination_host: HostInfo,
    /// The link as the forecast assumed it; `None` without a forecast.
    pub link: Option<LinkSpeed>,
    /// The pre-flight checks.
    pub checks: Vec<Check>,
    /// The forecast, frozen before the move; without one its fields are null.
    #[serde(flatten, serialize_with = "fields_or_nulls")]
    pub forecast: Option<Forecast>,
    /// What becomes of the promise, as seen before the move; `None` where none
    /// was made, or nothing was forecast.
    #[serde(default)]
    pub promise: Option<PromiseForecast>,
    /// Promises that the move did not keep; empty where it kept all, or did not
    /// move the guest.
    #[serde(default)]
    pub missed: Vec<Missed>,
    /// The energy of the move as it was forecast; `None` without a forecast or
    /// without an energy profile of its hosts.
    #[serde(default)]
    pub energy: Option<EnergyForecast>,
    /// What was measured; `None` for a dry run.
    pub outcome: Option<Outcome>,
    /// Where the guest is.
    pub place: Place,
}

/// The fields of a forecast, from its schema.
fn forecast_fields() -> Vec<String> {
    let schema = schema_for!(Forecast);
    let fields = schema.get("properties").and_then(Value::as_object);
    fields.map_or_else(Vec::new, |fields| fields.keys().cloned().collect())
}

fn fields_or_nulls<S: Serializer>(
    forecast: &Option<Forecast>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match forecast {
        Some(forecast) => forecast.serialize(serializer),
        None => serializer.collect_map(forecast_fields().iter().map(|field| (field, ()))),
    }
}

/// Says in the schema of a [`MigrateReport`] that every field of the forecast is
/// there, and may be null.
fn allow_no_forecast(schema: &mut Schema) {
    let nothing = json!({ "type": "null" });
    for field in forecast_fields() {
        if let Some(Value::Object(property)) = schema.pointer_mut(&format!("/properties/{field}")) {
            let nullable = property
                .get("anyOf")
                .and_then(Value::as_array)
                .is_some_and(|forms| forms.contains(&nothing));
            if !nullable {
                let description = property.remove("description");
                let form = Value::Object(std::mem::take(property));
                property.extend(description.map(|text| ("description".to_owned(), text)));
                property.insert("anyOf".to_owned(), json!([form, nothing]));
            }
        }
        if let Some(Value::Array(required)) = schema.get_mut("required") {
            required.push(field.into());
        }
    }
}

/// `vmferry recover -o json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RecoverReport {
    /// Versions.
    #[serde(flatten)]
    pub versions: Versions,
    /// Every interrupted move that was found.
    pub moves: Vec<RecoveredMove>,
}

/// One interrupted move.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RecoveredMove {
    /// Identifier.
    pub move_id: Uuid,
    /// The guest, where its record could be read.
    pub guest: Option<GuestUri>,
    /// Whether it is still supervised; then nothing was done.
    pub supervised: bool,
    /// Changes undone now.
    pub undone: usize,
    /// What could not be undone, and why; empty when all is well.
    pub failed: Vec<String>,
    /// Where the guest is, where that was asked.
    pub place: Option<Place>,
}

/// `vmferry history list -o json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MoveList {
    /// Versions.
    #[serde(flatten)]
    pub versions: Versions,
    /// The moves, latest first.
    pub moves: Vec<MoveSummary>,
}

impl MoveList {
    /// A list of moves.
    pub fn new(moves: Vec<MoveSummary>) -> Self {
        Self {
            versions: Versions::default(),
            moves,
        }
    }
}

/// `vmferry testbed status -o json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TestbedList {
    /// Versions.
    #[serde(flatten)]
    pub versions: Versions,
    /// The testbeds.
    pub testbeds: Vec<TestbedStatus>,
}

/// `vmferry trace info -o json`, and the answer of `vmferry record -o json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TraceReport {
    /// Versions of the document and of vmferry that read the trace.
    #[serde(flatten)]
    pub versions: Versions,
    /// What the trace holds.
    #[serde(flatten)]
    pub summary: TraceSummary,
}

/// Name and schema of every document.
pub fn schemas() -> Vec<(&'static str, Schema)> {
    vec![
        ("measure", schema_for!(MeasureReport)),
        ("predict", schema_for!(PredictReport)),
        ("choose", schema_for!(ChooseReport)),
        ("migrate", schema_for!(MigrateReport)),
        ("event", schema_for!(MoveEvent)),
        ("record", schema_for!(MoveRecord)),
        ("recover", schema_for!(RecoverReport)),
        ("history-list", schema_for!(MoveList)),
        ("history-import", schema_for!(ImportReport)),
        ("history-imports", schema_for!(ImportList)),
        ("history-forget", schema_for!(ForgetReport)),
        ("compare", schema_for!(CompareReport)),
        ("profile-energy", schema_for!(EnergyReport)),
        ("trace-info", schema_for!(TraceReport)),
        ("simulate", schema_for!(SimulateReport)),
        ("testbed-status", schema_for!(TestbedList)),
        ("when", schema_for!(WhenReport)),
        ("demo", schema_for!(DemoReport)),
        ("profile-cpu", schema_for!(ProfileCpuReport)),
        ("need", schema_for!(NeedReport)),
        ("bench-list", schema_for!(BenchList)),
        ("bench-run", schema_for!(BenchRunReport)),
        ("bench-report", schema_for!(BenchDocument)),
        ("bench-compare", schema_for!(BenchComparison)),
        ("bench-event", schema_for!(BenchEvent)),
    ]
}

#[cfg(test)]
pub(crate) mod sample {
    use super::*;

    /// The report of a move that was not made, and not forecast.
    pub(crate) fn unmoved() -> MigrateReport {
        let uri = GuestUri::local("/run/a.qmp");
        MigrateReport {
            versions: Versions::default(),
            move_id: Uuid::nil(),
            plan: Plan {
                source: uri.clone(),
                destination: GuestUri::local("/run/b.qmp"),
                via: "tcp:10.77.0.2:4444".parse().unwrap(),
                limits: MoveLimits::default(),
                tls_dir: None,
                promise: None,
            },
            guest: GuestInfo {
                uri,
                name: None,
                uuid: None,
                memory_bytes: None,
                ram_blocks: Vec::new(),
                vcpus: None,
                machine: None,
                accelerator: None,
            },
            source_host: HostInfo::default(),
            destination_host: HostInfo::default(),
            link: None,
            checks: Vec::new(),
            forecast: None,
            promise: None,
            missed: Vec::new(),
            energy: None,
            outcome: None,
            place: Place::RunningAtSource,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_move_without_forecast_has_all_fields() {
        let report = sample::unmoved();
        let written = serde_json::to_value(&report).unwrap();
        let read: MigrateReport = serde_json::from_value(written.clone()).unwrap();
        assert_eq!(read, report);

        let schema = schema_for!(MigrateReport);
        let required = schema.get("required").and_then(Value::as_array).unwrap();
        let fields = forecast_fields();
        assert!(fields.len() > 10 && fields.contains(&"downtime_ms".to_owned()));
        for field in fields {
            assert_eq!(written.get(&field), Some(&Value::Null), "{field}");
            assert!(required.contains(&json!(field)), "{field}");
            let forms = schema.pointer(&format!("/properties/{field}/anyOf"));
            let forms = forms.and_then(Value::as_array).unwrap();
            assert!(forms.contains(&json!({ "type": "null" })), "{field}");
        }
    }
}
