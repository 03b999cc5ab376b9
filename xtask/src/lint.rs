//! `cargo xtask lint`: every check that runs no test.

use crate::command::{cargo, run};
use crate::steps::Steps;
use crate::{Outcome, arrows, licences};

/// Runs the checks and prints the time of each.
pub(crate) fn run_all(steps: &mut Steps) -> Outcome {
    quick(steps)?;
    steps.run("clippy", clippy)?;
    steps.run("docs", docs)
}

/// The command itself.
pub(crate) fn run_command() -> Outcome {
    let mut steps = Steps::default();
    let result = run_all(&mut steps);
    println!("\n{}", steps.table());
    result.or_else(|_| steps.verdict())
}

/// The checks that build nothing. They all run, so that one look shows all they found.
fn quick(steps: &mut Steps) -> Outcome {
    let results = [
        steps.run("fmt", || run(&mut cargo(["fmt", "--all", "--", "--check"]))),
        steps.report("arrows", arrows::check),
        steps.report("licences", licences::check),
    ];
    if results.iter().any(Result::is_err) {
        return steps.verdict();
    }
    Ok(())
}

fn clippy() -> Outcome {
    run(&mut cargo([
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]))
}

/// The command's crate is left out: its binary is called `vmferry` as the library is, and both
/// would be written to the same folder.
fn docs() -> Outcome {
    run(cargo([
        "doc",
        "--workspace",
        "--no-deps",
        "--exclude",
        "vmferry-cli",
    ])
    .env("RUSTDOCFLAGS", "-Dwarnings"))
}
