//! With a guest's monitor of ours: a move under a meter, a forecast with energy.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::{Value, json};
use vmferry::core::{GuestUri, MoveEvent};
use vmferry::migrate::StateDir;
use vmferry::migrate::takeover::RECORD_FILE;

use crate::files;
use crate::moves::{keep, moved};
use crate::place::Place;

/// Answers what is asked of the monitor of a guest that does not migrate, and
/// knows no more; tells of every look at its migration.
fn monitor(stream: &UnixStream, looks: &mpsc::Sender<()>) -> std::io::Result<()> {
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
            "query-migrate" => {
                // Not every test counts.
                let _ = looks.send(());
                json!({})
            }
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

/// A guest beside the history, one client at a time, and the looks at it.
fn guest_at(place: &Place) -> (PathBuf, mpsc::Receiver<()>) {
    let path = place.history().with_file_name("qmp");
    let listener = UnixListener::bind(&path).expect("a socket");
    let (looks, seen) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // It hangs up when it will.
            let _ = monitor(&stream, &looks);
        }
    });
    (path, seen)
}

#[test]
fn a_move_of_vmferry_is_metered_by_its_events() {
    let place = Place::new();
    let (path, looks) = guest_at(&place);
    let sensor = place.file("power1_input", "100000000\n");
    let mut record = moved(0, "alpha");
    record.plan.source = GuestUri::local(&path);
    keep(&place, &[record.clone()]);
    let guest = format!("qmp:{}", path.display());
    let meter = format!("hwmon:{sensor}");
    #[rustfmt::skip]
    let watch = [
        "profile", "energy", "--meter", &meter, "--watch", &guest, "--background", "10s",
        "--interval", "500ms", "--source-host", "alpha", "-o", "json",
    ];
    let (ended, took) = std::thread::scope(|scope| {
        let metering = scope.spawn(|| place.run(&watch));
        // Four looks a second: twelve seconds of background.
        for _ in 0..48 {
            looks.recv().expect("a look");
        }
        // Now what another vmferry does that moves the guest.
        let state = StateDir::at(place.history().with_file_name("state"));
        let (dir, _owner) = state.create_move(record.move_id).expect("a move");
        let began = Instant::now();
        let began_at = Timestamp::now();
        std::fs::write(&sensor, "150000000\n").expect("written");
        std::fs::write(dir.events_path(), "").expect("written");
        dir.write_json(RECORD_FILE, &record).expect("written");
        // Its monitor is left alone meanwhile; a look may have been on its way.
        while looks.recv_timeout(Duration::from_secs(2)).is_ok() {}
        std::fs::write(&sensor, "100000000\n").expect("written");
        let mut outcome = record.outcome.clone().expect("an outcome");
        (outcome.started_at, outcome.ended_at) = (began_at, Timestamp::now());
        let took = began.elapsed();
        let event = MoveEvent::Ended {
            outcome: Box::new(outcome),
        };
        let line = serde_json::to_string(&event).expect("JSON");
        std::fs::write(dir.events_path(), format!("{line}\n")).expect("written");
        (metering.join().expect("metered"), took.as_secs_f64())
    });
    let report = ended
        .expect(0, &["the migration began"])
        .document("profile-energy");
    let measured = &report["measured"][0];
    assert_eq!(measured["move_id"], record.move_id.to_string());
    assert_eq!(measured["destination_host"], "beta");
    assert_eq!(measured["transferred_bytes"], 400_000_000);
    let energy = measured["source"]["energy_j"].as_f64().expect("an energy");
    // 50 W above the background, to a reading at each end.
    assert!(
        (energy / 50.0 - took).abs() < 0.4 * took,
        "{energy} J in {took} s"
    );
    assert_eq!(report["measurements"], 1);
    let id = record.move_id.to_string();
    let shown = place.run(&["history", "show", &id]).expect(0, &[]).stdout;
    assert!(shown.contains("J at the source, by hwmon"), "{shown}");
}

#[test]
fn forecasts_say_the_energy_of_hosts_with_a_profile() {
    let place = Place::new();
    let (path, _looks) = guest_at(&place);
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
