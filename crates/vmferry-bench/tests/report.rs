//! Reports of made-up benchmarks: whole, under way, failed, and with names meant to do harm.

mod made_up;

use made_up::GiveUp as _;
use vmferry_bench::record::{BenchRecord, PointStatus};
use vmferry_bench::report::{
    html::html, json::BenchDocument, markdown::markdown, page, results::Results,
};

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
