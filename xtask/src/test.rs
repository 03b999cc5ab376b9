//! `cargo xtask test`: everything that must hold before a change is merged.

use std::process::Command;

use crate::command::{Heard, Stream, cargo, is_root, listen, run, which};
use crate::steps::Steps;
use crate::{Failure, Outcome, fail, install, lint, load};

/// Runs all steps. The last lines printed are the closing lines of the test runner, for those
/// who look at the end of the log only.
pub(crate) fn run_command() -> Outcome {
    if !is_root() {
        return fail(
            "the tests make network namespaces and start guests in them: run `cargo xtask test` as root \
             (the checks alone, `cargo xtask lint`, run as anybody)",
        );
    }
    let mut steps = Steps::default();
    let mut closing = Vec::new();
    let result = run_steps(&mut steps, &mut closing);
    println!("\n{}", steps.table());
    if closing.is_empty() {
        return result.or_else(|_| steps.verdict());
    }
    for line in &closing {
        println!("{line}");
    }
    // The step has said what failed; another line here would be the last one.
    result.map_err(|_| Failure::Ended(1))
}

fn run_steps(steps: &mut Steps, closing: &mut Vec<String>) -> Outcome {
    steps.report("install", install::run)?;
    steps.report("load", load::build)?;
    lint::run_all(steps)?;
    steps.run("doctests", || {
        run(with_guests(&mut cargo(["test", "--doc", "--workspace"])))
    })?;
    steps.run("tests", || tests(closing))
}

/// What the tests need to know: where the guest program is, and that a missing QEMU, ipmitool
/// or Prometheus is a failure here, never a reason to skip.
fn with_guests(command: &mut Command) -> &mut Command {
    command
        .env("VMFERRY_LOAD", load::path())
        .env("VMFERRY_TEST_REQUIRE_QEMU", "1")
        .env("VMFERRY_TEST_REQUIRE_METERS", "1")
}

fn tests(closing: &mut Vec<String>) -> Outcome {
    let heard = if has_nextest() {
        let heard = listen(
            with_guests(&mut cargo(["nextest", "run", "--workspace"])),
            Stream::Stderr,
        )?;
        *closing = nextest_closing(&heard.lines);
        heard
    } else {
        // No more than two guests at once, as .config/nextest.toml says for nextest. Binaries
        // only: the doc tests have run.
        let heard = listen(
            with_guests(&mut cargo([
                "test",
                "--workspace",
                "--lib",
                "--bins",
                "--tests",
                "--no-fail-fast",
                "--",
                "--test-threads=2",
            ])),
            Stream::Stdout,
        )?;
        *closing = cargo_test_closing(&heard.lines);
        heard
    };
    verdict(&heard, closing)
}

fn verdict(heard: &Heard, closing: &[String]) -> Outcome {
    if !heard.succeeded {
        return fail("tests failed, see above");
    }
    if closing.is_empty() {
        return fail("the test runner printed no summary: did it run?");
    }
    Ok(())
}

fn has_nextest() -> bool {
    let beside_cargo = std::env::var_os("CARGO_HOME")
        .map(std::path::PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".cargo")))
        .is_some_and(|home| home.join("bin/cargo-nextest").is_file());
    beside_cargo || which("cargo-nextest").is_some()
}

/// nextest's own closing lines: the summary, and the failed tests listed after it.
fn nextest_closing(lines: &[String]) -> Vec<String> {
    let Some(start) = lines
        .iter()
        .rposition(|line| line.trim_start().starts_with("Summary ["))
    else {
        return Vec::new();
    };
    lines[start..]
        .iter()
        .filter(|line| !line.starts_with("error:"))
        .cloned()
        .collect()
}

/// One line in the words of `cargo test`, which prints one for each test binary.
fn cargo_test_closing(lines: &[String]) -> Vec<String> {
    let results: Vec<&str> = lines
        .iter()
        .filter_map(|line| line.strip_prefix("test result: "))
        .collect();
    if results.is_empty() {
        return Vec::new();
    }
    let sum = |what: &str| -> u64 { results.iter().filter_map(|line| count(line, what)).sum() };
    let word = if results.iter().all(|line| line.starts_with("ok.")) {
        "ok"
    } else {
        "FAILED"
    };
    vec![format!(
        "test result: {word}. {} passed; {} failed; {} ignored; {} measured; {} filtered out",
        sum("passed"),
        sum("failed"),
        sum("ignored"),
        sum("measured"),
        sum("filtered out"),
    )]
}

/// The number before ` what` in `ok. 3 passed; 0 failed; …`.
fn count(line: &str, what: &str) -> Option<u64> {
    line.split("; ").find_map(|part| {
        part.strip_suffix(what)?
            .split_whitespace()
            .last()?
            .parse()
            .ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn nextest_closes_with_its_summary_and_what_failed() {
        let heard = lines(
            "        PASS [   0.007s] a b::c\n\
             ────────────\n     Summary [   0.011s] 3 tests run: 2 passed, 1 failed, 0 skipped\n        \
             FAIL [   0.005s] a b::d\nerror: test run failed",
        );
        assert_eq!(
            nextest_closing(&heard),
            [
                "     Summary [   0.011s] 3 tests run: 2 passed, 1 failed, 0 skipped",
                "        FAIL [   0.005s] a b::d"
            ]
        );
        assert_eq!(
            nextest_closing(&lines("error: could not compile `a`")),
            [""; 0]
        );
    }

    #[test]
    fn the_results_of_cargo_test_are_added_up() {
        let heard = lines(
            "test a ... ok\n\
             test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\
             test result: FAILED. 5 passed; 1 failed; 0 ignored; 0 measured; 3 filtered out; finished in 1.20s",
        );
        assert_eq!(
            cargo_test_closing(&heard),
            ["test result: FAILED. 7 passed; 1 failed; 1 ignored; 0 measured; 3 filtered out"]
        );
        assert_eq!(
            cargo_test_closing(&heard[..2])[0].split(". ").next(),
            Some("test result: ok")
        );
        assert_eq!(cargo_test_closing(&[]), [""; 0]);
    }

    #[test]
    fn a_runner_that_says_nothing_did_not_pass() {
        let silent = Heard {
            lines: Vec::new(),
            succeeded: true,
        };
        assert!(verdict(&silent, &[]).is_err());
        assert!(verdict(&silent, &["Summary".to_owned()]).is_ok());
        let failed = Heard {
            lines: Vec::new(),
            succeeded: false,
        };
        assert!(verdict(&failed, &["Summary".to_owned()]).is_err());
    }
}
