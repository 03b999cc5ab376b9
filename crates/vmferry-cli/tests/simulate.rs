//! `vmferry simulate` over an observation and traces made here.

use std::fs;

use vmferry::core::{Millis, SampledPage};
use vmferry::document::{SimulateReport, SourceKind};
use vmferry::simulating::{Axis, Model, Place, Rules};

mod ended;
#[path = "site/schema.rs"]
mod schema;
mod simulate {
    pub(crate) mod files;
}

use simulate::files::*;

#[test]
fn a_profile_over_bandwidths_by_two_rules() {
    let files = Files::new();
    files.write("web.json", &profile(true));
    let arguments = [
        "web.json",
        "--bandwidth",
        "50Mbit/s..1Gbit/s",
        "--steps",
        "5",
        "--rules",
        "qemu,xen",
        "--samples",
        "20",
    ];
    let report = files.report(&arguments);
    assert_eq!(
        (report.source, report.model),
        (SourceKind::Profile, Model::Pages)
    );
    assert_eq!(report.rules, [Rules::Qemu, Rules::Xen]);
    assert_eq!(report.swept, [Axis::Bandwidth]);
    assert_eq!(
        (report.points.len(), report.seed, report.samples),
        (10, 1, 20)
    );
    let fastest = &report.points[4];
    assert_eq!(fastest.settings.bandwidth.mbit_per_s(), 1000.0);
    assert_eq!(fastest.cost.converges_probability, 1.0);
    let total = fastest.cost.total_time_ms.expect("it converges");
    // 48 MiB and some dirt over 120 MB/s.
    assert!((350.0..1500.0).contains(&total.p50.0), "{total:?}");
    // 16 MiB/s of dirt: 134 Mbit/s; below, the limit of 300 ms has to hold it all.
    let boundary = &report.boundaries[0];
    assert_eq!(
        (boundary.along, boundary.place),
        (Axis::Bandwidth, Place::Within)
    );
    let rate = boundary.settings.bandwidth.mbit_per_s();
    assert!((100.0..300.0).contains(&rate), "{rate}");
    assert_eq!(report.boundaries[1].place, Place::Everywhere);

    // The same seed, the same answer; the table tells it too.
    assert_eq!(files.report(&arguments), report);
    let other = files.report(&[&arguments[..], &["--seed", "2"]].concat());
    assert_ne!(other.points, report.points);
    let table = files.simulate(&arguments).expect(0, &[]).stdout;
    for part in [
        "guest        web (64 MiB",
        "rules",
        "bandwidth",
        "50 Mbit/s",
        "1.00 Gbit/s",
        "boundary (qemu): converges from a bandwidth of",
        "boundary (xen): converges at every bandwidth",
    ] {
        assert!(table.contains(part), "{part}\n{table}");
    }
}

#[test]
fn a_trace_is_told_by_its_content() {
    let files = Files::new();
    let whole = trace(1);
    // The name says nothing.
    files.write("web.json", &whole);
    files.write("part.trace", &trace(4));
    files.write("cut.trace", &whole[..whole.len() * 6 / 10]);
    let arguments = |file| [file, "--bandwidth", "150Mbit/s,1Gbit/s", "--samples", "20"];
    let all = files.report(&arguments("web.json"));
    assert_eq!((all.source, all.model), (SourceKind::Trace, Model::Pages));
    assert_eq!(all.observation.window_ms, Millis(6000.0));
    let says = |report: &SimulateReport, words: &str| {
        assert!(
            report.notes.iter().any(|note| note.contains(words)),
            "{words}: {:#?}",
            report.notes
        );
    };
    says(&all, "20 replays of all 16384 pages");
    let part = files.report(&arguments("part.trace"));
    says(&part, "20 replays of 4096 sampled pages");
    let cut = files.report(&arguments("cut.trace"));
    says(&cut, "cut.trace is cut off at byte");
    assert!(cut.observation.window_ms < all.observation.window_ms);
    // The guest is the same all the time, however much of it was recorded.
    let total = |report: &SimulateReport| {
        report.points[1]
            .cost
            .total_time_ms
            .expect("it converges")
            .p50
            .0
    };
    for other in [&part, &cut] {
        let ratio = total(other) / total(&all);
        assert!((0.9..1.1).contains(&ratio), "{ratio}");
    }
    // Another size of memory, and post-copy, go over a sample of the pages.
    let sizes = files.report(&[
        "web.json",
        "--bandwidth",
        "1Gbit/s",
        "--memory",
        "64MiB,256MiB",
        "--rules",
        "qemu,post-copy",
        "--model",
        "hist",
        "--samples",
        "20",
    ]);
    says(
        &sizes,
        "Post-copy, and points with another memory: 20 replays of 16384 sampled pages",
    );
    assert!(
        sizes.points[1]
            .cost
            .total_time_ms
            .expect("it converges")
            .p50
            .0
            > 2.0 * total(&all)
    );
}

