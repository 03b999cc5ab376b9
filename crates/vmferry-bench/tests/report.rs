//! Reports of made-up benchmarks: whole, under way, failed, and with names meant to do harm.

mod made_up;

use made_up::GiveUp as _;
use vmferry_bench::plan::{BenchPlan, Load};
use vmferry_bench::record::{BenchRecord, Blackout, HeavyEnd, HeavyLoad, HeavyStep, PointStatus};
use vmferry_bench::report::{
    html::html, json::BenchDocument, markdown::markdown, page, results::Results,
};
use vmferry_bench::side::Side;
use vmferry_core::Ratio;

/// Checks that it is well-formed XML: every tag closed in order, every attribute quoted, no stray
/// `<` or `&`. Returns the names of all elements.
fn well_formed(text: &str) -> Vec<String> {
    let mut rest = text
        .strip_prefix("<!DOCTYPE html>")
        .expect("a document type");
    let (mut open, mut names) = (Vec::<String>::new(), Vec::new());
    while let Some(at) = rest.find('<') {
        entities(&rest[..at]);
        let end = rest[at..].find('>').expect("the tag ends") + at;
        let tag = &rest[at + 1..end];
        rest = &rest[end + 1..];
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name), "before {:.80}", rest);
            continue;
        }
        let (tag, closed) = tag
            .strip_suffix('/')
            .map_or((tag, false), |tag| (tag, true));
        let name: String = tag
            .chars()
            .take_while(|c| c.is_ascii_alphanumeric())
            .collect();
        assert!(!name.is_empty(), "a tag without a name: <{tag}>");
        attributes(&tag[name.len()..]);
        names.push(name.clone());
        if !closed {
            open.push(name);
        }
    }
    assert_eq!(open, Vec::<String>::new(), "all is closed");
    names
}

/// ` name="value"` any number of times, no name twice.
fn attributes(mut text: &str) {
    let mut seen = Vec::new();
    while !text.trim().is_empty() {
        let (name, rest) = text.trim_start().split_once("=\"").expect("a quoted value");
        let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        assert!(plain && !seen.contains(&name), "attribute {name} of {text}");
        seen.push(name);
        let (value, rest) = rest.split_once('"').expect("the value ends");
        entities(value);
        text = rest;
    }
}

fn entities(text: &str) {
    for after in text.split('&').skip(1) {
        let known = ["amp;", "lt;", "gt;", "quot;", "#39;"];
        assert!(
            known.iter().any(|known| after.starts_with(known)),
            "&{after:.20}"
        );
    }
}

/// The page in HTML, checked for all that holds of every page.
fn checked(record: &BenchRecord) -> String {
    let page = page(record, &Results::of(record, None));
    let html = html(&page);
    let names = well_formed(&html);
    for forbidden in ["script", "link", "img", "iframe", "object", "image", "use"] {
        assert!(!names.iter().any(|name| name == forbidden), "<{forbidden}>");
    }
    for from_elsewhere in ["src=", "url(", "@import", "href=\"h", "href=\"/"] {
        assert!(!html.contains(from_elsewhere), "{from_elsewhere}");
    }
    for text in [html.as_str(), &markdown(&page)] {
        for word in text.split(|c: char| !c.is_ascii_alphanumeric()) {
            assert!(
                !["NaN", "inf", "infinity", "None", "Some"].contains(&word),
                "{word}"
            );
        }
    }
    html
}

#[test]
fn a_whole_report_is_well_formed_and_self_contained() {
    let html = checked(&made_up::record());
    let drawings = html.matches("<svg ").count();
    assert_eq!(html.matches("role=\"img\" aria-label=\"").count(), drawings);
    assert_eq!(html.matches("<desc>").count(), drawings);
    for seen in [
        "web, light load: latency, qemu-7.2",
        "standby, heavy load: passes",
        "ICMP",
    ] {
        assert!(html.contains(seen), "{seen}");
    }
}

