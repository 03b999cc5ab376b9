//! `cargo xtask bench throttle`: real guests moved under every controller, with the same promise.
//!
//! ```text
//! throttle                     every guest under every controller, those without a record yet; then report
//!   --only GUEST[,GUEST]       these guests only
//!   --controllers NAME[,NAME]  of off, qemu, jin-0.6 (any C), curve (policy urgent, as free as qemu),
//!                              curve-balanced, curve-gentle
//!   --repeats N                so many moves of each [1]
//! throttle --sweep             the memory writer of jin2011; prints its length first
//!   --quick                    what half an hour allows
//!   --rates, --links           Mbit/s written, Mbit/s of links; lists
//!   --controllers, --repeats   as above [5]
//!   --cap S                    when a move that does not end is made to [120; quick 60]
//! throttle --deadline          moves that have to end at a time; wants records of `curve` or `off`
//!   --runs N                   so many [20]
//! throttle --feasible          searches the recorded dirt for caps that keep the promise (minutes)
//! throttle --report            reports only
//! throttle --list              names the moves, with the other arguments
//!   --again                    makes records anew that exist
//!   --out DIR                  where records are kept [target/throttle]
//!   --docs DIR                 where pages are written [docs/promises]
//! ```
//! A move's record is GUEST.CONTROLLER.REPEAT.json, written as soon as it is over.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for people"
)]

mod cells;
mod deadlines;
mod feasible;
#[expect(dead_code, reason = "drawn by what the pages of papers need as well")]
#[path = "../../../vmferry-model/examples/papers/figure.rs"]
mod figure;
mod guest_work;
mod onlooker;
mod options;
#[expect(dead_code, reason = "written by what the pages of papers need as well")]
#[path = "../../../vmferry-model/examples/papers/page.rs"]
mod page;
mod record;
mod report;
mod run;
mod steering;
mod sweep;
mod unmoved;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use cells::Cell;
use options::{Options, Work};
use run::Fault;
use steering::Steering;
use sweep::Sweep;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    // The moves of this program are guarded by this program.
    if let [command, state, move_id] = args.as_slice()
        && command == "guard"
    {
        let Ok(move_id) = move_id.parse() else {
            return ExitCode::from(2);
        };
        return ended(vmferry::guarding::guard(Path::new(state), move_id));
    }
    match Options::read(&args) {
        Ok(options) => ended(work(&options)),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

fn ended(result: Result<(), impl std::fmt::Display>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn work(options: &Options) -> Result<(), Fault> {
    let directory = match &options.out {
        Some(directory) => directory.clone(),
        None => root().join("target/throttle"),
    };
    match options.work {
        Work::Guests => run_all(&guests(options)?, &directory, options.again)?,
        Work::Sweep => run_all(&sweep(options).cells(), &directory, options.again)?,
        Work::List => {
            for cell in guests(options)?.iter().chain(&sweep(options).cells()) {
                println!("{}", cell.line());
            }
            return Ok(());
        }
        Work::Deadline => {
            let records = record::read_all(&directory)?;
            let mut cells = deadlines::cells(&records, options.runs.unwrap_or(DEADLINES))?;
            cells.retain(|cell| options.only.is_empty() || options.only.contains(&cell.guest));
            run_all(&cells, &directory, options.again)?;
        }
        Work::Feasible => {
            let verdicts = feasible::search(&record::read_all(&directory)?)?;
            feasible::write(&verdicts_path(&directory), &verdicts)?;
        }
        Work::Report => {}
    }
    let mut records = record::read_all(&directory)?;
    let made = records.len();
    records.retain(|record| record.cell.is_current());
    if records.len() < made {
        eprintln!(
            "{} records are of loads or promises that have changed since and are left out; the bench makes them anew",
            made - records.len()
        );
    }
    let verdicts = feasible::read(&verdicts_path(&directory))?;
    let report = report::Report::of(&records, &verdicts);
    let docs = options.docs.clone();
    let docs = docs.unwrap_or_else(|| root().join("docs/promises"));
    println!("{}", report.write(&docs)?);
    Ok(())
}

/// Moves with a deadline unless another number is given.
const DEADLINES: usize = 20;

/// Beside the records, which are all that is in their directory.
fn verdicts_path(directory: &Path) -> PathBuf {
    directory.with_extension("feasible.json")
}

fn guests(options: &Options) -> Result<Vec<Cell>, Fault> {
    let steerings = options.steerings.clone();
    let steerings = steerings.unwrap_or_else(Steering::all);
    let mut cells = cells::guests(&steerings, options.repeats.unwrap_or(1));
    for name in &options.only {
        if !cells.iter().any(|cell| cell.guest == *name) {
            return Err(format!("there is no guest {name}; --list names them").into());
        }
    }
    cells.retain(|cell| options.only.is_empty() || options.only.contains(&cell.guest));
    Ok(cells)
}

fn sweep(options: &Options) -> Sweep {
    let usual = if options.quick {
        Sweep::quick()
    } else {
        Sweep::full()
    };
    Sweep {
        rates: options.rates.clone().unwrap_or(usual.rates),
        links: options.links.clone().unwrap_or(usual.links),
        steerings: options.steerings.clone().unwrap_or(usual.steerings),
        repeats: options.repeats.unwrap_or(usual.repeats),
        cap_s: options.cap_s.unwrap_or(usual.cap_s),
    }
}

/// Makes the moves that have no record yet.
fn run_all(cells: &[Cell], directory: &Path, again: bool) -> Result<(), Fault> {
    std::fs::create_dir_all(directory)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let todo: Vec<&Cell> = cells
        .iter()
        .filter(|cell| again || !record::exists(directory, cell))
        .collect();
    let takes = |cells: &[&Cell]| clock(cells.iter().map(|cell| cell.takes_s()).sum());
    println!("{} moves, about {}", todo.len(), takes(&todo));
    let began = Instant::now();
    for (index, cell) in todo.iter().enumerate() {
        println!(
            "[{}/{}, about {} to go] {}",
            index + 1,
            todo.len(),
            takes(&todo[index..]),
            cell.line()
        );
        match runtime.block_on(run::cell(cell)) {
            Ok(record) => {
                println!("        {}", record.line());
                record.write(directory)?;
            }
            // One broken move must not cost the others; it is missing from the report.
            Err(error) => eprintln!("        failed: {error}"),
        }
    }
    println!("took {}", clock(began.elapsed().as_secs_f64()));
    Ok(())
}

/// Hours, minutes and seconds.
fn clock(seconds: f64) -> String {
    let seconds = seconds.round() as u64;
    let (h, m, s) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{h}:{m:02}:{s:02}")
}

/// The workspace.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
