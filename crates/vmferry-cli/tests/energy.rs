//! `vmferry profile energy`: from meters, logs and others' measurements to
//! profiles. No test needs a hypervisor or a power sensor.

mod ended;
#[path = "comparing/place.rs"]
#[expect(dead_code, reason = "nothing is read from standard input here")]
mod place;
#[path = "site/schema.rs"]
mod schema;

#[path = "simulate/files.rs"]
#[expect(dead_code, reason = "only its observation is needed")]
mod files;

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};

use jiff::Timestamp;
use serde_json::{Value, json};
use vmferry::core::plan::MoveLimits;
use vmferry::core::{
    Bytes, GuestInfo, GuestUri, HostInfo, MoveRecord, Outcome, OutcomeStatus, Place as GuestPlace,
    Plan, SCHEMA_VERSION,
};
use vmferry::history::{History, Store as _};

use place::Place;

/// When the log begins, in seconds since 1970.
const MORNING: i64 = 1_769_860_800;
/// From move to move.
const APART: i64 = 120;
/// Sizes of the moves, in MB, at 50 MB/s.
const SIZES: [i64; 6] = [400, 1000, 600, 1600, 2000, 1200];

fn guest() -> GuestInfo {
    GuestInfo {
        uri: GuestUri::local("/run/a.qmp"),
        name: Some("web".into()),
        uuid: None,
        memory_bytes: Some(Bytes::from_mib(2048)),
        ram_blocks: Vec::new(),
        vcpus: Some(1),
        machine: None,
        accelerator: None,
    }
}

/// The `n`-th move, which began a minute after the one before had its turn.
fn moved(n: usize, source: &str) -> MoveRecord {
    let host = |name: &str| HostInfo {
        hostname: Some(name.into()),
        ..HostInfo::default()
    };
    let began = MORNING + 60 + APART * n as i64;
    let at = |second: i64| Timestamp::from_second(second).expect("a time");
    let place = GuestPlace::RunningAtDestination;
    let ended = at(began + SIZES[n] / 50);
    let mut outcome = Outcome::unseen(
        OutcomeStatus::Completed,
        place,
        String::new(),
        at(began),
        ended,
    );
    outcome.error = None;
    outcome.transferred_bytes = Some(Bytes(SIZES[n] as u64 * 1_000_000));
    let id = format!("{n:08x}-0000-7000-8000-000000000000");
    MoveRecord {
        schema_version: SCHEMA_VERSION,
        tool_version: "0.1.0".into(),
        move_id: id.parse().expect("an identifier"),
        started_at: at(began),
        plan: Plan {
            source: guest().uri,
            destination: GuestUri::local("/run/b.qmp"),
            via: "tcp:10.0.0.2:4444".parse().expect("an address"),
            limits: MoveLimits::default(),
            tls_dir: None,
        },
        guest: guest(),
        source_host: host(source),
        destination_host: host("beta"),
        link: None,
        forecast: None,
        outcome: Some(outcome),
        raw_statistics: None,
    }
}

fn keep(place: &Place, records: &[MoveRecord]) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let history = History::open(&place.history()).await.expect("a history");
        for record in records {
            history.open_move(record).await.expect("written");
            let outcome = record.outcome.as_ref().expect("an outcome");
            let closed = history.close_move(record.move_id, outcome, None).await;
            closed.expect("written");
        }
        history.close().await.expect("closed");
    });
}

/// A second's power: `E = alpha V + beta` over each move, above 180 W that
/// waver by a third of a watt.
fn log(alpha: f64, beta: f64) -> String {
    let mut text = "time,power_w\n".to_owned();
    for second in 0..=60 + APART * SIZES.len() as i64 {
        let quiet = 180.0 + (second % 3 - 1) as f64 / 3.0;
        let turn = (second - 60).div_euclid(APART);
        let within = (second - 60).rem_euclid(APART);
        let size = usize::try_from(turn).ok().and_then(|n| SIZES.get(n));
        let above = match size {
            // The reading at the end of each of its seconds.
            Some(size) if (1..=size / 50).contains(&within) => {
                (alpha * *size as f64 + beta) / (*size as f64 / 50.0)
            }
            _ => 0.0,
        };
        text.push_str(&format!("{},{}\n", MORNING + second, quiet + above));
    }
    text
}

#[test]
fn nothing_is_known_at_first() {
    let place = Place::new();
    let ended = place.run(&["profile", "energy"]).expect(0, &[]);
    assert!(
        ended
            .stdout
            .starts_with("no energy profile and no measured moves"),
        "{}",
        ended.stdout
    );
    let report = place
        .run(&["profile", "energy", "-o", "json"])
        .document("profile-energy");
    assert_eq!(report["measurements"], 0);
    place
        .run(&["profile", "energy", "--fit"])
        .expect(50, &["0 measured moves", "at least 3"]);
}