#[test]
fn names_do_no_harm() {
    let mut record = made_up::small();
    let hostile = "\"><script>alert('1')</script>&\u{1}]]>|`x`";
    record.plan.name = hostile.to_owned();
    record.plan.workloads[0] = hostile.to_owned();
    record.machine.cpu = hostile.to_owned();
    record.plan.subjects[0].name = hostile.to_owned();
    record.subjects[0].name = hostile.to_owned();
    record.images[0].packages[0].1 = hostile.to_owned();
    for run in &mut record.runs {
        run.key.workload = hostile.to_owned();
        if run.key.subject == "qemu-10.0" {
            run.key.subject = hostile.to_owned();
        }
        run.failure = Some(hostile.to_owned());
    }
    let html = checked(&record);
    assert!(html.contains("&lt;script&gt;alert(&#39;1&#39;)"));
    let markdown = markdown(&page(&record, &Results::of(&record, None)));
    assert!(!markdown.replace("\\<script>", "").contains("<script>"));
    let rows: Vec<&str> = markdown
        .lines()
        .filter(|line| line.starts_with("| \">"))
        .collect();
    assert!(rows.len() > 2);
    for row in rows {
        assert!(row.contains("\\|\\`x\\`"), "{row}");
    }
}

#[test]
fn nothing_measured_yet_is_said() {
    let mut record = made_up::record();
    record.runs.clear();
    record.ended_at = None;
    let html = checked(&record);
    for said in [
        "0 of 54 runs have ended",
        "Nothing was run here yet",
        "No run has ended yet",
        "under way, or was interrupted",
    ] {
        assert!(html.contains(said), "{said}");
    }
    record.plan.subjects.clear();
    record.subjects.clear();
    record.images.clear();
    checked(&record);
}

#[test]
fn a_run_that_failed_at_once_is_told() {
    let mut record = made_up::small();
    for run in &mut record.runs {
        run.reference = None;
        run.migrated = None;
        run.points.clear();
        run.failure = Some("nginx did not answer within 60 s".to_owned());
    }
    let html = checked(&record);
    assert!(html.contains("nginx did not answer within 60 s"));
    assert!(html.contains("No run of the service got to its end"));
}

fn heavy(workload: &str, because: HeavyEnd, rates: &[f64]) -> HeavyLoad {
    let steps = (0..).zip(rates).map(|(background_guests, rate)| HeavyStep {
        background_guests,
        rate_per_s: *rate,
    });
    HeavyLoad {
        workload: workload.to_owned(),
        background_guests: 2,
        steps: steps.collect(),
        because,
    }
}

#[test]
fn what_stood_around_the_guest_is_said() {
    let mut record = made_up::record();
    let message = "nginx did not answer".to_owned();
    record.heavy = vec![
        heavy("web", HeavyEnd::Hurts, &[145.0, 130.0, 96.04]),
        heavy("postgres", HeavyEnd::Fault { message }, &[]),
        heavy("standby", HeavyEnd::Uncounted, &[0.0]),
    ];
    for run in &mut record.runs {
        let shares = run.key.subject == "qemu-10.0-multifd";
        run.reference_of = shares.then(|| "qemu-10.0".to_owned());
    }
    record.runs[0].points[0].bench_cpu = Some(Ratio(0.2));
    let text = markdown(&page(&record, &Results::of(&record, None)));
    for said in [
        "Heavy load: 2 guests beside; with the last one each guest did less than 80 % of what it \
         does alone. Operations a second of each guest, in the median: 145 alone, 130 with 1 \
         beside, 96.0 with 2 beside.",
        "Heavy load: 2 guests beside; one more failed: nginx did not answer.",
        "Heavy load: 2 guests beside; nobody counts what the guests do, and there was no room for \
         more.",
        "qemu-10.0 and qemu-10.0-multifd serve alike and differ only in how they migrate: in each \
         repeat they share one run without migrations.",
        "Asked every 5.00 ms by ICMP, every 5.00 ms by TCP, every 20.0 ms by requests: downtimes \
         are exact to that. What was asked:",
        "- by TCP: connections to port 80",
        "- by requests: PostgreSQL's SELECT 1 at port 5432",
        "- by TCP: connections to the service's port, or to a closed one where connections would \
         be its work",
        "aim 5 % of a core, kept by 26 of 27 migrations.",
        "aim 5 % of a core, kept by 27 of 27 migrations.",
    ] {
        assert!(text.contains(said), "{said}");
    }
    assert_eq!(text.matches("Heavy load: ").count(), 3);
}

#[test]
fn what_is_missing_is_said_with_its_reason() {
    let mut record = made_up::small();
    let told = |record: &BenchRecord| markdown(&page(record, &Results::of(record, None)));
    let reasons = [
        "QEMU notes these since 8.2.",
        "No forecasts are kept in this document.",
        "One subject only, so that nothing is compared",
    ];
    let text = told(&record);
    assert!(reasons.iter().all(|said| !text.contains(said)));
    record.plan.subjects.truncate(1);
    record.subjects.truncate(1);
    record.runs.truncate(1);
    for point in &mut record.runs[0].points {
        point.blackout = Blackout::default();
        point.forecast = None;
    }
    let text = told(&record);
    for said in reasons {
        assert!(text.contains(said), "{said}");
    }
}

