//! `vmferry profile energy`: from meters, logs and others' measurements to
//! profiles. No test needs a hypervisor or a power sensor.

mod ended;
#[path = "simulate/files.rs"]
#[expect(dead_code, reason = "only its observation is needed")]
mod files;
#[path = "energy/guest.rs"]
mod guest;
#[path = "energy/moves.rs"]
mod moves;
#[path = "comparing/place.rs"]
#[expect(dead_code, reason = "nothing is read from standard input here")]
mod place;
#[path = "site/schema.rs"]
mod schema;

use serde_json::Value;
use vmferry::core::MoveRecord;

use moves::{MORNING, SIZES, keep, log, moved};
use place::Place;

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
    place
        .run(&["profile", "energy", "--svg", "none.svg"])
        .expect(50, &["no profile to draw"]);
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
    let svg = place.history().with_file_name("energy.svg");
    let drawn = ["profile", "energy", "--svg", &svg.display().to_string()];
    let table = place.run(&drawn).expect(0, &[]).stdout;
    let drawing = std::fs::read_to_string(svg).expect("a drawing");
    // Three profiles of six moves each, with their bands.
    assert_eq!(drawing.matches("<circle").count(), 18);
    assert_eq!(drawing.matches("<polygon").count(), 3);
    assert!(drawing.contains("transferred, MB") && drawing.contains("pair alpha &gt; beta: E ="));
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
    alpha        0.512 (0.503 to 0.521) J/MB
    beta         20.6 (9.5 to 31.7) J
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
