//! What needs no hypervisor: wrong arguments, absurd quantities, missing
//! files, and everything made from the one definition of the command line.

use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

mod ended;
#[path = "bad_input/promises.rs"]
mod promises;
#[path = "site/schema.rs"]
mod schema;

use ended::Ended;
use schema::is_valid;

/// Runs `vmferry` with a history and a state directory of its own.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vmferry"));
        command
            .args(arguments)
            .env("VMFERRY_DB", self.0.path().join("history.db"))
            .env("VMFERRY_STATE", self.0.path().join("state"))
            .env("VMFERRY_BENCH", self.0.path().join("bench"))
            .env("NO_COLOR", "1")
            .env("COLUMNS", "100")
            .current_dir(self.0.path())
            .stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        Ended::from(self.command(arguments).output().expect("vmferry starts"))
    }

    fn files(&self) -> usize {
        std::fs::read_dir(self.0.path())
            .expect("a directory")
            .count()
    }
}

const ENDS: &[&str] = &[
    "migrate",
    "qmp:/a",
    "--to",
    "qmp:/b",
    "--via",
    "tcp:10.0.0.2:4444",
    "--yes",
];

#[test]
fn wrong_arguments_are_explained() {
    let place = Place::new();
    for (arguments, words) in [
        (&[][..], &["Usage: vmferry"][..]),
        (&["teleport"], &["unrecognized subcommand 'teleport'"]),
        (&["profile"], &["Usage: vmferry profile"]),
        (&["need"], &["<GUEST>"]),
        (
            &["profile", "cpu", "--guests", "gpu"],
            &["gpu", "memory-write"],
        ),
        (
            &["profile", "cpu", "--source-caps", "120%"],
            &["above 100 %"],
        ),
        (
            &["profile", "cpu", "--destination-caps", "50%,0.2%"],
            &["a cap of 0.2 %", "at least 1.0 %"],
        ),
        (
            &["predict", "qmp:/a", "--source-cpu", "0"],
            &["--source-cpu"],
        ),
        (&["measure"], &["<GUEST>"]),
        (&["measure", "/run/a.qmp"], &["/run/a.qmp", "qmp:"]),
        (&["measure", "xen:7"], &["xen:7", "qmp:"]),
        (
            &["measure", "qmp+ssh://host"],
            &["qmp+ssh://host", "path on that host is missing"],
        ),
        (
            &["measure", "qmp:/a", "--pages", "1"],
            &["--pages", "64..=1048576"],
        ),
        (&["measure", "qmp:/a", "--budget", "0"], &["--budget"]),
        (&["measure", "qmp:/a", "--budget", "200%"], &["--budget"]),
        (
            &["measure", "qmp:/a", "--method", "guess"],
            &["guess", "auto, pages, qmp"],
        ),
        (&["record", "qmp:/a"], &["--output-file"]),
        (
            &["record", "qmp:/a", "--pages", "some"],
            &["neither `all` nor a number"],
        ),
        (&["record", "qmp:/a", "--pages", "0"], &["0 pages"]),
        (
            &["record", "qmp:/a", "--interval", "10us"],
            &["--interval", "at least 1ms"],
        ),
        (
            &["record", "qmp:/a", "--duration", "forever"],
            &["--duration"],
        ),
        (&["trace", "info"], &["<FILE>"]),
        (
            &["trace", "info", "/nowhere.trace"],
            &["/nowhere.trace", "No such file"],
        ),
        (&["trace", "info", "/dev/null"], &["cut off at byte 0"]),
        (
            &["trace", "info", "/proc/self/stat"],
            &["is no trace", "vmferry record"],
        ),
        (
            &["trace", "info", "/proc"],
            &["/proc is a directory", "name one trace", "--trace /proc"],
        ),
        (
            &["trace", "export", "/proc"],
            &["/proc is a directory", "name one trace"],
        ),
        (
            &["trace", "export", "/dev/null", "--output-file", "out.xls"],
            &["out.xls", "FILE.csv or FILE.parquet"],
        ),
        (
            &["profile", "energy", "--meter", "wattmeter"],
            &["wattmeter", "its kind is unknown", "csv:FILE"],
        ),
        (
            &["profile", "energy", "--watch", "qmp:/a"],
            &["nothing to meter with", "--meter rapl"],
        ),
        (
            &["profile", "energy", "--moves", "--meter", "rapl"],
            &["rapl tells of now only", "csv:FILE"],
        ),
        (
            &["profile", "energy", "--meter", "rapl", "--background", "2s"],
            &["--background", "at least 10s"],
        ),
        (
            &[
                "profile",
                "energy",
                "--fit",
                "--measurements",
                "/nowhere.csv",
            ],
            &["/nowhere.csv", "give a CSV file"],
        ),
        (&["predict", "qmp:/a", "--to", "qmp:/b"], &["--via"]),
        (
            &["predict", "qmp:/a", "--model", "oracle"],
            &["oracle", "auto, pages, curve, hist, avg"],
        ),
        (&["migrate", "qmp:/a"], &["--to", "--via"]),
        (
            &["migrate", "qmp:/a", "--to", "qmp:/b", "--via", "10.0.0.2"],
            &["must start with tcp:"],
        ),
        (
            &[
                "migrate",
                "qmp:/a",
                "--to",
                "qmp:/b",
                "--via",
                "tcp:10.0.0.2",
            ],
            &["tcp:HOST:PORT"],
        ),
        (
            &[
                "migrate",
                "qmp:/a",
                "--to",
                "qmp:/b",
                "--via",
                "tcp:a:70000",
            ],
            &["port must be 1..65535"],
        ),
        (
            &["migrate", "qmp:/a", "--to", "qmp:/b", "--via", "tcp::::1"],
            &["brackets"],
        ),
        (&["history", "show"], &["<ID>"]),
        (
            &["schema", "dream"],
            &["dream", "measure, predict, migrate"],
        ),
        (&["completions", "cmd.exe"], &["cmd.exe", "bash"]),
        (&["testbed", "up", "--vcpus", "0"], &["--vcpus"]),
    ] {
        let ended = place.run(arguments).expect(2, words);
        assert_eq!(
            ended.stdout, "",
            "{arguments:?}: standard output is for answers"
        );
    }
    assert_eq!(place.files(), 0);
}

