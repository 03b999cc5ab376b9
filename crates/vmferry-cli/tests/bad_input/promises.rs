//! Promises that make no sense.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::thread::{self, JoinHandle};

use serde_json::{Value, json};

use super::{ENDS, Place};

/// None of these gets as far as the monitors, which are not there (exit 40).
#[test]
fn promises_that_contradict_themselves_are_refused_before_anything_is_asked() {
    let place = Place::new();
    let migrate = |more: &[&str]| place.run(&[ENDS, more].concat());
    let predict = |more: &[&str]| place.run(&[&["predict", "qmp:/nowhere.qmp"], more].concat());
    for (arguments, words) in [
        (
            &[
                "--min-bandwidth",
                "800Mbit/s",
                "--max-bandwidth",
                "400Mbit/s",
            ][..],
            &["--min-bandwidth 800 Mbit/s is above --max-bandwidth 400 Mbit/s"][..],
        ),
        (
            &["--max-downtime", "20s", "--deadline", "10s"],
            &[
                "a pause of up to 20.0 s",
                "deadline of 10.0 s",
                "--deadline",
            ],
        ),
        (
            &["--throttle", "deadline"],
            &["--throttle deadline", "give a --deadline"],
        ),
        (
            &["--throttle", "curve", "--expectant-ratio", "0.8"],
            &["--expectant-ratio", "--throttle jin", "--throttle curve"],
        ),
        (
            &["--expectant-ratio", "0.8"],
            &["--expectant-ratio", "--throttle jin"],
        ),
        (
            &["--throttle", "jin", "--expectant-ratio", "1.5"],
            &["`1.5`", "above 0 and at most 1"],
        ),
        (
            &["--throttle", "jin", "--expectant-ratio", "half"],
            &["`half`", "0.8"],
        ),
        (
            &["--throttle", "harder"],
            &["harder", "auto, curve, deadline"],
        ),
        (&["--policy", "mild"], &["mild", "gentle, balanced, urgent"]),
        (&["--max-slowdown", "0"], &["--max-slowdown", "it is zero"]),
        (
            &["--max-slowdown", "110%"],
            &["--max-slowdown", "above 100 %"],
        ),
        (
            &["--max-slowdown=-5%"],
            &["--max-slowdown", "it is negative"],
        ),
        (
            &["--min-bandwidth", "0"],
            &["--min-bandwidth", "it is zero"],
        ),
    ] {
        migrate(arguments).expect(2, words);
        predict(arguments).expect(2, words);
    }
    for arguments in [
        &["--throttle", "curve"][..],
        &["--policy", "gentle"],
        &["--max-slowdown", "10%"],
        &["--throttle", "dirty-limit"],
    ] {
        migrate(&[arguments, &["--no-forecast"]].concat())
            .expect(2, &["--throttle", "--no-forecast observes nothing"]);
    }
    migrate(&["--throttle", "jin", "--no-forecast"]).expect(2, &["--expectant-ratio"]);
    assert_eq!(place.files(), 0);
}

#[test]
fn what_a_throttle_ignores_is_told() {
    let place = Place::new();
    let predict = |more: &[&str]| place.run(&[&["predict", "qmp:/nowhere.qmp"], more].concat());
    predict(&["--throttle", "qemu", "--policy", "urgent"]).expect(
        40,
        &["--policy is ignored: --throttle qemu", "/nowhere.qmp"],
    );
    predict(&["--throttle", "jin", "--allow-postcopy"]).expect(
        40,
        &[
            "--allow-postcopy is ignored: --throttle jin",
            "/nowhere.qmp",
        ],
    );
    // Nothing is wrong with these.
    for arguments in [
        &["--throttle", "off", "--max-slowdown", "10%"][..],
        &["--max-downtime", "200s"],
        &["--deadline", "100ms"],
        &[
            "--max-slowdown",
            "10%",
            "--policy",
            "gentle",
            "--allow-postcopy",
        ],
        &["--throttle", "jin", "--expectant-ratio", "0.8"],
    ] {
        let ended = predict(arguments).expect(40, &["/nowhere.qmp"]);
        assert!(!ended.stderr.contains("ignored"), "{}", ended.stderr);
    }
}

/// A monitor that knows nothing but the handshake, and refuses the rest with
/// these words.
fn monitor(path: &Path, class: &'static str, words: &'static str) -> JoinHandle<Vec<String>> {
    let listener = UnixListener::bind(path).expect("a socket");
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("vmferry");
        let greeting = json!({ "QMP": { "version": { "qemu": { "major": 10, "minor": 0, "micro": 2 },
            "package": "" }, "capabilities": [] } });
        writeln!(stream, "{greeting}").expect("a greeting");
        let requests = BufReader::new(stream.try_clone().expect("a copy")).lines();
        let mut asked = Vec::new();
        for request in requests.map_while(Result::ok) {
            let request: Value = serde_json::from_str(&request).expect("JSON");
            let command = request["execute"].as_str().expect("a command").to_owned();
            let id = &request["id"];
            let answer = if command == "qmp_capabilities" {
                json!({ "return": {}, "id": id })
            } else {
                json!({ "error": { "class": class, "desc": words }, "id": id })
            };
            writeln!(stream, "{answer}").expect("an answer");
            asked.push(command);
        }
        asked
    })
}

/// In QEMU's own words, with and without the command.
#[test]
fn a_dirty_limit_needs_the_dirty_ring() {
    for (class, words) in [
        (
            "GenericError",
            "dirty page limit feature requires KVM with accelerator property 'dirty-ring-size' set'",
        ),
        (
            "CommandNotFound",
            "The command set-vcpu-dirty-limit has not been found",
        ),
    ] {
        let place = Place::new();
        let socket = place.0.path().join("a.qmp");
        let asked = monitor(&socket, class, words);
        let guest = format!("qmp:{}", socket.display());
        place
            .run(&["predict", &guest, "--throttle", "dirty-limit"])
            .expect(
                40,
                &[
                    words,
                    "needs KVM with the dirty ring",
                    "-accel kvm,dirty-ring-size=4096",
                    "--throttle curve",
                ],
            );
        let asked = asked.join().expect("the monitor");
        assert_eq!(asked, ["qmp_capabilities", "set-vcpu-dirty-limit"]);
    }
}
