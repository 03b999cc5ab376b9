//! The program inside test guests: makes a load that is known, and reports its own progress.
//! Runs as an ordinary program, or as PID 1 of a guest; see the library's documentation.
#![expect(unsafe_code, reason = "system calls and volatile memory accesses")]

mod clock;
mod init;
mod load;
mod memory;
mod pace;
mod pattern;
mod pause;
mod random;
mod reporter;
mod tally;

use std::fs::File;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use vmferry_load::report::Message;
use vmferry_load::spec::GRAMMAR;

const USAGE: &str = "vmferry-load SPEC [--report PATH|-] [--seconds N]

Makes a load that is known and reports its progress every 100 ms, on standard output or PATH.
As PID 1 of a guest it takes all from the kernel command line: vmferry.load=SPEC,
vmferry.ip=ADDRESS/PREFIX, vmferry.gw=ADDRESS, vmferry.report=ttyS0.
";

/// Exit code for wrong use, as in all of vmferry.
const USAGE_ERROR: u8 = 2;

fn main() -> ExitCode {
    if std::process::id() == 1 {
        init::run();
    }
    let (mut out, mut err) = (io::stdout(), io::stderr());
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // Output that nobody reads any more (a closed pipe) is no reason to fail.
    if arguments
        .iter()
        .any(|argument| argument == "--help" || argument == "-h")
    {
        let _closed = write!(out, "{USAGE}\n{GRAMMAR}");
        return ExitCode::SUCCESS;
    }
    if arguments.iter().any(|argument| argument == "--version") {
        let _closed = writeln!(out, "vmferry-load {}", env!("CARGO_PKG_VERSION"));
        return ExitCode::SUCCESS;
    }
    let options = match Options::parse(arguments) {
        Ok(options) => options,
        Err(error) => {
            let _closed = writeln!(err, "vmferry-load: {error}\nUsage: {USAGE}\nSee --help.");
            return ExitCode::from(USAGE_ERROR);
        }
    };
    match options.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _closed = writeln!(err, "{}", Message::Error(error));
            ExitCode::from(USAGE_ERROR)
        }
    }
}

/// What an ordinary command line asks for.
#[derive(Debug, PartialEq)]
struct Options {
    spec: String,
    report: Option<String>,
    time: Option<Duration>,
}

impl Options {
    fn parse(arguments: Vec<String>) -> Result<Self, String> {
        let (mut spec, mut report, mut time) = (None, None, None);
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
            match argument.as_str() {
                "--report" => report = Some(value()?).filter(|path| path != "-"),
                "--seconds" => {
                    let seconds = value()?;
                    time = seconds
                        .parse()
                        .ok()
                        .filter(|seconds| (0.1..=1e6).contains(seconds))
                        .map(Duration::from_secs_f64)
                        .ok_or(format!(
                            "--seconds {seconds:?} is not valid; allowed: 0.1 to 1000000"
                        ))
                        .map(Some)?;
                }
                option if option.starts_with('-') => {
                    return Err(format!(
                        "unknown option {option:?}; allowed: --report, --seconds, --help, --version"
                    ));
                }
                _ if spec.is_some() => {
                    return Err(format!("a second load {argument:?}; join loads with +"));
                }
                _ => spec = Some(argument),
            }
        }
        Ok(Self {
            spec: spec.ok_or("no load given")?,
            report,
            time,
        })
    }

    fn run(self) -> Result<(), String> {
        let mut out: Box<dyn Write> = match &self.report {
            None => Box::new(io::stdout()),
            Some(path) => Box::new(
                File::create(path).map_err(|error| format!("cannot report to {path}: {error}"))?,
            ),
        };
        let started = load::start(&self.spec)?;
        writeln!(out, "{}", started.up(None, self.spec))
            .and_then(|()| started.report(&mut *out, self.time))
            .map_err(|error| format!("cannot report: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, String> {
        Options::parse(line.split_whitespace().map(str::to_owned).collect())
    }

    #[test]
    fn options() {
        assert_eq!(
            parse("idle --seconds 1.5 --report /tmp/x"),
            Ok(Options {
                spec: "idle".to_owned(),
                report: Some("/tmp/x".to_owned()),
                time: Some(Duration::from_millis(1500)),
            })
        );
        assert_eq!(parse("idle --report -").unwrap().report, None);
    }

    #[test]
    fn wrong_use_is_told() {
        for (line, word) in [
            ("", "no load"),
            ("idle idle", "join loads"),
            ("idle --seconds", "needs a value"),
            ("idle --seconds -1", "allowed"),
            ("idle --loud", "unknown option"),
        ] {
            assert!(parse(line).unwrap_err().contains(word), "{line}");
        }
    }
}