#[test]
fn absurd_quantities_are_refused_before_anything_is_asked() {
    let place = Place::new();
    let migrate = |more: &[&str]| place.run(&[ENDS, more].concat());
    for option in ["--bandwidth", "--max-bandwidth"] {
        for (value, why) in [
            ("0", "it is zero"),
            ("0Mbit/s", "it is zero"),
            ("-1Gbit/s", "it is negative"),
            ("9999Tbit/s", "above 100 Tbit/s"),
            ("1bit/s", "below 1 kbit/s"),
            ("12parsec", "`parsec` is unknown"),
            ("fast", "does not start with a number"),
            ("nan", "does not start with a number"),
            ("", "does not start with a number"),
        ] {
            migrate(&[&format!("{option}={value}")]).expect(2, &[option, why, "400Mbit/s"]);
        }
    }
    for option in [
        "--max-downtime",
        "--deadline",
        "--window",
        "--stall-timeout",
    ] {
        for (value, why) in [
            ("0", "it is zero"),
            ("-3s", "it is negative"),
            ("31d", "above 30 days"),
            ("1e9", "`e9` is unknown"),
            ("soon", "does not start with a number"),
        ] {
            migrate(&[&format!("{option}={value}")]).expect(2, &[option, why, "300ms"]);
        }
    }
    migrate(&["--max-downtime", "999us"]).expect(2, &["--max-downtime", "at least 1ms"]);
    migrate(&["--max-downtime", "2001s"]).expect(2, &["--max-downtime", "at most 2000 s"]);
    migrate(&["--stall-timeout", "500ms"]).expect(2, &["--stall-timeout", "at least 1s"]);
    migrate(&["--no-forecast", "--dry-run"]).expect(2, &["--no-forecast", "--dry-run"]);
    migrate(&["--no-forecast", "--model", "avg"]).expect(2, &["--no-forecast", "--model"]);
    place
        .run(&["testbed", "up", "--memory", "0"])
        .expect(2, &["--memory", "it is zero"]);
    assert_eq!(place.files(), 0);
}

#[test]
fn a_model_of_another_technique_is_told_before_anything_is_asked() {
    let place = Place::new();
    place
        .run(&[ENDS, &["--model", "post-copy"]].concat())
        .expect(
            50,
            &["`post-copy` does not describe pre-copy", "--model auto"],
        );
    assert_eq!(place.files(), 0);
    // Any other model needs the guest.
    place
        .run(&["predict", "qmp:/nowhere.qmp", "--model", "post-copy"])
        .expect(40, &["/nowhere.qmp"]);
}

