//! How much the benchmark differs from itself.

use vmferry_core::Ratio;

use crate::metric::Metric;
use crate::repeatability::Repeatability;
use crate::report::aim::{self, REPEATABILITY};
use crate::report::page::{Block, Holds, Section, Table};
use crate::report::spread::{UNKNOWN, number};

/// The section.
pub(crate) fn section(spreads: &[Repeatability]) -> Section {
    let mut section = Section::new("Repeatability");
    let known = spreads.iter().flat_map(|one| &one.scores);
    if known.filter_map(|score| score.relative_sd).next().is_none() {
        section.say("Nothing was run twice yet, so that nothing can be said of repeatability.");
        return section;
    }
    let aim = aim::percent(REPEATABILITY);
    section.say(format!(
        "Standard deviations over repeats, in per cent of the mean. The aim is {aim} % at most, what \
         Virt-LM's authors had over three runs. Noise is that of the service's rate without \
         migrations: of a score over all workloads and loads together, of a migration point in the \
         sector that begins with it."
    ));
    section.list(held(spreads));
    section.table(scores(spreads));
    section.table(cells(spreads));
    let points = points(spreads);
    if !points.rows.is_empty() {
        let summary = "The same of every migration point".to_owned();
        section
            .blocks
            .push(Block::Fold(summary, vec![Block::Table(points)]));
    }
    section
}

/// What keeps the aim, and which scores do not.
fn held(spreads: &[Repeatability]) -> Vec<String> {
    let aim = aim::percent(REPEATABILITY);
    let count = |what: &str, known: Vec<Ratio>| {
        let keep = known.iter().filter(|sd| sd.0 <= REPEATABILITY.0).count();
        format!("{keep} of {} {what}", known.len())
    };
    let scores = spreads.iter().flat_map(|one| &one.scores);
    let cells = spreads.iter().flat_map(|one| &one.cells);
    let points = spreads.iter().flat_map(|one| &one.points);
    let mut said = vec![format!(
        "Within {aim} %: {}, {}, {}.",
        count("scores", scores.filter_map(|one| one.relative_sd).collect()),
        count(
            "means of a workload under a load",
            cells.filter_map(|one| one.relative_sd).collect()
        ),
        count(
            "figures of single migration points",
            points.filter_map(|one| one.relative_sd).collect()
        ),
    )];
    for metric in Metric::ALL {
        let above = spreads.iter().filter_map(|one| {
            let mut scores = one.scores.iter().filter(|score| score.metric == metric);
            let above = scores.find(|score| score.within_paper == Some(false))?;
            Some(format!(
                "{} ({} %)",
                one.side.subject,
                told(above.relative_sd)
            ))
        });
        let above: Vec<String> = above.collect();
        if !above.is_empty() {
            said.push(format!(
                "Above {aim} %: score of {metric} of {}.",
                above.join(", ")
            ));
        }
    }
    said
}

fn told(sd: Option<Ratio>) -> String {
    sd.map_or_else(|| UNKNOWN.to_owned(), |sd| number(sd.percent()))
}

fn head(first: &str, metrics: &[Metric], last: &[&str]) -> Vec<String> {
    let metrics = metrics.iter().map(|metric| format!("{metric}, %"));
    let last = last.iter().map(|title| (*title).to_owned());
    std::iter::once(first.to_owned())
        .chain(metrics)
        .chain(last)
        .collect()
}

fn scores(spreads: &[Repeatability]) -> Table {
    let rows = spreads.iter().map(|one| {
        let cells = Metric::ALL.map(|metric| {
            let found = one.scores.iter().find(|score| score.metric == metric);
            told(found.and_then(|score| score.relative_sd))
        });
        std::iter::once(one.side.subject.clone())
            .chain(cells)
            .chain([told(one.noise_of_scores)])
            .collect()
    });
    Table {
        caption: "Of the scores".to_owned(),
        head: head("subject", &Metric::ALL, &["noise, %"]),
        rows: rows.collect(),
        holds: Holds::Numbers,
    }
}

fn cells(spreads: &[Repeatability]) -> Table {
    let mut rows = Vec::new();
    for one in spreads {
        for noise in &one.noise {
            let mut row = vec![format!("{}, {}", noise.cell, one.side.subject)];
            for metric in Metric::ALL {
                let mut cells = one.cells.iter();
                let found = cells.find(|cell| cell.cell == noise.cell && cell.metric == metric);
                row.push(told(found.and_then(|cell| cell.relative_sd)));
            }
            row.push(told(noise.relative_sd));
            rows.push(row);
        }
    }
    Table {
        caption: "Of the means of each workload and load".to_owned(),
        head: head("where, subject", &Metric::ALL, &["noise, %"]),
        rows,
        holds: Holds::Numbers,
    }
}

fn points(spreads: &[Repeatability]) -> Table {
    let mut rows = Vec::new();
    for one in spreads {
        let downtimes = one
            .points
            .iter()
            .filter(|point| point.metric == Metric::Downtime);
        for point in downtimes {
            let mut row = vec![format!(
                "{}, {}, point {}",
                point.cell, one.side.subject, point.point
            )];
            for metric in Metric::OF_POINTS {
                let mut points = one.points.iter();
                let found = points.find(|other| {
                    other.cell == point.cell && other.point == point.point && other.metric == metric
                });
                row.push(told(found.and_then(|found| found.relative_sd)));
            }
            let noise = one.noise.iter().filter(|noise| noise.cell == point.cell);
            let mut noise = noise.flat_map(|noise| &noise.points);
            let noise = noise.find(|noise| noise.point == point.point);
            row.push(told(noise.and_then(|noise| noise.relative_sd)));
            rows.push(row);
        }
    }
    Table {
        caption: "Of every migration point".to_owned(),
        head: head("where, subject, point", &Metric::OF_POINTS, &["noise, %"]),
        rows,
        holds: Holds::Numbers,
    }
}
