//! Forecasts as they are shown and recorded: corrected, restated, or refused.

mod guest;

use guest::writer;
use uuid::Uuid;
use vmferry_core::plan::MoveLimits;
use vmferry_core::{
    ByteRate, Bytes, Forecast, GuestInfo, LinkSpeed, Millis, MoveRecord, Observation, Outcome,
    OutcomeStatus, Place, Plan,
};
use vmferry_model::predictor::{
    Auto, AutoFit, CannotForecast, Case, ClosedForm, Fit, Pages, Past, Predicted, Predictor,
    RuleSet, named,
};
use vmferry_model::{Assumptions, Experience, MODEL_VERSION, forecast};

fn link() -> LinkSpeed {
    LinkSpeed::given(ByteRate::from_mbit_per_s(400.0))
}

fn limits() -> MoveLimits {
    MoveLimits {
        max_bandwidth: Some(ByteRate(1e9)),
        ..MoveLimits::default()
    }
}

fn said(observation: &Observation, assumptions: &Assumptions) -> Forecast {
    forecast(observation, &link(), &limits(), assumptions, 1).unwrap()
}

/// A move that did cost `factor` times what was forecast of it.
fn record(observation: &Observation, forecast: Forecast, factor: f64) -> MoveRecord {
    let own = forecast.uncorrected();
    let now = jiff::Timestamp::UNIX_EPOCH;
    let outcome = Outcome {
        error: None,
        total_time_ms: own.total_time_ms.map(|i| Millis(i.p50.0 * factor)),
        downtime_ms: own.downtime_ms.map(|i| Millis(i.p50.0 * factor)),
        transferred_bytes: own
            .transferred_bytes
            .map(|i| Bytes((i.p50.0 as f64 * factor) as u64)),
        ..Outcome::unseen(
            OutcomeStatus::Completed,
            Place::RunningAtDestination,
            String::new(),
            now,
            now,
        )
    };
    MoveRecord {
        schema_version: 1,
        tool_version: "0".into(),
        move_id: Uuid::nil(),
        started_at: now,
        plan: Plan {
            source: "qmp:/a.sock".parse().unwrap(),
            destination: "qmp:/b.sock".parse().unwrap(),
            via: "tcp:10.0.0.2:4444".parse().unwrap(),
            limits: limits(),
            tls_dir: None,
            promise: None,
        },
        guest: GuestInfo {
            uuid: Some("db".into()),
            ..observation.guest.clone()
        },
        source_host: observation.host.clone(),
        destination_host: observation.host.clone(),
        link: Some(link()),
        forecast: Some(forecast),
        outcome: Some(outcome),
        raw_statistics: None,
    }
}

/// What the route taught is in what is told, and not in what teaches.
#[test]
fn what_a_model_says_by_itself_stays_the_same_while_a_route_is_learned() {
    let observation = writer(20e6, 12e6);
    let plain = said(&observation, &Assumptions::tcg());
    let mut taught = Assumptions::tcg();
    (taught.learned_from, taught.link_rate.median) = (5, 0.9);
    taught.dirt.median *= 1.2;
    let case = Case::observed(&observation, link(), limits(), taught);
    for name in ["pages", "curve", "avg"] {
        let model = named(name, RuleSet::Qemu).unwrap().fit(&[]).unwrap();
        let told = model.forecast_in_full(&case, 1).unwrap();
        let own = told.uncorrected();
        let slower = told.total_time_ms.unwrap().p50.0 / own.total_time_ms.unwrap().p50.0;
        assert!(slower > 1.1, "{name}: {slower}");
        let record = record(&observation, told.clone(), 1.0);
        let past = Past::of_record(&record, None, "a-b").unwrap();
        assert_eq!(past.said.unwrap().total_time_ms, own.total_time_ms);
        if name == "pages" {
            assert_eq!(own, plain.uncorrected());
            assert_eq!(told.model.dirt_factor, taught.dirt.median);
        }
    }
    // A formula assumes nothing of it.
    let told = ClosedForm.forecast_in_full(&case, 1).unwrap();
    assert_eq!(told.model.uncorrected, None);
}

#[test]
fn corrections_are_learned_from_what_was_said_before_them() {
    let observation = writer(20e6, 12e6);
    let mut auto = Auto::default();
    let case = || Case {
        guest: Some("db"),
        route: Some("a-b"),
        ..Case::observed(&observation, link(), limits(), Assumptions::tcg())
    };
    let mut factors = Vec::new();
    let mut records = Vec::new();
    for number in 0..6 {
        let told = auto.forecast_in_full(&case(), 1).unwrap();
        let own = told.uncorrected().total_time_ms.unwrap();
        factors.push(told.total_time_ms.unwrap().p50.0 / own.p50.0);
        let record = record(&observation, told, 1.2);
        let past = Past::of_record(&record, None, "a-b").unwrap();
        auto = auto.after(&past, number);
        records.push(record);
    }
    assert_eq!(factors[0], 1.0);
    // It stays where it is right, though the corrected forecasts were right too.
    assert!((factors[5] - 1.2).abs() < 0.01, "{factors:?}");
    // What the replay took for dirt is judged without corrections.
    let plain: Vec<MoveRecord> = records.iter().cloned().map(by_itself).collect();
    assert_eq!(Experience::of(&records).dirt, Experience::of(&plain).dirt);
    let mut others = records;
    for forecast in others.iter_mut().filter_map(|r| r.forecast.as_mut()) {
        forecast.model.name = "avg".into();
    }
    assert_eq!(
        Experience::of(&others).dirt.n,
        0,
        "another model errs otherwise"
    );
}