#[test]
fn nothing_recorded_is_no_riddle() {
    let place = Place::new();
    for arguments in [
        &["history", "list"][..],
        &["history", "show", "1"],
        &["history", "export"],
    ] {
        place.run(arguments).expect(
            1,
            &[
                "no history yet at",
                "history.db",
                "vmferry migrate",
                "VMFERRY_DB",
            ],
        );
    }
    let directory = place
        .command(&["history", "list"])
        .env("VMFERRY_DB", place.0.path())
        .output();
    Ended::from(directory.expect("vmferry starts")).expect(1, &["is a directory", "VMFERRY_DB"]);
    assert_eq!(place.files(), 0, "reading makes no history");

    let ended = place.run(&["recover", "-o", "json"]).expect(0, &[]);
    let report: Value = serde_json::from_str(&ended.stdout).expect("JSON");
    assert_eq!(report["moves"], serde_json::json!([]));
    is_valid("recover", &report);
    let words = place.run(&["recover"]).expect(0, &[]).stdout;
    assert!(!words.trim().is_empty(), "people are told too");
}

#[tokio::test]
async fn a_move_that_is_not_there_is_a_usage_error() {
    let place = Place::new();
    let path = place.0.path().join("history.db");
    let history = vmferry::history::History::open(&path).await;
    history.expect("a history").close().await.expect("closed");
    let show = |id: &str| {
        let output = place
            .command(&["history", "show", id])
            .env("VMFERRY_DB", &path)
            .output();
        Ended::from(output.expect("vmferry starts"))
    };
    show("zzz").expect(2, &["zzz"]);
    show("01a1").expect(2, &["01a1", "history list"]);
    std::fs::write(&path, "no database").expect("a file");
    show("01a1").expect(1, &["is no history of vmferry"]);
}

#[test]
fn a_damaged_leftover_of_a_move_is_told() {
    let place = Place::new();
    let id = "01a1fd75-b4eb-711f-ad22-b207a570d940";
    let dir = place.0.path().join("state/moves").join(id);
    std::fs::create_dir_all(&dir).expect("a directory");
    std::fs::write(
        dir.join("journal.jsonl"),
        "{\"entry\":\"opened\",\"version\":99}\n",
    )
    .expect("a journal");
    let ended = place.run(&["recover"]).expect(40, &[]);
    for word in [id, "written by a newer vmferry"] {
        assert!(ended.stdout.contains(word), "{}", ended.stdout);
    }
    assert!(dir.exists(), "what cannot be read is kept");
}

#[test]
fn a_recording_overwrites_nothing_unasked() {
    let place = Place::new();
    let file = place.0.path().join("web.trace");
    std::fs::write(&file, "precious").expect("a file");
    let name = file.display().to_string();
    let arguments = ["record", "qmp:/nowhere.qmp", "--output-file", &name];
    place.run(&arguments).expect(2, &["exists", "--force"]);
    // Not even where it may: the guest is asked first.
    place
        .run(&[&arguments[..], &["--force"]].concat())
        .expect(40, &["/nowhere.qmp"]);
    assert_eq!(std::fs::read(&file).expect("the file"), b"precious");
    let out = place.0.path().join("out.csv").display().to_string();
    place
        .run(&["trace", "export", &name, "--output-file", &out])
        .expect(2, &["is no trace"]);
    assert_eq!(place.files(), 1, "no export of what is no trace");
}

#[cfg(not(feature = "parquet"))]
#[test]
fn a_vmferry_without_parquet_says_how_to_get_it() {
    let place = Place::new();
    place
        .run(&["trace", "export", "a.trace", "--output-file", "a.parquet"])
        .expect(2, &["without Parquet", "--features parquet", ".csv"]);
    assert_eq!(place.files(), 0);
}

#[test]
fn answers_that_cannot_be_written_are_told() {
    let place = Place::new();
    for (path, why) in [
        ("/nowhere/answer", "No such file"),
        ("/tmp", "Is a directory"),
    ] {
        for command in ["man", "recover"] {
            place
                .run(&[command, "--output-file", path])
                .expect(2, &[path, why, "--output-file"]);
        }
    }
    place
        .run(&["man", "--output-file", "/dev/full"])
        .expect(1, &["/dev/full", "No space left"]);
    let file = place.0.path().join("vmferry.1");
    let ended = place
        .run(&["man", "--output-file", &file.display().to_string()])
        .expect(0, &[]);
    assert_eq!(ended.stdout, "");
    assert!(
        std::fs::read_to_string(file)
            .expect("the page")
            .starts_with(".ie")
    );
}

