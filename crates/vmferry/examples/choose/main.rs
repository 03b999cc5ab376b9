//! `cargo xtask bench choose`: the experiment of `liu2011` section 5.4 on real
//! QEMU. Eight guests of four kinds; which one to move is drawn at random, the
//! smallest, the one that dirties least, or the one that `choose` names. Every
//! choice is moved for real.
//!
//! ```text
//! choose            run the rounds that have no record yet (an hour), then report to docs/choice/
//! choose --quick    two rounds of a kind, to see whether it works; writes nothing
//! choose --report   only report
//! choose --observe  what observing the eight guests at once takes (three minutes); writes nothing
//! ```
//! Records go to `target/choice/`.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for people"
)]

mod bars;
mod guests;
mod observing;
mod policy;
mod real;
mod record;
mod report;
mod site;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;

use policy::Policy;
use record::{Moved, Round};
use site::Site;

/// Why there is no result, in words.
pub(crate) type Fault = Box<dyn std::error::Error + Send + Sync>;

/// Trials of every policy, as in the paper.
const ROUNDS: usize = 20;
/// Moves of every guest beside, so that of each is known what it really costs.
const REFERENCES: usize = 2;
/// Rounds of a quick run.
const QUICK_ROUNDS: usize = 2;

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
    ended(work(&args))
}

fn ended<E: std::fmt::Display>(result: Result<(), E>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn work(args: &[String]) -> Result<(), Fault> {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let directory = root().join("target/choice");
    match words.as_slice() {
        [] => {
            std::fs::create_dir_all(&directory)?;
            run(&directory, REFERENCES, ROUNDS)?;
            report(&directory, true)
        }
        ["--quick"] => {
            let directory = tempfile::tempdir()?;
            run(directory.path(), 0, QUICK_ROUNDS)?;
            report(directory.path(), false)?;
            println!("A quick run: too short to judge by, and written nowhere.");
            Ok(())
        }
        ["--report"] => report(&directory, true),
        ["--observe"] => runtime()?.block_on(observing::measure()),
        other => Err(format!(
            "unknown arguments {other:?}; see the head of examples/choose/main.rs"
        )
        .into()),
    }
}

fn run(directory: &Path, references: usize, rounds: usize) -> Result<(), Fault> {
    let missing_references: Vec<usize> = (0..references)
        .filter(|number| !record::reference_path(directory, *number).exists())
        .collect();
    let missing_rounds: Vec<usize> = (0..rounds)
        .filter(|number| !record::round_path(directory, *number).exists())
        .collect();
    if missing_references.is_empty() && missing_rounds.is_empty() {
        return Ok(());
    }
    runtime()?.block_on(async {
        let site = Site::start().await?;
        for number in missing_references {
            let moved = reference(&site, number).await?;
            record::write(&record::reference_path(directory, number), &moved)?;
        }
        for number in missing_rounds {
            println!("round {} of {rounds}", number + 1);
            let round = round(&site, number).await?;
            record::write(&record::round_path(directory, number), &round)?;
        }
        site.close().await
    })
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
}

/// Every guest moves once.
async fn reference(site: &Site, number: usize) -> Result<Vec<Moved>, Fault> {
    let mut names = site.names();
    names.shuffle(&mut SmallRng::seed_from_u64(1000 + number as u64));
    let mut all = Vec::new();
    for name in names {
        let moved = site.move_and_restart(&name).await?;
        println!("  reference {}", moved.line());
        all.push(moved);
    }
    Ok(all)
}

/// All policies choose by the same look at all guests; their choices are moved in
/// random order.
async fn round(site: &Site, number: usize) -> Result<Round, Fault> {
    let mut random = SmallRng::seed_from_u64(number as u64);
    let choice = site.choose().await?;
    let mut policies = Policy::ALL;
    policies.shuffle(&mut random);
    let mut trials = Vec::new();
    for policy in policies {
        let name = policy.pick(&choice, &mut random)?;
        let moved = site.move_and_restart(&name).await?;
        println!("  {:<11} {}", policy.name(), moved.line());
        trials.push((policy, moved));
    }
    trials.sort_by_key(|(policy, _)| *policy);
    Ok(Round { choice, trials })
}

fn report(directory: &Path, write: bool) -> Result<(), Fault> {
    let records = record::Records::read(directory)?;
    let report = report::Report::of(&records)?;
    let text = report.markdown();
    println!("{text}");
    if write {
        let docs = root().join("docs/choice");
        std::fs::create_dir_all(&docs)?;
        std::fs::write(docs.join("README.md"), &text)?;
        std::fs::write(docs.join("choice.json"), report.json()?)?;
        std::fs::write(docs.join("costs.svg"), bars::svg(&report.costs())?)?;
    }
    Ok(())
}

/// The workspace.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
