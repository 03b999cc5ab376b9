//! How well `learned` forecasts the 100 QEMU migrations of a PostgreSQL guest
//! (LordWicked/live-migration-thesis-code, `logs_14_major`), each scenario
//! left out in turn, beside the formulas:
//!
//! ```text
//! cargo run --release -p vmferry-model --example learned_on_qemu_postgres -- FOLDER
//! ```
//!
//! FOLDER holds `migrations.csv` and `rounds.csv`. What the data do not say is
//! taken thus:
//! - *Dirty rate*: QEMU's `dirty-pages-rate` of the run's first round, where it
//!   has one (a whole pass: 5 to 30 s); else the median of the runs that did
//!   the same. It stands for a measurement before the move, which nobody made.
//! - *Bandwidth*: 128 MiB/s, QEMU's `max-bandwidth`, while pages are sent
//!   before the switch; 10 Gbit/s where post-copy starts at once.
//! - *Censored*: `Precopy_Nonconvergent_*`, which end only because the workload
//!   does.
//! - *Downtime*: QEMU's own, which is not the outage of `Stop_Copy`; there it
//!   is the total time.
#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

use std::collections::BTreeMap;
use std::error::Error;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use vmferry_core::{ByteRate, Bytes, ImportedMigration, Millis, Technique};
use vmferry_model::leaderboard::{Errors, Holdout, Leaderboard, compare};
use vmferry_model::learned::{Learned, Uncorrected};
use vmferry_model::predictor::named::AsIs;
use vmferry_model::predictor::{Avg, ClosedForm, Fit, Past, RuleSet};

type Row = BTreeMap<String, String>;

fn rows(path: &Path) -> Result<Vec<Row>, Box<dyn Error>> {
    let mut reader = csv::Reader::from_path(path)
        .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    Ok(reader.deserialize().collect::<Result<_, _>>()?)
}

fn number(row: &Row, column: &str) -> Result<f64, Box<dyn Error>> {
    let text = row.get(column).ok_or(format!("no column {column}"))?;
    Ok(text
        .parse()
        .map_err(|e| format!("{column} `{text}`: {e}"))?)
}

/// What the guest did: scenarios of equal work dirty alike.
fn work(row: &Row) -> (String, String) {
    (row["ycsb_threads"].clone(), row["ycsb_read"].clone())
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

fn migrations(folder: &Path) -> Result<Vec<ImportedMigration>, Box<dyn Error>> {
    let runs = rows(&folder.join("migrations.csv"))?;
    let mut first_round = BTreeMap::new();
    for round in rows(&folder.join("rounds.csv"))? {
        // QEMU tells the rate of a round once it is over.
        let pages = number(&round, "dirty_pages_rate").unwrap_or(0.0);
        if round["sync"] == "2" && pages > 0.0 {
            first_round.insert((round["scenario"].clone(), round["run"].clone()), pages);
        }
    }
    let seen = |run: &Row| first_round.get(&(run["scenario"].clone(), run["run"].clone()));
    let mut found = Vec::new();
    for run in &runs {
        let alike = runs.iter().filter(|other| work(other) == work(run));
        let pages = seen(run)
            .copied()
            .or_else(|| median(alike.filter_map(|other| seen(other).copied()).collect()))
            .ok_or("no run tells a dirty rate")?;
        let technique = match (
            run["mode_0pre_1stop_2post"].as_str(),
            run["auto_converge"].as_str(),
        ) {
            ("0", "1") => Technique::AutoConverge,
            ("0", _) => Technique::PreCopy,
            ("1", _) => Technique::StopAndCopy,
            _ => Technique::PostCopy,
        };
        let at_once = technique == Technique::PostCopy && run["postcopy_start_s"] == "0";
        let total = number(run, "total_time_ms")?;
        found.push(ImportedMigration {
            run: Some(run["run"].clone()),
            guest: None,
            workload: Some(run["scenario"].clone()),
            started_at: None,
            technique,
            memory_bytes: Bytes((number(run, "mem_gib")? * 1024.0) as u64 * (1 << 20)),
            dirty_rate: ByteRate(pages * 4096.0),
            bandwidth: if at_once {
                ByteRate::from_mbit_per_s(10_000.0)
            } else {
                ByteRate::from_mib_per_s(128.0)
            },
            downtime_limit_ms: Some(Millis(300.0)),
            converged: Some(!run["scenario"].starts_with("Precopy_Nonconvergent")),
            total_time_ms: Millis(total),
            downtime_ms: Some(Millis(if technique == Technique::StopAndCopy {
                total
            } else {
                number(run, "qemu_downtime_ms")?
            })),
            transferred_bytes: Some(Bytes(number(run, "transferred_bytes")? as u64)),
        });
    }
    Ok(found)
}

fn print(title: &str, board: &Leaderboard) {
    println!(
        "\n{title}: {} migrations, {} censored (in verdicts only)",
        board.moves, board.censored
    );
    println!(
        "model        technique      forecast  total time: med mean p90 cov | downtime | traffic | verdicts"
    );
    let percent = |share: f64| format!("{:.1}%", share * 100.0);
    let errors = |errors: Option<Errors>| {
        errors.map_or("-".to_owned(), |e| {
            let coverage = e.coverage.map_or("-".to_owned(), percent);
            let (median, mean, p90) = (percent(e.median), percent(e.mean), percent(e.p90));
            format!("{median} {mean} {p90} {coverage}")
        })
    };
    for s in &board.standings {
        println!(
            "{:<12} {:<14} {:>3} of {:>3}  {} | {} | {} | {}",
            s.model,
            s.technique.map_or("all", Technique::name),
            s.forecast,
            s.moves,
            errors(s.total_time),
            errors(s.downtime),
            errors(s.transferred),
            s.verdicts
                .map_or("-".to_owned(), |v| format!("{} of {}", v.right, v.n)),
        );
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args_os()
        .nth(1)
        .ok_or("give the folder with migrations.csv")?;
    let rows = migrations(Path::new(&folder))?;
    let uncorrected = AsIs(Arc::new(Uncorrected));
    let closed_form = AsIs(Arc::new(ClosedForm));
    let avg = AsIs(Arc::new(Avg {
        rules: RuleSet::default(),
    }));
    let models: [&dyn Fit; 4] = [&Learned, &uncorrected, &closed_form, &avg];
    let all: Vec<Past<'_>> = rows.iter().map(Past::from).collect();
    print(
        "every scenario left out in turn",
        &compare(&all, &models, Holdout::Workload, 1, NonZeroUsize::MIN)?,
    );
    // When post-copy starts is not among what the model may know.
    let late = |past: &&Past<'_>| past.case.workload.is_none_or(|w| !w.contains("_Late_"));
    let known: Vec<Past<'_>> = all.iter().filter(late).cloned().collect();
    print(
        "the same without post-copy started late",
        &compare(&known, &models, Holdout::Workload, 1, NonZeroUsize::MIN)?,
    );
    Ok(())
}
