//! `cargo xtask bench accuracy`: real migrations, each with a forecast frozen
//! before it, and what other ways of forecasting would have said.
//!
//! ```text
//! accuracy                     run every cell that has no record yet, then report
//! accuracy --only NAME         run one cell, again
//! accuracy --set tuning|held   run only the cells that may be looked at, or only those held back
//! accuracy --series            move the same few guests again and again, then report
//! accuracy --models            compare every model on the recorded migrations (minutes)
//! accuracy --report            only report, with the forecasts as they were frozen
//! accuracy --replay            only report, with forecasts made anew from the recorded observations
//! accuracy --list              name the cells
//! ```
//! Records go to `target/accuracy/NAME.json`, the report to `docs/accuracy/`.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for people"
)]

mod cells;
mod models;
mod others;
mod record;
mod report;
mod run;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use cells::{Cell, Set};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    // The moves of this program are guarded by this program.
    if let [command, state, move_id] = args.as_slice()
        && command == "guard"
    {
        let Ok(move_id) = move_id.parse() else {
            return ExitCode::from(2);
        };
        return match vmferry::guarding::guard(Path::new(state), move_id) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("error: {error}");
                ExitCode::FAILURE
            }
        };
    }
    match work(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn work(args: &[String]) -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let directory = root().join("target/accuracy");
    let cells = cells::all();
    let again = match words.as_slice() {
        [] => return run_all(&cells, &directory, false),
        ["--list"] => {
            for cell in &cells {
                println!("{}", cell.line());
            }
            return Ok(());
        }
        ["--only", name] => {
            let chosen: Vec<Cell> = cells
                .into_iter()
                .filter(|cell| cell.name == *name)
                .collect();
            if chosen.is_empty() {
                return Err(format!("there is no cell {name}; --list names them").into());
            }
            return run_all(&chosen, &directory, true);
        }
        ["--set", name @ ("tuning" | "held")] => {
            let set = if *name == "held" {
                Set::Held
            } else {
                Set::Tuning
            };
            let chosen: Vec<Cell> = cells.into_iter().filter(|cell| cell.set == set).collect();
            return run_all(&chosen, &directory, false);
        }
        ["--series"] => return run_all(&cells::series(), &directory, false),
        ["--models"] => return compare_models(&directory),
        ["--report"] => false,
        ["--replay"] => true,
        other => {
            return Err(format!(
                "unknown arguments {other:?}; see the head of examples/accuracy/main.rs"
            )
            .into());
        }
    };
    write_report(&cells, &directory, again)
}

fn run_all(
    cells: &[Cell],
    directory: &Path,
    again: bool,
) -> Result<(), Box<dyn std::error::Error>> {
    std::fs::create_dir_all(directory)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let todo: Vec<&Cell> = cells
        .iter()
        .filter(|cell| again || !record::path(directory, cell).exists())
        .collect();
    for (index, cell) in todo.iter().enumerate() {
        println!("[{}/{}] {}", index + 1, todo.len(), cell.line());
        match runtime.block_on(run::cell(cell)) {
            Ok(record) => {
                println!("        {}", record.line());
                record.write(directory)?;
            }
            // One broken cell must not cost the others; it is missing from the report.
            Err(error) => eprintln!("        failed: {error}"),
        }
    }
    write_report(&cells::all(), directory, false)
}

fn write_report(
    cells: &[Cell],
    directory: &Path,
    again: bool,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut records = Vec::new();
    for cell in cells {
        let path = record::path(directory, cell);
        if path.exists() {
            let mut record = record::Record::read(&path)?;
            if again {
                record.forecast_again()?;
            }
            records.push(record);
        }
    }
    learn(&mut records)?;
    let report = report::Report::of(&records);
    let text = report.markdown();
    println!("{text}");
    if !again {
        let docs = root().join("docs/accuracy");
        std::fs::create_dir_all(&docs)?;
        std::fs::write(docs.join("README.md"), &text)?;
        std::fs::write(docs.join("accuracy.json"), report.json()?)?;
    }
    Ok(())
}

/// Every model on all that was recorded.
fn compare_models(directory: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let mut records = Vec::new();
    for cell in cells::all().iter().chain(&cells::series()) {
        let path = record::path(directory, cell);
        if path.exists() {
            records.push(record::Record::read(&path)?);
        }
    }
    if records.is_empty() {
        return Err(
            "nothing is recorded in target/accuracy; run the bench without arguments first".into(),
        );
    }
    records.sort_by_key(|record| record.outcome.started_at);
    let text = models::markdown(&records)?;
    println!("{text}");
    std::fs::write(root().join("docs/accuracy/models.md"), &text)?;
    Ok(())
}

/// Lets every move learn from those before it, in the order in which they were made.
fn learn(records: &mut [record::Record]) -> Result<(), Box<dyn std::error::Error>> {
    records.sort_by_key(|record| record.outcome.started_at);
    let mut earlier = Vec::new();
    for record in records {
        record.learn_from(&earlier)?;
        earlier.push(record.as_remembered()?);
    }
    Ok(())
}

/// The workspace.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
