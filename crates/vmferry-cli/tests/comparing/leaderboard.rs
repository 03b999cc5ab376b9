use serde_json::Value;

use super::csv::{HEADER, MAP, made_up, qemu_postgres};
use super::place::Place;

fn import(place: &Place, name: &str, text: &str, map: &str) {
    let file = place.file(name, text);
    place
        .run(&["history", "import", &file, "--map", map])
        .expect(0, &[]);
}

/// A place with 60 imported migrations.
fn filled() -> Place {
    let place = Place::new();
    import(&place, "theirs.csv", &made_up(60), MAP);
    place
}

fn compared(place: &Place, options: &[&str]) -> Value {
    let arguments = [
        &["compare", "-o", "json", "--progress", "none"][..],
        options,
    ]
    .concat();
    place.run(&arguments).expect(0, &[]).document("compare")
}

/// The standing of a model over all techniques.
fn standing<'a>(board: &'a Value, model: &str) -> &'a Value {
    let standings = board["standings"].as_array().expect("standings");
    let of = |s: &&Value| s["model"] == model && s["technique"].is_null();
    standings.iter().find(of).expect("its standing")
}

#[test]
fn too_few_moves_say_what_to_do() {
    let place = Place::new();
    place.run(&["compare"]).expect(
        50,
        &[
            "0 made here and 0 imported",
            "vmferry migrate",
            "vmferry history import",
        ],
    );
    assert!(!place.history().exists());
    import(&place, "one.csv", &made_up(1), MAP);
    place
        .run(&["compare"])
        .expect(50, &["0 made here and 1 imported"]);
    import(&place, "more.csv", &made_up(30), MAP);
    place
        .run(&["compare", "--guest", "nobody"])
        .expect(50, &["0 imported"]);
    place
        .run(&["compare", "--source", "live"])
        .expect(50, &["0 made here"]);
    // All of one workload: none can be left out.
    let alike = made_up(30)
        .replace("load1", "load0")
        .replace("load2", "load0");
    let alike = alike.replace("load3", "load0").replace("load4", "load0");
    import(&place, "alike.csv", &alike, MAP);
    let ended = place.run(&[
        "compare",
        "--source",
        "alike.csv",
        "--leave-one-out",
        "workload",
    ]);
    ended.expect(50, &["fewer than two workloads", "workload=COLUMN"]);
    // Unasked, guests are left out instead.
    let report = compared(&place, &["--source", "alike.csv", "--models", "avg"]);
    assert_eq!(report["boards"][0]["holdout"], "guest");
    assert!(
        report["boards"][0]["notes"][0]
            .as_str()
            .expect("why")
            .contains("every guest")
    );
}

#[test]
fn wrong_questions_are_explained() {
    let place = filled();
    place
        .run(&["compare", "--models", "avg,oracle"])
        .expect(2, &["`oracle`", "auto,pages,curve,hist,avg"]);
    place
        .run(&["compare", "--source", "ours.csv"])
        .expect(2, &["`ours.csv`", "its sources are: theirs.csv"]);
    place
        .run(&["compare", "--technique", "teleport"])
        .expect(2, &["teleport", "pre-copy"]);
    place
        .run(&["compare", "--threads", "0"])
        .expect(2, &["--threads"]);
    place
        .run(&["compare", "--leave-one-out", "disk"])
        .expect(2, &["workload", "guest", "future"]);
}

#[test]
fn every_model_on_every_imported_migration() {
    let place = filled();
    let report = compared(&place, &[]);
    let [board] = report["boards"].as_array().expect("boards").as_slice() else {
        panic!("{report:#}");
    };
    assert_eq!(board["made"], "imported");
    assert_eq!(board["holdout"], "workload");
    assert_eq!(
        (board["moves"].as_u64(), board["censored"].as_u64()),
        (Some(60), Some(3))
    );
    assert_eq!(board["fits"], 5);
    assert_eq!(board["sources"][0]["source"], "theirs.csv");
    let models = report["options"]["models"].as_array().expect("models");
    assert_eq!(models.len(), 11);
    // 60 % of what physics says is what was made up.
    for model in ["learned", "auto"] {
        let learned = standing(board, model);
        assert_eq!(learned["forecast"], 60);
        let median = learned["total_time"]["median"].as_f64().expect("a median");
        assert!(median < 0.02, "{learned:#}");
        assert_eq!(learned["total_time"]["n"], 57);
        assert!(learned["total_time"]["coverage"].is_number());
    }
    let avg = standing(board, "avg");
    assert_eq!(
        (avg["forecast"].as_u64(), avg["moves"].as_u64()),
        (Some(20), Some(60))
    );
    assert!(
        avg["refusal"]
            .as_str()
            .expect("why")
            .contains("auto-converge")
    );
    // What nobody observed has no pages: a refusal with its reason, no number.
    for model in ["pages", "curve", "hist"] {
        let refused = standing(board, model);
        assert_eq!(refused["forecast"], 0, "{model}");
        assert!(refused["total_time"].is_null());
        let why = refused["refusal"].as_str().expect("why");
        assert!(
            why.contains("which is unknown") || why.contains("does not describe"),
            "{why}"
        );
    }
    // By technique too, and the same whatever the threads.
    let standings = board["standings"].as_array().expect("standings");
    assert_eq!(standings.len(), 11 * 4);
    assert_eq!(compared(&place, &["--threads", "1"]), report);
}

