//! `cargo xtask bench overhead`: what observing a guest costs the guest and
//! its host.
//!
//! ```text
//! overhead            measure in full (a quarter of an hour), then report to docs/overhead/
//! overhead --quick    the same in two minutes, to see whether it works; writes nothing
//! ```
//! A guest of 4 GiB writes as fast as it can and counts what it wrote. Windows
//! without and with an observation take turns. Each observation runs in a
//! process of its own: what that process used is what observing costs.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for people"
)]

mod observer;
mod report;
mod schedule;
mod series;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use schedule::Schedule;

/// Why there is no result, in words.
pub(crate) type Fault = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match work(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn work(args: &[String]) -> Result<(), Fault> {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let full = match words.as_slice() {
        [] => true,
        ["--quick"] => false,
        // How this program starts itself for one observation.
        [observer::COMMAND, guest, budget, window_s] => {
            println!("{}", observer::observe(guest, budget, window_s)?);
            return Ok(());
        }
        other => {
            return Err(format!(
                "unknown arguments {other:?}; see the head of examples/overhead/main.rs"
            )
            .into());
        }
    };
    let schedule = if full {
        Schedule::full()
    } else {
        Schedule::quick()
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let series = runtime.block_on(series::run(&schedule))?;
    let report = report::Report::of(&series);
    let text = report.markdown();
    println!("{text}");
    if full {
        let docs = root().join("docs/overhead");
        std::fs::create_dir_all(&docs)?;
        std::fs::write(docs.join("README.md"), &text)?;
        std::fs::write(docs.join("overhead.json"), report.json()?)?;
    } else {
        println!("A quick run: too short to judge by, and written nowhere.");
    }
    Ok(())
}

/// The workspace.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
