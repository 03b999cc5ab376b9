//! What a reader can use.

use std::collections::BTreeSet;

use crate::difference::LEVEL;
use crate::findings::{Best, DoubtfulOverhead, Findings, POSTCOPY_RISK, chance, joined};
use crate::metric::Metric;
use crate::report::page::{Section, Table};
use crate::report::spread::UNKNOWN;
use crate::side::CellName;

/// The section, of so many subjects.
pub(crate) fn section(findings: &Findings, subjects: usize) -> Section {
    let mut section = Section::new("Findings");
    section.table(best(findings));
    match findings.findings.is_empty() {
        true if subjects == 1 => section.say(
            "One subject only, so that nothing is compared: name more in a plan \
             (docs/virt-lm/plan.toml), or compare with another benchmark: vmferry bench compare A B.",
        ),
        true => section.say("No difference between subjects can be told from noise."),
        false => {
            section.list(
                findings
                    .findings
                    .iter()
                    .map(|finding| format!("{}.", finding.sentence))
                    .collect(),
            );
            section.say(format!(
                "p is the probability of such a difference by chance, corrected for all that are \
                 judged together: from {LEVEL} on a difference counts as not distinguishable. \
                 Behind ± is half of the 95 % interval. Findings hold for this machine, these \
                 services and this plan. In the table all pairs of subjects are judged together, in \
                 the sentences those with the first one: the p of a pair can differ."
            ));
        }
    }
    if findings.undecided > 0 {
        section.say(format!(
            "{} stay undecided: more repeats may tell.",
            match findings.undecided {
                1 => "1 comparison".to_owned(),
                many => format!("{many} comparisons"),
            }
        ));
    }
    section.list(risks(findings));
    section.list(doubts(findings));
    section
}

/// What comes with the subjects of the table that may use post-copy.
fn risks(findings: &Findings) -> Vec<String> {
    let named = findings.best.iter().filter(|best| best.may_use_postcopy);
    let subjects: BTreeSet<&str> = named.map(|best| best.subject.as_str()).collect();
    let told = subjects.into_iter();
    told.map(|subject| format!("{subject}: {POSTCOPY_RISK}."))
        .collect()
}

/// What overheads below 0 are, by cell.
fn doubts(findings: &Findings) -> Vec<String> {
    let cells = findings.doubtful.chunk_by(|a, b| a.cell == b.cell);
    cells
        .map(|doubtful| {
            let figures: Vec<String> = doubtful.iter().map(DoubtfulOverhead::figure).collect();
            let why = match doubtful.iter().all(|one| one.noise) {
                true => "that cannot be told from an overhead of 0",
                false => {
                    "that is no gain by migrations: most likely the service was still getting \
                     faster, and the warm-up was too short; overheads are not compared here"
                }
            };
            format!(
                "{}: overheads below 0, by more work with migrations than without, of {}; {why}.",
                doubtful[0].cell,
                joined(&figures)
            )
        })
        .collect()
}

/// A row for each service, a column for each metric.
fn best(findings: &Findings) -> Table {
    let mut head = vec!["service".to_owned()];
    head.extend(Metric::ALL.iter().map(|metric| format!("by {metric}")));
    let cells: BTreeSet<_> = findings.best.iter().map(|best| &best.cell).collect();
    let doubted = |cell: &CellName| findings.doubtful.iter().any(|one| one.cell == *cell);
    let rows = cells.into_iter().map(|cell| {
        let of = |metric| {
            let mut found = findings.best.iter();
            found.find(|best| best.cell == *cell && best.metric == metric)
        };
        let told = Metric::ALL.map(|metric| match of(metric) {
            Some(best) => with_incomplete(best),
            None if metric == Metric::Overhead && doubted(cell) => {
                "none told, see below".to_owned()
            }
            None => UNKNOWN.to_owned(),
        });
        std::iter::once(cell.to_string()).chain(told).collect()
    });
    Table {
        rows: rows.collect(),
        head,
        ..Table::of_words(
            "Which subject is best for which service, and how sure that is",
            &[],
        )
    }
}

/// The same with the migrations that were counted rather than measured.
fn with_incomplete(best: &Best) -> String {
    let compared = !(best.worse.is_empty() && best.not_distinguishable.is_empty());
    let mut text = match compared {
        true => told(best),
        false => format!(
            "{} alone completed its migrations: {}",
            best.subject,
            best.metric.show(best.mean)
        ),
    };
    let incomplete = best.incomplete.iter();
    for words in incomplete.filter_map(|one| one.words_by(best.metric)) {
        text.push_str("; ");
        text.push_str(&words);
    }
    text
}

/// `multifd: 2.01 s; xbzrle as good; better than default (p = 0.003)`.
fn told(best: &Best) -> String {
    let mean = match best.metric {
        // An overhead that noise made negative.
        Metric::Overhead if best.mean < 0.0 => "none measurable".to_owned(),
        metric => metric.show(best.mean),
    };
    if best.worse.is_empty() {
        return format!("not distinguishable; lowest mean {mean} ({})", best.subject);
    }
    let as_good = match best.not_distinguishable.is_empty() {
        true => String::new(),
        false => format!("; maybe as good: {}", best.not_distinguishable.join(", ")),
    };
    let sure = best
        .p
        .map_or_else(String::new, |p| format!(" ({})", chance(p)));
    format!(
        "{}: {mean}; better than {}{sure}{as_good}",
        best.subject,
        best.worse.join(", ")
    )
}
