use serde_json::json;

use super::csv::{HEADER, MAP, made_up};
use super::place::Place;

/// Two good rows among what other people's files hold.
fn mixed() -> String {
    format!(
        "{HEADER}\n\
         1,vm1,oltp,8192,11000,1074,pre-copy,17166,14,2245,yes\n\
         2,vm1,oltp,8192,11000,1074,pre-copy,17.166,14,2245,yes\n\
         3,vm1,oltp,,11000,1074,pre-copy,17166,14,2245,yes\n\
         4,vm1,oltp,8192,-5,1074,pre-copy,17166,14,2245,yes\n\
         5,vm1,oltp,8192,11000,1074,pre-copy,1e300,14,2245,yes\n\
         6,vm1,oltp,8192,11000,1074,teleport,17166,14,2245,yes\n\
         1,vm1,oltp,8192,11000,1074,pre-copy,17166,14,2245,yes\n\
         7,vm1,oltp,8589934592,11000,1074,pre-copy,17166,14,2245,yes\n\
         8,vm1,oltp,8192,11000\n\
         9,vm2,web,4096,500,1074,xbzrle,18000,20,2245,yes\n"
    )
}

#[test]
fn every_rejected_row_is_said_and_the_others_are_taken() {
    let place = Place::new();
    let file = place.file("theirs.csv", &mixed());
    let import = ["history", "import", &file, "--map", MAP];
    let ended = place.run(&import).expect(
        0,
        &[
            "theirs.csv: line 3: column `sent`",
            "theirs.csv: line 4: column `mem`: is missing",
            "theirs.csv: line 5: column `dirty`: `-5` is negative",
            "theirs.csv: line 6: column `total`: `1e300` is not within",
            "theirs.csv: line 7: column `how`: `teleport` is no technique",
            "theirs.csv: line 8: says the same as line 2",
            "theirs.csv: line 9: column `mem`",
            "theirs.csv: line 10: has 5 columns where the header has 11",
        ],
    );
    insta::assert_snapshot!(ended.stdout, @r"
    source         theirs.csv
    taken          2
    already there  0
    rejected       8
    techniques     1 pre-copy, 1 xbzrle
    workloads      2
    guests         2
    ");

    // The same file again adds nothing, and says so.
    let again = place.run(&[&import[..], &["-o", "json"]].concat());
    let report = again.expect(0, &[]).document("history-import");
    assert_eq!(
        (&report["taken"], &report["already_there"]),
        (&json!(0), &json!(2))
    );
    let rejected = report["rejected"].as_array().expect("rows");
    let lines: Vec<_> = rejected
        .iter()
        .map(|row| row["line"].as_u64().expect("a line"))
        .collect();
    assert_eq!(lines, [3, 4, 5, 6, 7, 8, 9, 10]);
    assert_eq!(rejected[2]["column"], "dirty");
    assert_eq!(rejected[2]["value"], "-5");
    assert_eq!(
        rejected[2]["message"],
        "line 5: column `dirty`: `-5` is negative"
    );

    let listed = place
        .run(&["history", "imports", "-o", "json"])
        .expect(0, &[]);
    let sources = &listed.document("history-imports")["sources"];
    assert_eq!(sources[0]["source"], "theirs.csv");
    assert_eq!(sources[0]["migrations"], 2);
    let table = place.run(&["history", "imports"]).expect(0, &[]).stdout;
    assert!(
        table.contains("theirs.csv") && table.contains(" 2 "),
        "{table}"
    );
}

#[test]
fn what_is_no_use_is_refused_and_leaves_nothing() {
    let place = Place::new();
    let bad = place.file(
        "bad.csv",
        &format!("{HEADER}\n1,vm,l,x,1,1,pre-copy,1,1,1,yes\n"),
    );
    let ended = place.run(&["history", "import", &bad, "--map", MAP, "-o", "json"]);
    let report = ended
        .expect(
            2,
            &[
                "bad.csv: line 2",
                "nothing could be taken",
                "1 rows were rejected",
            ],
        )
        .document("history-import");
    assert_eq!(report["taken"], 0);
    assert_eq!(report["rejected"].as_array().map(Vec::len), Some(1));

    let columns = place.file("columns.csv", "mem,total\n1,2\n");
    let empty = place.file("empty.csv", "");
    let import = |file: &str, map: &str| place.run(&["history", "import", file, "--map", map]);
    import(&columns, MAP).expect(
        2,
        &["no column", "`dirty` (dirty_pages_per_s)", "mem, total"],
    );
    import(&empty, MAP).expect(2, &["no header"]);
    import("/nowhere.csv", MAP).expect(2, &["/nowhere.csv", "No such file"]);
    import("/proc/self/exe", MAP).expect(2, &["no CSV but binary"]);
    import(&bad, "memory_mib=mem").expect(2, &["dirty_pages_per_s=COLUMN"]);
    import(&bad, "memory_furlong=mem").expect(2, &["no field `memory_furlong`", "memory_mib"]);
    import(&bad, "mem").expect(2, &["FIELD=COLUMN"]);
    place
        .run(&["history", "import", &bad])
        .expect(2, &["--map"]);
    place
        .run(&["history", "import", &bad, "--map", MAP, "--source", "live"])
        .expect(2, &["`live`", "--source"]);
    place
        .run(&[
            "history",
            "import",
            &bad,
            "--map",
            MAP,
            "--source",
            "a\u{1b}[2J",
        ])
        .expect(2, &[r"`a\u{1b}[2J`", "control characters", "--source"]);
    assert!(!place.history().exists());
}

#[test]
fn who_told_it_first_is_named() {
    let place = Place::new();
    let file = place.file("a.csv", &made_up(12));
    let import = ["history", "import", &file, "--map", MAP];
    place.run(&import).expect(0, &[]);
    for more in [&["--dry-run"][..], &[]] {
        let again = [&import[..], &["--source", "b"], more].concat();
        let said = place.run(&again).expect(0, &[]).stdout;
        assert!(
            said.contains("told these migrations first and keep them: a.csv (12)"),
            "{said}"
        );
    }
}

#[test]
fn a_dry_run_and_standard_input() {
    let place = Place::new();
    let text = made_up(12);
    // The map in parts.
    let (first, rest) = MAP.split_once(',').expect("several fields");
    let import = ["history", "import", "-", "--map", first, "--map", rest];
    let dry = [&import[..], &["--dry-run"]].concat();
    let ended = place.run_with(&text, &dry).expect(0, &[]);
    assert!(ended.stdout.contains("would be 12"), "{}", ended.stdout);
    assert!(!place.history().exists());

    let named = [&import[..], &["--source", "theirs"]].concat();
    place.run_with(&text, &named).expect(0, &[]);
    let ended = place.run_with(&made_up(15), &[&dry[..], &["-o", "json"]].concat());
    let report = ended.expect(0, &[]).document("history-import");
    assert_eq!(report["dry_run"], true);
    assert_eq!(
        (&report["taken"], &report["already_there"]),
        (&json!(3), &json!(12))
    );
    assert_eq!(report["by_technique"]["pre-copy"], 5);
    assert_eq!(
        (&report["workloads"], &report["guests"]),
        (&json!(5), &json!(7))
    );
}

#[test]
fn a_source_is_forgotten_once() {
    let place = Place::new();
    place
        .run(&["history", "forget", "a.csv"])
        .expect(1, &["no history yet"]);
    assert!(!place.history().exists());
    let file = place.file("a.csv", &made_up(12));
    let import = ["history", "import", &file, "--map", MAP];
    place.run(&import).expect(0, &[]);
    place
        .run(&["history", "forget", "b.csv"])
        .expect(2, &["`b.csv`", "its sources are: a.csv"]);
    let ended = place.run(&["history", "forget", "a.csv", "-o", "json"]);
    let report = ended.expect(0, &[]).document("history-forget");
    assert_eq!(report["removed"], 12);
    place
        .run(&["history", "forget", "a.csv"])
        .expect(2, &["nothing was imported at all"]);
    let ended = place.run(&["history", "imports"]).expect(0, &[]);
    assert!(ended.stdout.contains("nothing was imported"));
    place.run(&import).expect(0, &[]);
}