#[test]
fn a_damaged_trace_is_used_up_to_the_damage() {
    let files = Files::new();
    let mut bytes = trace(1);
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    files.write("damaged.trace", &bytes);
    let report = files.report(&["damaged.trace", "--bandwidth", "1Gbit/s", "--samples", "20"]);
    let note = report
        .notes
        .iter()
        .find(|note| note.contains("is damaged at byte"));
    let note = note.expect("a note");
    assert!(
        note.contains("before it can be used") && note.contains("are used."),
        "{note}"
    );
    let window = report.observation.window_ms.0;
    assert!((1000.0..6000.0).contains(&window), "{window}");
    assert!(report.points[0].cost.total_time_ms.is_some());

    // The first second a second time, after all the others.
    let whole = trace(1);
    let after = |at: usize| {
        let length = whole[at + 1..at + 5].try_into().expect("a length");
        at + 17 + u32::from_le_bytes(length) as usize
    };
    let first = after(after(48));
    let mut end = first;
    // Kind 3 is a frame of intervals, and the end follows them.
    while whole[end] == 3 {
        end = after(end);
    }
    let back = [&whole[..end], &whole[first..after(first)], &whole[end..]].concat();
    files.write("back.trace", &back);
    let report = files.report(&["back.trace", "--bandwidth", "1Gbit/s", "--samples", "20"]);
    let note = report.notes.iter().find(|note| note.contains("jumps back"));
    assert!(note.is_some_and(|note| note.contains("its first 6.00 s are used")));
    assert_eq!(report.observation.window_ms, Millis(6000.0));
}

#[test]
fn a_guest_without_zero_pages_has_none() {
    let files = Files::new();
    let written = |page: SampledPage| SampledPage {
        zero: false,
        ..page
    };
    let pages = pages(1).into_iter().map(written).collect();
    files.write("web.trace", &trace_of(1, pages));
    let arguments = ["web.trace", "--bandwidth", "1Gbit/s", "--samples", "5"];
    let report = files.report(&arguments);
    let zero = report.observation.zero.expect("a share").0;
    assert!(zero == 0.0 && zero.is_sign_positive());
    let table = files.simulate(&arguments).expect(0, &[]).stdout;
    assert!(!table.contains("-0"), "{table}");
}

#[test]
fn drawings_of_one_and_of_several_series() {
    let files = Files::new();
    files.write("web.json", &profile(true));
    for (swept, parts) in [
        (
            &["--max-downtime", "100ms,1s"][..],
            &["max downtime 100 ms", "max downtime 1.00 s", "dashed"][..],
        ),
        (
            &["--rules", "qemu,xen-legacy,post-copy"],
            &["xen-legacy", "post-copy"],
        ),
        (&["--model", "closed-form"], &["the model closed-form"]),
    ] {
        let mut arguments = vec![
            "web.json",
            "--bandwidth",
            "40Mbit/s..1Gbit/s/6",
            "--samples",
            "10",
            "--svg",
            "web.svg",
        ];
        arguments.extend(swept);
        files.simulate(&arguments).expect(0, &[]);
        let drawing = fs::read_to_string(files.path("web.svg")).expect("a drawing");
        for part in [
            "<svg ",
            "Total time, s",
            "Downtime, ms",
            "Traffic, MiB",
            "bandwidth, Mbit/s",
        ]
        .iter()
        .chain(parts)
        {
            assert!(drawing.contains(part), "{part} is missing");
        }
        assert!(!drawing.contains("NaN") && !drawing.contains("inf\""));
    }
    // Nothing converges: still a drawing.
    files
        .simulate(&[
            "web.json",
            "--bandwidth",
            "1Mbit/s",
            "--samples",
            "5",
            "--svg",
            "web.svg",
        ])
        .expect(0, &[]);
}

