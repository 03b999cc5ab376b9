//! The tool belt: everything a developer or the CI runs, as `cargo xtask COMMAND`.
//!
//! A program of its own with one dependency (`serde_json`), so that it is built in seconds
//! before anything else is. Every file is one command or one check.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command for people: printing is what it does"
)]

mod arrows;
mod bench;
mod command;
mod demo;
mod install;
mod layout;
mod licences;
mod lint;
mod load;
mod metadata;
mod papers;
mod purity;
mod rooms;
mod rust_text;
mod spdx;
mod steps;
mod test;

use std::ffi::OsString;
use std::fmt;
use std::process::ExitCode;

const USAGE: &str = "\
The tool belt of vmferry.

Usage: cargo xtask COMMAND [ARGS]

Commands:
  demo [ARGS]   install what is missing, build, and run `vmferry testbed demo ARGS`
  test          everything CI checks: install, load, lint, doc tests, tests; with the time of each step
  bench [NAME]  run a benchmark; without NAME, list them
  papers        write docs/papers.md: our figures beside those of the papers
  lint          rustfmt, arrows, licences, clippy, docs
  arrows        only: which crate may use which, purity, file names and sizes
  licences      only: the licence of every package we are built from
  load          build the static guest program, target/guest/vmferry-load
  install       install the Debian packages that demo and test need (Debian 12, root or sudo)

Exit codes: 0 done, 1 a step failed, 2 usage. `demo` and `bench` give the code of what they ran.
";

/// Why a command ended without doing its job.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Something was wrong; the text says what and what to do about it.
    Failed(String),
    /// The command line was wrong: exit code 2.
    Usage(String),
    /// A program we handed over to ended with this exit code and has already said why.
    Ended(u8),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Failed(text) | Failure::Usage(text) => f.write_str(text),
            Failure::Ended(code) => write!(f, "ended with exit code {code}"),
        }
    }
}

/// The result of a command or a step.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

/// Shorthand for the usual failure.
pub(crate) fn fail<T>(text: impl Into<String>) -> Outcome<T> {
    Err(Failure::Failed(text.into()))
}

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    match dispatch(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Usage(text)) => {
            eprintln!("error: {text}\n\n{USAGE}");
            ExitCode::from(2)
        }
        Err(Failure::Ended(code)) => ExitCode::from(code),
        Err(Failure::Failed(text)) => {
            eprintln!("error: {text}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(args: &[OsString]) -> Outcome {
    let Some((command, rest)) = args.split_first() else {
        return Err(Failure::Usage("no command given".to_owned()));
    };
    let command = command.to_string_lossy();
    // `demo` hands every argument on, so its `--help` is the demo's own.
    if command != "demo" && rest.iter().any(|a| a == "--help" || a == "-h") {
        print!("{USAGE}");
        return Ok(());
    }
    match &*command {
        "--help" | "-h" | "help" => {
            print!("{USAGE}");
            Ok(())
        }
        "demo" => demo::run_with(rest),
        "bench" => bench::run(rest),
        "test" => no_arguments(&command, rest).and_then(|()| test::run_command()),
        "lint" => no_arguments(&command, rest).and_then(|()| lint::run_command()),
        "papers" => no_arguments(&command, rest).and_then(|()| said(papers::write()?)),
        "arrows" => no_arguments(&command, rest).and_then(|()| said(arrows::check()?)),
        "licences" => no_arguments(&command, rest).and_then(|()| said(licences::check()?)),
        "load" => no_arguments(&command, rest).and_then(|()| said(load::build()?)),
        "install" => no_arguments(&command, rest).and_then(|()| said(install::run()?)),
        unknown => Err(Failure::Usage(format!("unknown command `{unknown}`"))),
    }
}

fn no_arguments(command: &str, rest: &[OsString]) -> Outcome {
    match rest.first() {
        None => Ok(()),
        Some(extra) => Err(Failure::Usage(format!(
            "`{command}` takes no argument, got `{}`",
            extra.to_string_lossy()
        ))),
    }
}

fn said(report: String) -> Outcome {
    println!("{report}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dispatched(args: &[&str]) -> Outcome {
        let args: Vec<OsString> = args.iter().map(OsString::from).collect();
        dispatch(&args)
    }

    #[test]
    fn unknown_commands_and_stray_arguments_are_usage_errors() {
        for args in [
            &[][..],
            &["tset"],
            &["arrows", "now"],
            &["bench", "no-such-bench"],
        ] {
            assert!(
                matches!(dispatched(args), Err(Failure::Usage(_))),
                "{args:?} must be refused as usage"
            );
        }
    }

    #[test]
    fn help_is_no_error_and_names_every_command() {
        for args in [
            &["--help"][..],
            &["help"],
            &["test", "--help"],
            &["install", "-h"],
        ] {
            assert!(dispatched(args).is_ok(), "{args:?}");
        }
        for command in [
            "demo", "test", "bench", "papers", "lint", "arrows", "licences", "load", "install",
        ] {
            assert!(USAGE.contains(&format!("\n  {command} ")), "{command}");
        }
    }
}
