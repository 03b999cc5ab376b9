//! Moves that vmferry made, as its history keeps them.

use jiff::Timestamp;
use serde_json::Value;
use vmferry::core::plan::MoveLimits;
use vmferry::core::{
    ByteRate, Bytes, CurvePoint, DirtyCurve, Forecast, GuestInfo, GuestUri, HostInfo, LinkSource,
    LinkSpeed, Millis, MoveRecord, Observation, ObservationCost, ObservationMethod, Outcome,
    OutcomeStatus, PageHistory, PageMix, Pages, Place as GuestPlace, Plan, Ratio, SCHEMA_VERSION,
    SampledPage,
};
use vmferry::history::{History, Store as _};
use vmferry::model::{Assumptions, forecast};

use super::csv::{MAP, made_up};
use super::place::Place;

fn guest(name: &str) -> GuestInfo {
    GuestInfo {
        uri: GuestUri::local("/run/a.qmp"),
        name: Some(name.into()),
        uuid: Some(format!("uuid-of-{name}")),
        memory_bytes: Some(Bytes::from_mib(256)),
        ram_blocks: Vec::new(),
        vcpus: Some(1),
        machine: None,
        accelerator: Some("tcg".into()),
    }
}

fn host() -> HostInfo {
    HostInfo {
        hostname: Some("host-a".into()),
        hypervisor: "qemu".into(),
        hypervisor_version: Some("10.0.2".into()),
        package: None,
    }
}

/// A guest of 256 MiB that writes `hot` of 256 sampled pages every look.
fn observation(name: &str, hot: usize) -> Observation {
    let pages = (0..256).map(|index| SampledPage {
        index: Pages(index * 256),
        weight: 256.0,
        zero: index >= 128,
    });
    let mut history = PageHistory::new(pages.collect());
    for look in 1..=100 {
        history.push(look * 50_000, 0..hot);
    }
    let dirtied = Bytes(hot as u64 * 256 * 4096);
    let point = |ms: f64| CurvePoint {
        window_ms: Millis(ms),
        dirtied_bytes: dirtied,
        standard_error_bytes: Bytes(0),
    };
    Observation {
        started_at: Timestamp::from_second(60).expect("a time"),
        method: ObservationMethod::PageHash,
        guest: guest(name),
        host: host(),
        window_ms: Millis(5000.0),
        window_ended_at: None,
        dirty_curve: DirtyCurve {
            points: [50.0, 500.0, 5000.0].map(point).to_vec(),
        },
        page_mix: PageMix {
            total_pages: Bytes::from_mib(256).pages(),
            zero: Some(Ratio(0.5)),
            zero_standard_error: None,
            duplicate: None,
            compressed: None,
            exact: true,
        },
        page_history: Some(history),
        slow_page_history: None,
        vcpu_use: None,
        cost: ObservationCost::default(),
        notes: Vec::new(),
    }
}

/// The `n`-th move of a guest, which took a tenth longer than was forecast.
fn moved(n: u64, name: &str, seen: &Observation) -> MoveRecord {
    let link = LinkSpeed {
        wire_rate: ByteRate::from_mbit_per_s(400.0),
        efficiency: Ratio(0.95),
        relative_sd: Ratio(0.01),
        source: LinkSource::Given,
    };
    let limits = MoveLimits::default();
    let said: Forecast = forecast(
        seen,
        &link,
        &limits,
        &Assumptions::for_guest(&seen.guest),
        1,
    )
    .expect("a forecast");
    let total = said.total_time_ms.expect("it converges").p50.0 * 1.1;
    let started_at = Timestamp::from_second(1_700_000_000 + 600 * n as i64).expect("a time");
    let outcome = Outcome {
        status: OutcomeStatus::Completed,
        place: GuestPlace::RunningAtDestination,
        error: None,
        started_at,
        ended_at: started_at + std::time::Duration::from_secs_f64(total / 1e3),
        total_time_ms: Some(Millis(total)),
        downtime_ms: said.downtime_ms.map(|i| i.p50),
        downtime_clock: None,
        qemu_downtime_ms: None,
        transferred_bytes: said.transferred_bytes.map(|i| i.p50),
        wire_bytes: None,
        slowdown: None,
        passes: None,
        post_copy: false,
        pass_list: Vec::new(),
    };
    let id = format!("{n:08x}-0000-7000-8000-000000000000");
    MoveRecord {
        schema_version: SCHEMA_VERSION,
        tool_version: vmferry::TOOL_VERSION.into(),
        move_id: id.parse().expect("a UUID"),
        started_at,
        plan: Plan {
            source: GuestUri::local("/run/a.qmp"),
            destination: GuestUri::local("/run/b.qmp"),
            via: "tcp:10.77.0.2:4444".parse().expect("an address"),
            limits,
            tls_dir: None,
            promise: None,
        },
        guest: guest(name),
        source_host: host(),
        destination_host: host(),
        link: Some(link),
        forecast: Some(said),
        outcome: Some(outcome),
        raw_statistics: None,
    }
}