#[test]
fn a_reader_that_has_seen_enough_is_no_fault() {
    let place = Place::new();
    let mut child = place
        .command(&["man"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("vmferry starts");
    drop(child.stdout.take());
    let ended = Ended::from(child.wait_with_output().expect("its end")).expect(0, &[]);
    assert_eq!(ended.stderr, "");
}

#[test]
fn completions_and_manual_know_every_command() {
    let place = Place::new();
    let commands = [
        "measure",
        "record",
        "trace",
        "predict",
        "simulate",
        "when",
        "migrate",
        "watch",
        "history",
        "compare",
        "testbed",
        "recover",
        "completions",
    ];
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let text = place.run(&["completions", shell]).expect(0, &[]).stdout;
        for command in commands {
            assert!(
                text.contains(command),
                "{shell} does not complete {command}"
            );
        }
        assert!(
            text.contains("stall-timeout") && !text.contains("Guard a move"),
            "{shell}"
        );
    }
    let manual = place.run(&["man"]).expect(0, &[]).stdout;
    for command in commands {
        assert!(
            manual.contains(&format!("vmferry-{command}")),
            "no {command} in the manual"
        );
    }
    assert!(manual.contains("Exit codes"));
    let bash = place.run(&["completions", "bash"]).stdout;
    let file = place.0.path().join("completions.bash");
    std::fs::write(&file, bash).expect("a file");
    let status = Command::new("bash")
        .arg("-n")
        .arg(&file)
        .status()
        .expect("bash");
    assert!(status.success(), "bash does not read its completions");
}

#[test]
fn benchmarks_are_listed() {
    let place = Place::new();
    let list = &["bench", "list"];
    let none = place.run(list).expect(0, &[]);
    assert!(none.stdout.contains("no benchmark yet"), "{}", none.stdout);
    assert!(
        none.stdout.contains("--reference shipped"),
        "{}",
        none.stdout
    );
    let shipped = ["bench", "report", "shipped", "--reference", "shipped"];
    let report = place.run(&shipped).expect(0, &[]).stdout;
    assert!(report.contains("| 1000 | 1000 | 1000 |"), "{report}");
    assert_eq!(place.files(), 0, "reading makes nothing");
    // One whose first run was never begun.
    let damaged = "01900000-0000-7000-8000-000000000000";
    std::fs::create_dir_all(place.0.path().join("bench").join(damaged)).expect("a directory");
    place.run(list).expect(0, &[damaged, "holds no benchmark"]);
    let json = place.run(&["bench", "list", "-o", "json"]).expect(0, &[]);
    let list: Value = serde_json::from_str(&json.stdout).expect("JSON");
    assert_eq!(list["benchmarks"], serde_json::json!([]));
    assert_eq!(list["unreadable"].as_array().map(Vec::len), Some(1));
    is_valid("bench-list", &list);
}

#[test]
fn help() {
    let place = Place::new();
    let mut text = String::new();
    for arguments in [
        &["--help"][..],
        &["measure", "--help"],
        &["record", "--help"],
        &["trace", "--help"],
        &["predict", "--help"],
        &["need", "--help"],
        &["simulate", "--help"],
        &["when", "--help"],
        &["choose", "--help"],
        &["migrate", "--help"],
        &["watch", "--help"],
        &["profile", "cpu", "--help"],
        &["history", "--help"],
        &["history", "import", "--help"],
        &["compare", "--help"],
        &["bench", "--help"],
        &["testbed", "up", "--help"],
    ] {
        let ended = place.run(arguments).expect(0, &[]);
        text.push_str(&format!(
            "$ vmferry {}\n{}\n",
            arguments.join(" "),
            ended.stdout
        ));
    }
    insta::assert_snapshot!(text);
}

#[test]
fn schemas_are_those_checked_in() {
    let place = Place::new();
    let update = std::env::var_os("UPDATE_SCHEMAS").is_some();
    let names = [
        "measure",
        "predict",
        "choose",
        "migrate",
        "event",
        "record",
        "recover",
        "history-list",
        "history-import",
        "history-imports",
        "history-forget",
        "compare",
        "profile-energy",
        "trace-info",
        "simulate",
        "testbed-status",
        "when",
        "demo",
        "profile-cpu",
        "need",
        "bench-list",
        "bench-run",
        "bench-event",
        "bench-report",
        "bench-compare",
    ];
    for name in names {
        let schema = place.run(&["schema", name]).expect(0, &[]).stdout;
        let path = schema::directory().join(format!("{name}.json"));
        if update {
            std::fs::write(&path, &schema).expect("a schema");
        }
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(
            kept,
            schema,
            "{} differs from `vmferry schema {name}`. If the change is meant, write it with\n\
             UPDATE_SCHEMAS=1 cargo test -p vmferry-cli --test bad_input",
            path.display()
        );
        let schema: Value = serde_json::from_str(&schema).expect("JSON");
        jsonschema::draft202012::meta::validate(&schema).expect("a schema by its own meta-schema");
    }
    assert_eq!(
        std::fs::read_dir(schema::directory())
            .expect("schemas")
            .count(),
        names.len()
    );
}
