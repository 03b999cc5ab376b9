use super::*;
use crate::earlier::tests::sample::{
    Draws, SHARE, Truth, guest, limits, link, move_of, observed, plain, route,
};
use vmferry_core::{ByteRate, Bytes, ExitCode, Interval, Millis, MoveRecord};

/// Fewer replays than usual, that many moves take less.
fn taken_for_granted(earlier: &Earlier) -> Assumptions {
    Assumptions {
        samples: 30,
        ..Assumptions::tcg().with(&earlier.experience())
    }
}

async fn said(
    name: &str,
    records: &[MoveRecord],
    observation: &Observation,
) -> Result<Forecast, Error> {
    let guest = &observation.guest;
    let earlier = Earlier::new(records.to_vec(), guest, Some(route()));
    let assumptions = taken_for_granted(&earlier);
    let model = Fitted::new(name, &earlier, guest)?;
    model
        .forecast(&assumptions, observation, &link(), &limits())
        .await
}

/// One move after another of a guest, each forecast with what those before
/// taught: forecasts and what came of them.
async fn history_of(truths: &[Truth]) -> Vec<(Forecast, MoveRecord)> {
    let observation = observed("db", SHARE);
    let plain = plain(&observation);
    let mut draws = Draws(7);
    let (mut records, mut found) = (Vec::new(), Vec::new());
    for (n, truth) in (0..).zip(truths) {
        let forecast = said(DEFAULT, &records, &observation).await.unwrap();
        let outcome = truth.outcome(&plain, &mut draws);
        let record = move_of("db", n, Some(forecast.clone()), Some(outcome));
        records.push(record.clone());
        found.push((forecast, record));
    }
    found
}

fn total(record: &MoveRecord) -> Millis {
    record.outcome.as_ref().unwrap().total_time_ms.unwrap()
}

/// Shares by which medians of the total time were off, sorted.
fn errors(moves: &[(Forecast, MoveRecord)]) -> Vec<f64> {
    let mut errors: Vec<f64> = moves
        .iter()
        .map(|(f, record)| (f.total_time_ms.unwrap().p50.0 / total(record).0 - 1.0).abs())
        .collect();
    errors.sort_by(f64::total_cmp);
    errors
}

fn coverage(moves: &[(Forecast, MoveRecord)]) -> f64 {
    let covers =
        |(f, record): &&(Forecast, MoveRecord)| f.total_time_ms.unwrap().covers(&total(record));
    moves.iter().filter(covers).count() as f64 / moves.len() as f64
}

const TRUE: Truth = Truth {
    slower: 1.0,
    more: 1.0,
    noise: 0.01,
};

#[tokio::test]
async fn after_three_moves_a_constant_factor_is_known() {
    for truth in [
        // Neither link nor guest: a factor of this guest alone.
        Truth { more: 1.2, ..TRUE },
        // A slower link, which the route's experience learns as well.
        Truth {
            slower: 1.12,
            ..TRUE
        },
        Truth {
            slower: 0.95,
            more: 1.1,
            ..TRUE
        },
    ] {
        let moves = history_of(&[truth; 12]).await;
        let first = errors(&moves[..1]);
        assert!(first[0] > 0.04, "{truth:?}: {first:?}");
        let later = errors(&moves[3..]);
        assert!(later[later.len() / 2] < 0.02, "{truth:?}: {later:?}");
        assert!(later[later.len() - 1] < 0.05, "{truth:?}: {later:?}");
        let last = &moves[11].0;
        let (own, wire) = (last.uncorrected(), last.wire_bytes.unwrap());
        assert!(last.model.uncorrected.is_some(), "{truth:?}");
        assert_ne!(own.total_time_ms, last.total_time_ms);
        let on_wire = last.transferred_bytes.unwrap().p50.0 as f64 / link().efficiency.0;
        assert!((wire.p50.0 as f64 / on_wire - 1.0).abs() < 1e-3);
    }
}