#[test]
fn the_plan_can_be_run_again_from_the_page() {
    let mut record = made_up::record();
    let text = markdown(&page(&record, &Results::of(&record, None)));
    let file = text.split("```toml\n").nth(1).expect("the plan");
    let file = file.split("\n```").next().expect("its end");
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("plan.toml");
    std::fs::write(&path, file).unwrap();
    assert_eq!(BenchPlan::read(&path).unwrap(), record.plan);
    assert!(text.contains("vmferry bench compare report.json"));
    assert!(!text.contains("vmferry bench resume"));
    record.ended_at = None;
    let text = markdown(&page(&record, &Results::of(&record, None)));
    assert!(text.contains(&format!("vmferry bench resume {}", record.id)));
}

#[test]
fn all_migrations_failed() {
    let mut record = made_up::record();
    for run in &mut record.runs {
        run.points.iter_mut().for_each(|point| point.give_up());
        run.points[0].status = PointStatus::Failed;
        run.points[1].status = PointStatus::Refused;
    }
    let html = checked(&record);
    for said in [
        "0 of 9",
        "there is nothing to draw",
        "was refused before it began",
        "had not converged",
    ] {
        assert!(html.contains(said), "{said}");
    }
}

#[test]
fn a_lean_document_keeps_all_but_traces_and_series() {
    let record = made_up::small();
    let whole = BenchDocument::whole(&record, &Results::of(&record, None));
    let lean = whole.clone().leaned();
    let text = |document: &BenchDocument| serde_json::to_string(document).unwrap();
    assert!(text(&lean).len() * 5 < text(&whole).len());
    // Digits beyond what JSON's reader keeps may differ.
    let read: BenchDocument = serde_json::from_str(&text(&whole)).unwrap();
    assert!(!read.lean);
    assert_eq!(read.record.runs.len(), whole.record.runs.len());
    assert_eq!(read.record.plan, whole.record.plan);
    assert!(lean.lean && !whole.lean);
    assert_eq!(
        lean.record.runs[0].points[0].downtime,
        record.runs[0].points[0].downtime
    );
    let html = checked(&lean.record);
    assert!(
        !html.contains("latency, qemu"),
        "no drawing of what was left out"
    );
}

/// Two subjects on two workloads under light load, three times.
fn brief() -> BenchRecord {
    let mut record = made_up::record();
    let (subjects, workloads) = (["qemu-10.0", "qemu-7.2"], ["web", "postgres"]);
    let plan = &mut record.plan;
    plan.subjects
        .retain(|one| subjects.contains(&one.name.as_str()));
    plan.workloads
        .retain(|name| workloads.contains(&name.as_str()));
    plan.loads = vec![Load::Light];
    record
        .subjects
        .retain(|one| subjects.contains(&one.name.as_str()));
    record
        .images
        .retain(|one| workloads.contains(&one.name.as_str()));
    record.runs.retain(|run| {
        run.key.load == Load::Light
            && subjects.contains(&run.key.subject.as_str())
            && workloads.contains(&run.key.workload.as_str())
    });
    record
}

#[test]
fn a_whole_page() {
    let record = brief();
    insta::assert_snapshot!(markdown(&page(&record, &Results::of(&record, None))));
}

/// All rows of all tables in Markdown, heads included, as they are read.
fn rows_of_markdown(text: &str) -> Vec<Vec<String>> {
    let lines = text.lines().filter(|line| line.starts_with("| "));
    let rules = |line: &&str| !line.starts_with("| ---");
    let cells = |line: &str| {
        let inner = line.trim_start_matches("| ").trim_end_matches(" |");
        let cells = inner.split(" | ").map(|cell| cell.replace('\\', ""));
        cells.map(|cell| cell.trim().to_owned()).collect()
    };
    lines.filter(rules).map(cells).collect()
}

/// The same in HTML.
fn rows_of_html(text: &str) -> Vec<Vec<String>> {
    let rows = text.split("<tr>").skip(1);
    rows.map(|row| {
        let row = row.split("</tr>").next().unwrap_or_default();
        let cells = row.split("<t").skip(1);
        cells
            .map(|cell| {
                let inner = cell.split_once('>').expect("the tag ends").1;
                let inner = inner.split("</t").next().unwrap_or_default();
                let plain = inner.replace("&lt;", "<").replace("&gt;", ">");
                let plain = plain.replace("&#39;", "'").replace("&quot;", "\"");
                plain.replace("&amp;", "&").trim().to_owned()
            })
            .collect()
    })
    .collect()
}

