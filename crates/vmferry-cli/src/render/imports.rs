//! Imports for people.

use vmferry::imports::{ForgetReport, ImportList, ImportReport, printable};

use super::{table, text};

/// The answer of `history import`. Rejected rows are said on standard error.
pub(crate) fn taken(report: &ImportReport) -> String {
    let would = if report.dry_run { "would be " } else { "" };
    let mut lines = vec![
        ("source", report.source.clone()),
        ("taken", format!("{would}{}", report.taken)),
        ("already there", report.already_there.to_string()),
        ("rejected", report.rejected.len().to_string()),
    ];
    let by: Vec<String> = report
        .by_technique
        .iter()
        .map(|(technique, count)| format!("{count} {technique}"))
        .collect();
    if !by.is_empty() {
        lines.push(("techniques", by.join(", ")));
        lines.push(("workloads", report.workloads.to_string()));
        lines.push(("guests", report.guests.to_string()));
    }
    lines.extend(report.notes.iter().map(|note| ("note", printable(note))));
    lines
        .iter()
        .map(|(name, text)| format!("{name:<14} {text}"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// The answer of `history imports`.
pub(crate) fn sources(list: &ImportList) -> String {
    if list.sources.is_empty() {
        return "nothing was imported; see `vmferry history import --help`".to_owned();
    }
    let mut rows = table(&["source", "migrations", "imported"]);
    for source in &list.sources {
        let [first, last] = [source.first_imported_at, source.last_imported_at]
            .map(|at| at.strftime("%Y-%m-%d %H:%M:%S").to_string());
        rows.add_row(vec![
            printable(&source.source),
            source.migrations.to_string(),
            if first == last {
                first
            } else {
                format!("{first} to {last}")
            },
        ]);
    }
    text(&rows)
}

/// The answer of `history forget`.
pub(crate) fn forgotten(report: &ForgetReport) -> String {
    let source = printable(&report.source);
    format!("{} migrations of {source} removed", report.removed)
}