/// Writes `count` moves of two guests, with what was observed before all but
/// the first.
async fn write(place: &Place, count: u64) {
    let history = History::open(&place.history()).await.expect("a history");
    for n in 0..count {
        let name = ["db", "web"][n as usize % 2];
        let seen = observation(name, 2 + n as usize % 2);
        let mut record = moved(n, name, &seen);
        let outcome = record.outcome.take().expect("an outcome");
        history.open_move(&record).await.expect("opened");
        history
            .close_move(record.move_id, &outcome, None)
            .await
            .expect("closed");
        if n > 0 {
            let kept = history.keep_observation(record.move_id, &seen).await;
            kept.expect("kept");
        }
    }
    history.close().await.expect("closed");
}

fn compared(place: &Place, options: &[&str]) -> Value {
    let arguments = [
        &["compare", "-o", "json", "--progress", "none"][..],
        options,
    ]
    .concat();
    place.run(&arguments).expect(0, &[]).document("compare")
}

fn standing<'a>(board: &'a Value, model: &str) -> &'a Value {
    let standings = board["standings"].as_array().expect("standings");
    let of = |s: &&Value| s["model"] == model && s["technique"].is_null();
    standings.iter().find(of).expect("its standing")
}

#[tokio::test]
async fn one_move_is_too_few() {
    let place = Place::new();
    write(&place, 1).await;
    place
        .run(&["compare"])
        .expect(50, &["1 made here and 0 imported", "it takes two"]);
}

#[tokio::test]
async fn live_moves_are_judged_in_time_order_and_apart() {
    let place = Place::new();
    write(&place, 8).await;
    let file = place.file("theirs.csv", &made_up(30));
    let import = ["history", "import", &file, "--map", MAP];
    place.run(&import).expect(0, &[]);
    let report = compared(&place, &[]);
    let [live, imported] = report["boards"].as_array().expect("boards").as_slice() else {
        panic!("{report:#}");
    };
    assert_eq!(
        (&live["made"], &live["holdout"]),
        (&"live".into(), &"future".into())
    );
    assert_eq!(
        (&imported["made"], imported["moves"].as_u64()),
        (&"imported".into(), Some(30))
    );
    assert_eq!(
        (live["moves"].as_u64(), live["fits"].as_u64()),
        (Some(8), Some(8))
    );
    let note = live["notes"][0].as_str().expect("a note");
    assert!(note.contains("Of 1 of these moves"), "{note}");
    // Of the first nothing is kept: models of pages refuse it, and say why.
    let pages = standing(live, "pages");
    assert_eq!(pages["forecast"], 7);
    assert!(
        pages["refusal"]
            .as_str()
            .expect("why")
            .contains("which is unknown")
    );
    // It says what it said: a tenth too little. `auto` learns from that.
    let error = |model: &str, figure: &str| standing(live, model)["total_time"][figure].as_f64();
    let of_pages = error("pages", "median").expect("forecasts");
    assert!((0.05..0.15).contains(&of_pages), "{of_pages}");
    let of_auto = error("auto", "median").expect("forecasts");
    assert!(of_auto < 0.5 * of_pages, "{of_auto} {of_pages}");
    assert_eq!(standing(live, "auto")["forecast"], 8);

    let report = compared(
        &place,
        &["--source", "live", "--guest", "db", "--models", "pages"],
    );
    assert_eq!(report["boards"][0]["moves"], 4);
    let report = compared(
        &place,
        &[
            "--source",
            "live",
            "--leave-one-out",
            "guest",
            "--models",
            "avg",
        ],
    );
    assert_eq!(report["boards"][0]["fits"], 2);
    let report = compared(
        &place,
        &[
            "--source",
            "live",
            "--leave-one-out",
            "workload",
            "--models",
            "avg",
        ],
    );
    assert_eq!(report["boards"][0]["holdout"], "future");
    // Nothing but pre-copy was made here.
    place
        .run(&["compare", "--source", "live", "--technique", "post-copy"])
        .expect(50, &["0 made here"]);
}

#[tokio::test]
async fn a_damaged_observation_is_told_and_the_rest_goes_on() {
    use sqlx::Connection as _;
    let place = Place::new();
    write(&place, 4).await;
    let url = format!("sqlite://{}", place.history().display());
    let mut connection = sqlx::SqliteConnection::connect(&url)
        .await
        .expect("a database");
    sqlx::query("UPDATE observations SET observation = x'00' WHERE move_id LIKE '00000002%'")
        .execute(&mut connection)
        .await
        .expect("damaged");
    sqlx::query("UPDATE moves SET record = '{}' WHERE id LIKE '00000003%'")
        .execute(&mut connection)
        .await
        .expect("damaged");
    connection.close().await.expect("closed");
    let report = compared(&place, &["--models", "pages,avg"]);
    let notes = report["notes"].to_string();
    for part in [
        "The move 00000002-0000-7000-8000-000000000000 goes without its observation",
        "The move 00000003-0000-7000-8000-000000000000 is left out",
    ] {
        assert!(notes.contains(part), "{notes}");
    }
    let board = &report["boards"][0];
    assert_eq!(board["moves"], 3);
    assert_eq!(standing(board, "pages")["forecast"], 1);
    assert_eq!(standing(board, "avg")["forecast"], 3);
}
