//! What a reader can use.

use crate::findings::Findings;
use crate::report::page::{Section, Table};

/// The section.
pub(crate) fn section(findings: &Findings) -> Section {
    let mut section = Section::new("Findings");
    match findings.findings.is_empty() {
        true => section.say("No difference between subjects can be told from noise."),
        false => section.list(
            findings
                .findings
                .iter()
                .map(|finding| format!("{}.", finding.sentence))
                .collect(),
        ),
    }
    if findings.undecided > 0 {
        section.say(format!(
            "{} comparisons stay undecided: more repeats may tell.",
            findings.undecided
        ));
    }
    let head = [
        "where",
        "by",
        "lowest",
        "its mean",
        "not distinguishable from it",
        "worse",
    ];
    let mut table = Table::of_words("Which subject is best for which service", &head);
    table.rows = findings
        .best
        .iter()
        .map(|best| {
            vec![
                best.cell.to_string(),
                best.metric.to_string(),
                best.subject.clone(),
                best.metric.show(best.mean),
                listed(&best.not_distinguishable),
                listed(&best.worse),
            ]
        })
        .collect();
    section.table(table);
    section
}

fn listed(names: &[String]) -> String {
    match names.is_empty() {
        true => "none".to_owned(),
        false => names.join(", "),
    }
}