#[test]
fn logs_of_both_hosts_become_profiles_of_them_and_their_pair() {
    let place = Place::new();
    let moves: Vec<MoveRecord> = (0..SIZES.len()).map(|n| moved(n, "alpha")).collect();
    keep(&place, &moves);
    let source = format!("csv:{}", place.file("source.csv", &log(0.3, 12.0)));
    let destination = format!("csv:{}", place.file("destination.csv", &log(0.212, 8.165)));
    let meters = ["--meter", &source, "--destination-meter", &destination];
    let measure = [&["profile", "energy", "--moves", "-o", "json"][..], &meters].concat();
    let report = place
        .run(&measure)
        .expect(0, &[])
        .document("profile-energy");
    assert_eq!(report["measurements"], 6);
    let first = &report["measured"][0];
    let energy = |side: &str| first[side]["energy_j"].as_f64().expect("an energy");
    assert!((energy("source") - 132.0).abs() < 3.0, "{first}");
    assert!((energy("destination") - 92.965).abs() < 3.0, "{first}");
    assert_eq!(first["source_host"], "alpha");

    // Nothing is taken twice.
    let again = place
        .run(&measure)
        .expect(0, &["was measured with these meters before"]);
    let again = again.document("profile-energy");
    assert_eq!(again["measured"].as_array().map(Vec::len), Some(0));
    assert_eq!(again["measurements"], 6);

    let fitted = place
        .run(&["profile", "energy", "--fit", "-o", "json"])
        .expect(0, &[])
        .document("profile-energy");
    let profiles = fitted["profiles"].as_array().expect("profiles");
    let line = |side: &str| {
        let found = profiles.iter().find(|p| p["side"] == side).expect(side);
        let of = |what: &str| found["fit"][what]["p50"].as_f64().expect("a number");
        (of("alpha_j_per_mb"), of("beta_j"))
    };
    for (side, alpha, beta) in [
        ("source", 0.3, 12.0),
        ("destination", 0.212, 8.165),
        ("pair", 0.512, 20.165),
    ] {
        let (a, b) = line(side);
        assert!(
            (a - alpha).abs() < 0.005 && (b - beta).abs() < 4.0,
            "{side}: {a} {b}"
        );
    }
    // What was kept is what is listed.
    let listed = place
        .run(&["profile", "energy", "-o", "json"])
        .document("profile-energy");
    let mut kept = listed["profiles"].as_array().expect("profiles").clone();
    kept.sort_by_key(|p: &Value| profiles.iter().position(|other| other["side"] == p["side"]));
    assert_eq!(&kept, profiles);
    let table = place.run(&["profile", "energy"]).expect(0, &[]).stdout;
    assert!(
        table.contains("pair         alpha > beta by log"),
        "{table}"
    );
    assert!(table.contains("6 measured moves in the history"), "{table}");
}

#[test]
fn logs_that_tell_nothing_say_why() {
    let place = Place::new();
    let energy =
        |arguments: &[&str]| place.run(&[&["profile", "energy", "--moves"], arguments].concat());
    let good = place.file("good.csv", &log(0.5, 20.0));
    let good = format!("csv:{good}");
    energy(&["--meter", &good]).expect(1, &["no history yet"]);
    keep(&place, &[moved(0, "alpha"), moved(1, "gamma")]);
    energy(&["--meter", &good]).expect(2, &["(alpha, gamma)", "--source-host"]);
    let rows: Vec<String> = log(0.5, 20.0).lines().map(str::to_owned).collect();
    let with = |name: &str, change: &dyn Fn(usize, &str) -> Option<String>| {
        let lines = rows
            .iter()
            .enumerate()
            .filter_map(|(n, row)| change(n, row));
        let text: Vec<String> = lines.collect();
        format!(
            "csv:{}",
            place.file(name, &format!("{}\n", text.join("\n")))
        )
    };
    let of = |log: &str, code: i32, words: &[&str]| {
        energy(&["--meter", log, "--source-host", "alpha"]).expect(code, words);
    };
    let stalled = with("stalled.csv", &|n, row| {
        (!(62..70).contains(&n)).then(|| row.to_owned())
    });
    of(&stalled, 0, &["move 00000000", "said nothing for 9.0 s"]);
    let wild = with("wild.csv", &|n, row| {
        Some(if n == 65 {
            format!("{},1e9", MORNING + 64)
        } else {
            row.to_owned()
        })
    });
    of(&wild, 0, &["a power of 1000000000 W", "makes no sense"]);
    let restless = with("restless.csv", &|n, row| {
        let power = if n % 2 == 0 { 150 } else { 250 };
        Some(match n {
            45..60 => format!("{},{power}", MORNING + n as i64 - 1),
            _ => row.to_owned(),
        })
    });
    of(
        &restless,
        0,
        &["was not stable", "while the host's load is steady"],
    );
    let late = with("late.csv", &|n, row| {
        (n == 0 || n > 55).then(|| row.to_owned())
    });
    of(&late, 0, &["begin to meter earlier"]);
    let other = place.file("other.csv", "1600000000,100\n1600000001,100\n");
    of(
        &format!("csv:{other}"),
        50,
        &["none of the 1 completed moves", "lies within the logs"],
    );
    let wrong = place.file("wrong.csv", "1600000000,100\nnoon,100\n");
    of(&format!("csv:{wrong}"), 2, &["line 2: `noon` is no time"]);
    // None of it was kept.
    let report = place
        .run(&["profile", "energy", "-o", "json"])
        .document("profile-energy");
    assert_eq!(report["measurements"], 0);
}