#[test]
fn the_table_says_the_same() {
    let place = filled();
    let ended = place.run(&[
        "compare",
        "--models",
        "learned,avg,pages",
        "--progress",
        "plain",
    ]);
    let ended = ended.expect(0, &["comparing on imported moves: 100 %"]);
    for part in [
        "60 imported migrations of theirs.csv (60), 3 of them not complete",
        "every workload left out in turn; 5 fits",
        "all techniques",
        "post-copy",
        "learned",
        "20 of 60",
        "no forecast by avg, pages: the model does not describe post-copy",
        "no forecast by pages: guest vm0: the model needs a history of which pages",
    ] {
        assert!(ended.stdout.contains(part), "{part}\n{}", ended.stdout);
    }
    // Whoever errs least comes first.
    let at = |name: &str| ended.stdout.find(&format!("\n {name}")).expect("a row");
    assert!(at("learned") < at("avg") && at("avg") < at("pages"));
}

#[test]
fn options_choose_moves_and_what_is_left_out() {
    let place = filled();
    let models = ["--models", "learned,base"];
    let with = |more: &[&str]| compared(&place, &[&models[..], more].concat());
    let board = |report: &Value| report["boards"][0].clone();
    let guests = board(&with(&["--leave-one-out", "guest"]));
    assert_eq!(
        (&guests["holdout"], guests["fits"].as_u64()),
        (&"guest".into(), Some(7))
    );
    let post_copy = board(&with(&["--technique", "post-copy"]));
    assert_eq!(post_copy["moves"], 20);
    let one = board(&with(&["--guest", "vm3", "--source", "imported"]));
    assert_eq!(one["moves"], 9);
    // In the order of the file, where that is asked for.
    let future = board(&with(&["--leave-one-out", "future"]));
    assert_eq!(future["holdout"], "future");
    let note = future["notes"][0].as_str().expect("a note");
    assert!(note.contains("in the order of their files"), "{note}");
    let learned = standing(&future, "learned");
    assert!(learned["forecast"].as_u64() < Some(60));
    assert!(
        learned["refusal"]
            .as_str()
            .expect("why")
            .contains("it needs 8")
    );
    let xen = with(&["--rules", "xen-legacy"]);
    assert_eq!(xen["options"]["rules"], "xen-legacy");
}

#[test]
fn what_the_data_leave_open_is_said() {
    let place = Place::new();
    // Nobody says how they ended, and there are 40 workloads.
    let mut text = format!("{HEADER}\n");
    for i in 0..40 {
        text.push_str(&format!(
            "{i},vm\u{7},load{i},1024,1000,1000,stop-copy,9000,{},600,\n",
            if i == 0 { 25 } else { 9000 }
        ));
    }
    import(&place, "open.csv", &text, MAP);
    let ended = place.run(&["compare", "--models", "learned,avg", "--progress", "none"]);
    let ended = ended.expect(0, &[]);
    for part in [
        "There are 40 workloads: several are left out together, in 32 parts.",
        "Of 40 of these moves nobody says whether they converged",
        "The downtime of 1 stop-and-copy migrations is less than half",
        "`predict --model NAME` shows the model's own",
    ] {
        assert!(ended.stdout.contains(part), "{part}\n{}", ended.stdout);
    }
    let report = compared(&place, &["--models", "learned"]);
    let learned = standing(&report["boards"][0], "learned");
    assert!(learned["verdicts"].is_null(), "{learned:#}");
    assert_eq!(learned["total_time"]["n"], 40);
    assert_eq!(learned["downtime"]["n"], 39);
    // A refusal of an imported migration gives no advice, nor a bell.
    let ended = place.run(&["compare", "--models", "pages", "--progress", "none"]);
    let said = ended.expect(0, &[]).stdout;
    assert!(said.contains("no forecast by pages"), "{said}");
    assert!(
        !said.contains("--model auto") && !said.contains('\u{7}'),
        "{said}"
    );
}

#[test]
fn times_put_imported_moves_in_order() {
    let place = Place::new();
    let mut text = String::new();
    for (i, line) in made_up(40).lines().enumerate() {
        let time = match i {
            0 => "at".to_owned(),
            i => (1_700_000_000 + 600 * i).to_string(),
        };
        text.push_str(&format!("{line},{time}\n"));
    }
    import(
        &place,
        "timed.csv",
        &text,
        &format!("{MAP},started_at_unix_s=at"),
    );
    let report = compared(&place, &["--models", "learned"]);
    assert_eq!(report["boards"][0]["holdout"], "future");
    let report = compared(
        &place,
        &["--models", "learned", "--leave-one-out", "workload"],
    );
    assert_eq!(report["boards"][0]["holdout"], "workload");
}

#[test]
fn a_hundred_real_migrations() {
    let Some(text) = qemu_postgres() else { return };
    let place = Place::new();
    import(&place, "qemu-postgres.csv", &text, MAP);
    let report = compared(&place, &[]);
    let board = &report["boards"][0];
    assert_eq!(
        (board["moves"].as_u64(), board["censored"].as_u64()),
        (Some(100), Some(20))
    );
    assert_eq!(
        (board["fits"].as_u64(), board["holdout"].as_str()),
        (Some(10), Some("workload"))
    );
    let median = |model: &str| standing(board, model)["total_time"]["median"].as_f64();
    let learned = median("learned").expect("forecasts");
    // Measured: 25 %.
    assert!((0.15..0.35).contains(&learned), "{learned}");
    assert_eq!(standing(board, "learned")["total_time"]["n"], 80);
}