#[test]
fn dirt_and_limits_along_the_horizontal_axis() {
    let files = Files::new();
    files.write("web.json", &profile(false));
    let report = files.report(&[
        "web.json",
        "--bandwidth",
        "150Mbit/s",
        "--dirt",
        "0,0.5..2/3",
        "--samples",
        "20",
    ]);
    assert_eq!(
        (report.model, &report.swept[..]),
        (Model::Curve, &[Axis::Dirt][..])
    );
    let factors: Vec<f64> = report
        .points
        .iter()
        .map(|point| point.settings.dirt)
        .collect();
    assert_eq!(factors, [0.0, 0.5, 1.0, 2.0]);
    let sent = |at: usize| report.points[at].cost.transferred_bytes.map(|i| i.p50.0);
    let once = 0.75 * PAGES as f64 * 4104.0;
    let ratio = sent(0).expect("it converges") as f64 / once;
    assert!((0.99..1.03).contains(&ratio), "{ratio}");
    assert!(sent(1) > sent(0));
    let report = files.report(&[
        "web.json",
        "--bandwidth",
        "150Mbit/s",
        "--max-downtime",
        "30ms..3s/4",
        "--model",
        "textbook",
    ]);
    assert_eq!(report.rules, [Rules::Textbook]);
    assert_eq!(report.boundaries.len(), 1);
    assert_eq!(report.boundaries[0].along, Axis::MaxDowntime);
}

#[test]
fn what_cannot_be_simulated_is_told() {
    let files = Files::new();
    files.write("web.json", &profile(true));
    files.write("curve.json", &profile(false));
    files.write("empty", b"");
    files.write("list.csv", b"guest,rate\n");
    files.write("picture.png", b"\x89PNG\r\n\x1a\n0000");
    files.write("other.json", br#"{"schema_version": 1, "moves": []}"#);
    files.write("new.json", br#"{"schema_version": 99}"#);
    let whole = trace(1);
    files.write("head.trace", &whole[..60]);
    let mut damaged = whole.clone();
    damaged[60] ^= 0xff;
    files.write("damaged.trace", &damaged);
    let web = |more: &[&'static str]| [&["web.json", "--bandwidth", "1Gbit/s"], more].concat();
    let of = |file| vec![file, "--bandwidth", "1Gbit/s"];
    for (arguments, code, words) in [
        (
            of("nowhere"),
            2,
            &[
                "nowhere",
                "No such file",
                "vmferry measure",
                "vmferry record",
            ][..],
        ),
        (of("."), 2, &["Is a directory"]),
        (of("empty"), 2, &["the file is empty"]),
        (
            of("list.csv"),
            2,
            &["neither an observation nor a trace", "vmferry measure"],
        ),
        (of("picture.png"), 2, &["is no trace"]),
        (of("other.json"), 2, &["no profile", "vmferry measure"]),
        (of("new.json"), 2, &["too new"]),
        (of("head.trace"), 2, &["cut off", "record again"]),
        (of("damaged.trace"), 2, &["damaged at byte"]),
        (vec!["web.json"], 2, &["--bandwidth"]),
        (vec!["web.json", "--bandwidth", "0"], 2, &["it is zero"]),
        (
            vec!["web.json", "--bandwidth", "2Gbit/s..1Gbit/s"],
            2,
            &["empty range"],
        ),
        (
            web(&["--rules", "qemu,kvm"]),
            2,
            &["`kvm` names no rules", "post-copy"],
        ),
        (
            web(&["--model", "guess"]),
            2,
            &["`guess` names no model", "closed-form"],
        ),
        (
            web(&["--model", "textbook", "--rules", "qemu"]),
            2,
            &["leave --rules out"],
        ),
        (web(&["--steps", "1"]), 2, &["--steps"]),
        (
            web(&["--memory", "8MiB"]),
            2,
            &["it wrote 16 MiB", "give at least"],
        ),
        (
            web(&[
                "--dirt",
                "1..2",
                "--memory",
                "1GiB..2GiB",
                "--max-downtime",
                "1s,2s",
            ]),
            2,
            &["max downtime, dirt, memory are swept at once"],
        ),
        (
            web(&["--dirt", "1..2/200", "--max-downtime", "1ms..2s/100"]),
            2,
            &["20000 points, more than 10000"],
        ),
        (
            vec!["curve.json", "--bandwidth", "1Gbit/s", "--model", "hist"],
            50,
            &["which pages are dirtied when"],
        ),
        (
            web(&["--svg", "/nowhere/a.svg"]),
            2,
            &["give another --svg"],
        ),
    ] {
        files.simulate(&arguments).expect(code, words);
    }
}