/// As if it had never been corrected.
fn by_itself(mut record: MoveRecord) -> MoveRecord {
    if let Some(forecast) = &mut record.forecast {
        let own = forecast.uncorrected();
        forecast.transferred_bytes = own.transferred_bytes;
        forecast.model.uncorrected = None;
    }
    record
}

#[test]
fn parts_of_corrected_quantities_follow_and_the_rest_stays() {
    let observation = writer(20e6, 12e6);
    let plain = said(&observation, &Assumptions::tcg());
    let case = Case {
        guest: Some("db"),
        ..Case::observed(&observation, link(), limits(), Assumptions::tcg())
    };
    let records: Vec<MoveRecord> = (0..12)
        .map(|_| record(&observation, plain.clone(), 1.3))
        .collect();
    let pasts: Vec<Past<'_>> = records
        .iter()
        .filter_map(|record| Past::of_record(record, None, "a-b"))
        .collect();
    let auto = AutoFit::default().fit(&pasts).unwrap();
    let told = auto.forecast_in_full(&case, 1).unwrap();
    assert_eq!(told.uncorrected(), plain.uncorrected());
    let (own, wire) = (told.qemu_downtime_ms.unwrap(), told.wire_bytes.unwrap());
    let of_own = own.p50.0 / plain.qemu_downtime_ms.unwrap().p50.0;
    let of_wire = wire.p50.0 as f64 / plain.wire_bytes.unwrap().p50.0 as f64;
    assert!((of_own - 1.3).abs() < 0.05, "{of_own}");
    assert!((of_wire - 1.3).abs() < 0.02, "{of_wire}");
    assert!(own.p5.0 <= own.p50.0 && own.p50.0 <= own.p95.0);
    assert!(wire.p5 <= wire.p50 && wire.p50 <= wire.p95);
    assert_eq!(
        (told.slowdown, told.passes, told.converges_probability),
        (plain.slowdown, plain.passes, plain.converges_probability)
    );
    // A deadline that only the corrected time exceeds.
    let mut late = case.clone();
    late.limits.deadline_ms = Millis(plain.total_time_ms.unwrap().p95.0 * 1.1);
    let told = auto.forecast_in_full(&late, 1).unwrap();
    assert_eq!(told.converges_probability, 1.0);
    let tells = |note: &String| note.contains("exceeds the deadline");
    assert!(told.model.notes.iter().any(tells), "{:?}", told.model.notes);
    // The same model unasked to correct says what it always said.
    assert_eq!(Pages.forecast_in_full(&case, 1).unwrap(), plain);
}

/// Gives costs, and no verdict.
#[derive(Debug)]
struct Mute;

impl Predictor for Mute {
    fn name(&self) -> &'static str {
        "mute"
    }

    fn forecast(&self, _: &Case<'_>, _: u64) -> Result<Predicted, CannotForecast> {
        Ok(Predicted::of_formula(10.0, 0.3, 1e9))
    }
}

#[test]
fn a_model_without_a_verdict_or_a_guest_unseen_has_no_forecast_in_full() {
    let observation = writer(20e6, 12e6);
    let mut case = Case::observed(&observation, link(), limits(), Assumptions::tcg());
    let error = Mute.forecast_in_full(&case, 1).unwrap_err();
    insta::assert_snapshot!(error.to_string(), @"the model `mute` does not say whether a move converges, so that it can advise neither for one nor against; choose --model auto");
    case.observation = None;
    let error = vmferry_model::predictor::Avg::default().forecast_in_full(&case, 1);
    assert!(
        matches!(error, Err(CannotForecast::Unknown { .. })),
        "{error:?}"
    );
}

#[test]
fn what_another_version_said_teaches_no_correction() {
    let observation = writer(20e6, 12e6);
    let mut record = record(&observation, said(&observation, &Assumptions::tcg()), 1.2);
    assert_eq!(
        record.forecast.as_ref().unwrap().model.version,
        MODEL_VERSION
    );
    let past = Past::of_record(&record, None, "a-b").unwrap();
    assert!(past.said.is_some());
    record.forecast.as_mut().unwrap().model.version += 1;
    let past = Past::of_record(&record, None, "a-b").unwrap();
    assert!(past.said.is_none());
    assert!(past.measured.is_complete());
}