#[test]
fn json_markdown_and_html_tell_the_same() {
    let record = brief();
    let results = Results::of(&record, None);
    let json = serde_json::to_value(BenchDocument::whole(&record, &results)).unwrap();
    let page = page(&record, &results);
    let (markdown, html) = (markdown(&page), html(&page));
    let rows = rows_of_markdown(&markdown);
    assert!(rows.len() > 40, "{}", rows.len());
    assert_eq!(rows, rows_of_html(&html));

    let row = |head: &str, name: &str| -> &[String] {
        let begin = rows.iter().position(|row| row.join(" ").contains(head));
        let mut rows = rows[begin.expect(head)..].iter();
        rows.find(|row| row[0] == name).expect(name)
    };
    for scores in json["results"]["scores"].as_array().unwrap() {
        let name = scores["judged"]["subject"].as_str().unwrap();
        let told = row("subject downtime total time migrated data overhead", name);
        for (score, told) in scores["scores"].as_array().unwrap().iter().zip(&told[1..]) {
            let value = format!("{:.0}", score["score"].as_f64().unwrap());
            let sure = &score["confidence"];
            let expected = match sure["low"].as_f64().zip(sure["high"].as_f64()) {
                None => value,
                Some((low, high)) => format!("{value} ({low:.0}–{high:.0})"),
            };
            assert_eq!(*told, expected, "{name}");
        }
    }
    for finding in json["results"]["findings"]["findings"].as_array().unwrap() {
        let sentence = finding["sentence"].as_str().unwrap();
        let marked = sentence.replace('<', "\\<");
        assert!(markdown.contains(&format!("- {marked}.")), "{sentence}");
        let escaped = sentence.replace('<', "&lt;");
        assert!(html.contains(&format!("<li>{escaped}.</li>")), "{sentence}");
    }
    // Of raw samples: the total times of a cell's migrations.
    for subject in ["qemu-10.0", "qemu-7.2"] {
        let runs = json["record"]["runs"].as_array().unwrap().iter();
        let runs =
            runs.filter(|run| run["key"]["subject"] == subject && run["key"]["workload"] == "web");
        let mut times: Vec<f64> = runs
            .flat_map(|run| run["points"].as_array().unwrap())
            .map(|point| point["total_time_ms"].as_f64().unwrap() / 1e3)
            .collect();
        times.sort_by(f64::total_cmp);
        assert_eq!(times.len(), 9);
        let told = row("total time, s", subject);
        let expected = format!("{:.2} ({:.2}–{:.2})", times[4], times[0], times[8]);
        assert_eq!(told[1], expected, "{subject}");
    }
}

#[test]
fn another_machines_reference_is_told() {
    let record = brief();
    let mut other = made_up::small();
    other.id = uuid::Uuid::from_u128(3);
    other.machine.cpu = "Older CPU".to_owned();
    let reference = Side::new(&other, "qemu-10.0").unwrap();
    let results = Results::of(&record, Some(reference));
    let text = markdown(&page(&record, &results));
    for said in [
        "measured under other conditions",
        "- the processor differs: Made-up CPU at 2.00 GHz against Older CPU.",
        "- postgres is in no score: the reference was not run with it.",
        "(qemu 10.0.2",
    ] {
        assert!(text.contains(said), "{said}");
    }
    let own = markdown(&page(&record, &Results::of(&record, None)));
    assert!(!own.contains("other conditions"));
}

#[test]
fn overheads_below_zero_are_told_as_what_they_are() {
    let mut record = brief();
    for run in &mut record.runs {
        if let Some(with) = &mut run.migrated {
            with.operations *= 2;
        }
    }
    let text = markdown(&page(&record, &Results::of(&record, None)));
    for said in [
        "- web: overheads below 0, by more work with migrations than without, of qemu-10.0 (-9",
        "the warm-up was too short; overheads are not compared here.",
        "| none told, see below |",
        "- web is not in the score of overhead: the reference's value is not above 0.",
    ] {
        assert!(text.contains(said), "{said}");
    }
    let findings = text.split("## Scores").next().unwrap();
    assert!(!findings.contains("overhead 8"), "no advice by them");
}