#[test]
fn measurements_of_others_are_fitted() {
    let place = Place::new();
    // By liu2011's line, a little off.
    let mut csv = "transferred_mb,energy_j,note\n".to_owned();
    for (n, mb) in [200, 500, 800, 1100, 1400, 1700, 2000].iter().enumerate() {
        let off = [6.0, -8.0, 3.0, -2.0, 5.0, -9.0, 5.0][n];
        csv.push_str(&format!(
            "{mb},{},x\n",
            0.512 * f64::from(*mb) + 20.165 + off
        ));
    }
    let file = place.file("theirs.csv", &csv);
    let fit = ["profile", "energy", "--fit", "--measurements", &file];
    place
        .run(&[&fit[..], &["--source-host", "alpha"]].concat())
        .expect(2, &["--destination-host"]);
    let hosts = ["--source-host", "alpha", "--destination-host", "beta"];
    let ended = place.run(&[&fit[..], &hosts].concat()).expect(0, &[]);
    insta::assert_snapshot!(ended.stdout, @r"
    pair         alpha > beta by measurements in theirs.csv
    alpha        0.512 (0.503 to 0.520) J/MB
    beta         20.6 (9.5 to 31.6) J
    fit          R^2 0.9996, residuals 7.0 J, 7 moves
    ");
    let listed = place
        .run(&["profile", "energy", "-o", "json"])
        .document("profile-energy");
    assert_eq!(listed["profiles"][0]["side"], "pair");

    let wrong = |text: &str, words: &[&str]| {
        let file = place.file("wrong.csv", text);
        let fit = ["profile", "energy", "--fit", "--measurements", &file];
        place.run(&[&fit[..], &hosts].concat()).expect(2, words);
    };
    wrong(
        "mb,energy_j\n1,2\n",
        &["no column transferred_bytes or transferred_mb"],
    );
    wrong("transferred_mb,joules\n1,2\n", &["no column energy_j"]);
    wrong(
        "transferred_mb,energy_j\n1,2\n2,NaN\n",
        &["line 3: energy_j is `NaN`"],
    );
    wrong(
        "transferred_mb,energy_j\n0,2\n",
        &["line 2: a move sends something"],
    );
    let alike = place.file(
        "alike.csv",
        "transferred_mb,energy_j\n100,1\n110,2\n120,3\n",
    );
    let fit = ["profile", "energy", "--fit", "--measurements", &alike];
    place
        .run(&[&fit[..], &hosts].concat())
        .expect(50, &["sent about as much", "guests of other sizes"]);
}

#[test]
fn meters_are_tried_before_they_are_relied_on() {
    let place = Place::new();
    let sensor = place.file("power1_input", "183500000\n");
    let run = place.run(&[
        "profile",
        "energy",
        "--meter",
        &format!("hwmon:{sensor}"),
        "--background",
        "10s",
        "--interval",
        "500ms",
        "-o",
        "json",
    ]);
    let report = run
        .expect(0, &["metering for 10 s"])
        .document("profile-energy");
    let background = &report["meters"][0]["background"];
    let power = background["power_w"].as_f64().expect("a power");
    assert!((power - 183.5).abs() < 1e-6, "{background}");
    assert!(background["deviation_w"].as_f64().expect("a deviation") < 1e-6);
    let meter = |meter: &str, words: &[&str]| {
        place
            .run(&["profile", "energy", "--meter", meter])
            .expect(40, words);
    };
    let dir = place.history();
    let empty = dir.parent().expect("a directory").display().to_string();
    meter(
        &format!("rapl:{empty}"),
        &["no package to count", "not from within a guest"],
    );
    meter(
        "hwmon:/nowhere/power1_input",
        &["/nowhere/power1_input", "No such file"],
    );
    meter(
        "redfish:http://127.0.0.1:1/redfish/v1/Chassis/1",
        &["http://127.0.0.1:1/"],
    );
    meter(
        "prometheus:http://127.0.0.1:1?query=watts",
        &["http://127.0.0.1:1/api/v1/query"],
    );
    let nonsense = place.file("power2_input", "1000000000000000\n");
    meter(
        &format!("hwmon:{nonsense}"),
        &["1000000000 W, which no host draws"],
    );
    let old = place.file("old.csv", "1600000000,100\n");
    meter(&format!("csv:{old}"), &["stalled: nothing new for"]);
}

/// Answers what a forecast asks a guest's monitor, and knows no more.
fn monitor(stream: &UnixStream) -> std::io::Result<()> {
    let mut write = stream;
    let version = json!({ "qemu": { "major": 10, "minor": 0, "micro": 2 }, "package": "" });
    writeln!(
        write,
        "{}",
        json!({ "QMP": { "version": version, "capabilities": [] } })
    )?;
    for line in BufReader::new(stream).lines() {
        let request: Value = serde_json::from_str(&line?)?;
        let answer = match request["execute"].as_str().unwrap_or_default() {
            "qmp_capabilities" => json!({}),
            "query-name" => json!({ "name": "web" }),
            "query-migrate-parameters" => json!({ "downtime-limit": 300 }),
            "query-migrate-capabilities" | "query-qmp-schema" | "query-cpus-fast" => json!([]),
            "human-monitor-command" => json!(""),
            other => {
                let error = json!({ "class": "CommandNotFound", "desc": format!("no {other}") });
                writeln!(write, "{}", json!({ "error": error, "id": request["id"] }))?;
                continue;
            }
        };
        writeln!(
            write,
            "{}",
            json!({ "return": answer, "id": request["id"] })
        )?;
    }
    Ok(())
}

#[test]
fn forecasts_say_the_energy_of_hosts_with_a_profile() {
    let place = Place::new();
    let path = place.history().with_file_name("qmp");
    let listener = UnixListener::bind(&path).expect("a socket");
    // It hangs up when it will; one client at a time.
    std::thread::spawn(move || {
        listener
            .incoming()
            .flatten()
            .for_each(|s| drop(monitor(&s)))
    });
    let profile = String::from_utf8(files::profile(true)).expect("JSON");
    let profile = place.file("guest.json", &profile);
    let guest = format!("qmp:{}", path.display());
    let predict = [
        "predict",
        &guest,
        "--bandwidth",
        "400Mbit/s",
        "--profile",
        &profile,
    ];
    let as_json = [&predict[..], &["-o", "json"]].concat();

    let before = place.run(&as_json).expect(0, &[]).document("predict");
    assert_eq!(before["energy"], Value::Null);
    let table = place.run(&predict).expect(0, &[]).stdout;
    assert!(table.contains("energy       no energy profile"), "{table}");

    // This machine has no power sensor: what stands here is made up.
    let here = nix::unistd::gethostname().expect("a name");
    let here = here.into_string().expect("text");
    let csv = "transferred_mb,source_energy_j\n20,16\n40,25\n60,36\n80,45\n100,56\n120,65\n";
    let csv = place.file("made-up.csv", csv);
    place
        .run(&[
            "profile",
            "energy",
            "--fit",
            "--measurements",
            &csv,
            "--source-host",
            &here,
        ])
        .expect(0, &[]);
    let after = place.run(&as_json).expect(0, &[]).document("predict");
    let energy = &after["energy"];
    assert_eq!(energy["hosts"], "source");
    assert_eq!(energy["meters"][0], "measurements in made-up.csv");
    assert_eq!(energy["measurements"], 6);
    let number = |value: &Value| value.as_f64().expect("a number");
    let sent = number(&after["transferred_bytes"]["p50"]) / 1e6;
    // The line through these points is 0.494 V + 5.9.
    let expected = 0.4943 * sent + 5.9;
    assert!(
        (number(&energy["energy_j"]["p50"]) / expected - 1.0).abs() < 0.01,
        "{after:#}"
    );
    assert!(
        number(&energy["energy_j"]["p5"]) < expected
            && number(&energy["energy_j"]["p95"]) > expected
    );
    let table = place.run(&predict).expect(0, &[]).stdout;
    // Of its own in the table, among the other quantities.
    let mut rows = table.lines().map(str::trim_start);
    let row = rows.find(|row| row.starts_with("energy ") && row.contains(" J "));
    assert!(row.is_some(), "{table}");
    assert!(
        table.contains("energy       of source, by measurements in made-up.csv, from 6"),
        "{table}"
    );
    assert!(
        table.contains("note: The energy is the source's alone"),
        "{table}"
    );
}