#[tokio::test]
async fn a_guest_that_changes_is_covered_again_and_the_drift_told() {
    let mut truths = vec![TRUE; 40];
    truths.extend([Truth { more: 1.3, ..TRUE }; 40]);
    let moves = history_of(&truths).await;
    let tells = |(forecast, _): &(Forecast, MoveRecord)| {
        let notes = &forecast.model.notes;
        notes.iter().any(|note| note.contains("has changed"))
    };
    let before = moves[..40].iter().position(tells);
    let told = moves.iter().position(tells);
    assert_eq!(before, None);
    assert!((41..46).contains(&told.unwrap()), "{told:?}");
    let all = coverage(&moves);
    assert!((0.85..=0.97).contains(&all), "{all}");
    let after = coverage(&moves[46..]);
    assert!((0.82..=1.0).contains(&after), "{after}");
    let later = errors(&moves[46..]);
    assert!(later[later.len() / 2] < 0.02, "{later:?}");
}

#[tokio::test]
async fn auto_tells_what_it_rests_on() {
    let moves = history_of(&[Truth { more: 1.2, ..TRUE }; 4]).await;
    let notes = |n: usize| moves[n].0.model.notes.join("\n");
    assert_eq!(moves[3].0.model.name, "pages");
    insta::assert_snapshot!(notes(0), @"
    Model `pages`: it is known which pages the guest dirties when.
    Nothing learned yet from moves of this guest.
    Nothing learned yet of link, sockets and dirt from earlier moves over this route.
    ");
    insta::assert_snapshot!(notes(3), @"
    Model `pages`: it is known which pages the guest dirties when.
    Corrections learned from 3 moves of this guest and 3 moves over this route.
    Link, sockets and dirt as learned from 3 earlier moves over this route.
    Corrected: total time by +18.9 %, as 3 moves of this guest taught.
    Intervals are not calibrated yet: 3 of 9 moves.
    Corrected: downtime by -1.2 %, as 3 moves of this guest taught.
    Corrected: transferred bytes by +18.7 %, as 3 moves of this guest taught.
    ");
}

#[tokio::test]
async fn other_models_fill_what_they_say() {
    let observation = observed("db", SHARE);
    let ours = said("pages", &[], &observation).await.unwrap();
    assert!(ours.slowdown.is_some() && ours.passes.is_some());
    for (name, rules, samples) in [
        ("avg", "qemu", 40),
        ("hist", "qemu", 120),
        ("base", "qemu", 40),
        ("textbook", "textbook", 40),
        ("closed-form", "textbook", 0),
    ] {
        let forecast = said(name, &[], &observation).await.unwrap();
        let model = &forecast.model;
        assert_eq!(
            (&*model.name, &*model.rules, model.samples),
            (name, rules, samples)
        );
        assert_eq!((forecast.slowdown, forecast.passes), (None, None));
        assert_eq!(
            (forecast.qemu_downtime_ms, &model.uncorrected),
            (None, &None)
        );
        let off = forecast.total_time_ms.unwrap().p50.0 / ours.total_time_ms.unwrap().p50.0;
        assert!((0.8..1.25).contains(&off), "{name}: {off}");
        assert!(forecast.wire_bytes.unwrap().p50 > forecast.transferred_bytes.unwrap().p50);
        // It is recorded, and read again.
        let record = move_of("db", 1, Some(forecast), None);
        let text = serde_json::to_string(&record).unwrap();
        let read: MoveRecord = serde_json::from_str(&text).unwrap();
        assert_eq!(read.forecast.unwrap().model, record.forecast.unwrap().model);
    }
    let away = said("post-copy", &[], &observation).await.unwrap();
    assert!(away.downtime_ms.unwrap().p50.0 < ours.downtime_ms.unwrap().p50.0);
}

#[tokio::test]
async fn what_a_model_cannot_know_has_an_exit_code_of_its_own() {
    let full = observed("db", SHARE);
    let mut coarse = full.clone();
    coarse.page_history = None;
    let mut busy = full.clone();
    for point in &mut busy.dirty_curve.points {
        point.dirtied_bytes = Bytes(100_000_000);
    }
    let mut lines = Vec::new();
    for (name, observation) in [
        ("hist", &coarse),
        ("pages", &coarse),
        ("closed-form", &busy),
        ("refined", &full),
        ("learned", &full),
    ] {
        let error = said(name, &[], observation).await.unwrap_err();
        assert_eq!(error.exit_code(), ExitCode::TooLittleData, "{error}");
        lines.push(error.to_string());
    }
    let error = describes_our_moves("post-copy").unwrap_err();
    assert_eq!(error.exit_code(), ExitCode::TooLittleData);
    lines.push(error.to_string());
    let error = said("crystal-ball", &[], &full).await.unwrap_err();
    assert_eq!(error.exit_code(), ExitCode::Usage);
    lines.push(error.to_string());
    insta::assert_snapshot!(lines.join("\n"), @"
    guest db: the model `hist` needs a history of which pages are dirtied when, which is unknown; record the guest for some seconds
    guest db: the model `pages` needs a history of which pages are dirtied when, which is unknown; record the guest for some seconds
    guest db: it dirties 800 Mbit/s over a link of 383 Mbit/s: the closed form needs less dirt than bandwidth; choose --model pages or give more --bandwidth
    the model `refined` learns from earlier moves with a known guest and its dirty rate per pass: it needs 1, and there are 0; move more guests, or import a history
    the model `learned` learns from earlier moves with size, dirty rate, bandwidth, total time and an end of their own: it needs 8, and there are 0; move more guests, or import a history
    the model `post-copy` does not describe pre-copy; choose another one, for example --model auto
    there is no model `crystal-ball`; choose one of auto, pages, curve, hist, avg, base, refined, textbook, closed-form, post-copy, learned
    ");
}

#[tokio::test]
async fn refined_and_learned_work_from_records() {
    let observation = observed("db", SHARE);
    let moves = history_of(&[TRUE; 8]).await;
    let records: Vec<MoveRecord> = moves.into_iter().map(|(_, record)| record).collect();
    let refined = said("refined", &records, &observation).await.unwrap();
    let note = "Dirty rate learned from 8 moves of this guest";
    assert!(refined.model.notes.iter().any(|n| n.starts_with(note)));
    let learned = said("learned", &records, &observation).await.unwrap();
    let errs = learned.total_time_ms.unwrap().p50.0 / total(&records[7]).0 - 1.0;
    assert!(errs.abs() < 0.1, "{errs}");
    // Neither is told from one move of another guest.
    let other = observed("web", SHARE);
    assert!(said("learned", &records[..1], &other).await.is_err());
}

#[tokio::test]
async fn a_record_of_a_version_before_corrections_is_read_and_taught_from() {
    let observation = observed("db", SHARE);
    let forecast = plain(&observation);
    let truth = Truth { more: 1.2, ..TRUE };
    let outcome = truth.outcome(&forecast, &mut Draws(3));
    let record = move_of("db", 1, Some(forecast), Some(outcome));
    let mut document = serde_json::to_value(&record).unwrap();
    let model = document["forecast"]["model"].as_object_mut().unwrap();
    assert!(!model.contains_key("uncorrected"), "nothing was corrected");
    assert!(model.remove("dirt_factor").is_some());
    let old: MoveRecord = serde_json::from_value(document).unwrap();
    let taught = said(DEFAULT, &[old], &observation).await.unwrap();
    let untaught = said(DEFAULT, &[], &observation).await.unwrap();
    let median = |f: &Forecast| f.total_time_ms.map(|Interval { p50, .. }| p50.0).unwrap();
    assert!(median(&taught) > 1.1 * median(&untaught));
    // Another version of the models errs otherwise, and teaches no correction.
    let mut newer = record;
    newer.forecast.as_mut().unwrap().model.version += 1;
    let said = said(DEFAULT, &[newer], &observation).await.unwrap();
    let corrected = |note: &String| note.starts_with("Corrected:");
    assert!(taught.model.notes.iter().any(corrected));
    assert!(!said.model.notes.iter().any(corrected));
}

#[test]
fn a_fast_link_is_no_reason_to_panic() {
    let earlier = Earlier::default();
    let guest = guest("db");
    let now = Assumptions::tcg();
    let fitted = Fitted::new("auto", &earlier, &guest).unwrap();
    let (observation, limits) = (observed("db", 0.0), limits());
    let fast = LinkSpeed::given(ByteRate::from_mbit_per_s(100_000.0));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let forecast = runtime
        .block_on(fitted.forecast(&now, &observation, &fast, &limits))
        .unwrap();
    assert_eq!(forecast.converges_probability, 1.0);
}
