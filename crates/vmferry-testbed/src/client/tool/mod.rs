//! The tools: what they are started with, how they are asked to end, and what they say.

mod pgbench;
mod redis_benchmark;
mod smtp_source;
mod sysbench;
mod wrk;

use std::ffi::OsString;
use std::net::Ipv4Addr;
use std::path::Path;

use nix::sys::signal::Signal;

use crate::Service;

use super::tally::Counts;
use super::tools::ClientLoad;

/// A run of a tool: everything but where it runs.
pub(super) struct Run {
    /// What `ClientWork` calls it.
    pub(super) name: &'static str,
    /// The Debian package that its version is of.
    pub(super) package: &'static str,
    /// The program within the tools.
    pub(super) program: &'static str,
    pub(super) arguments: Vec<OsString>,
    pub(super) environment: Vec<(&'static str, OsString)>,
    /// Asks it to end.
    pub(super) end: Signal,
    pub(super) output: Box<dyn Output>,
}

/// Understands what a tool says.
pub(super) trait Output: Send {
    /// Takes a line, which ends with a line feed or a carriage return, and when it came.
    fn line(&mut self, line: &str, at_ns: u64, counts: &mut Counts);
}

/// The tools of a service's clients.
pub(super) fn runs(service: Service, root: &Path, guest: Ipv4Addr, load: &ClientLoad) -> Vec<Run> {
    match service {
        Service::Web => vec![wrk::run(root, guest, 80, "/", load)],
        Service::Application => vec![wrk::run(root, guest, 8080, "/work", load)],
        Service::Postgres => vec![pgbench::run(guest, load)],
        Service::Mariadb => vec![sysbench::run(root, guest, load)],
        Service::Cache => redis_benchmark::runs(guest, load),
        Service::Mail => vec![smtp_source::run(guest, load)],
        Service::Standby | Service::File => Vec::new(),
    }
}

/// Arguments given as one text, split at blanks.
fn words(text: &str) -> Vec<OsString> {
    text.split_whitespace().map(OsString::from).collect()
}

/// The number that begins a text, as in `12.5ms`.
fn leading(text: &str) -> Option<f64> {
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.'));
    let number: f64 = text[..end.unwrap_or(text.len())].parse().ok()?;
    number.is_finite().then_some(number)
}

/// The number behind a word, as in `rps=12.5`.
fn behind(text: &str, word: &str) -> Option<f64> {
    let (_, rest) = text.split_once(word)?;
    leading(rest.trim_start())
}

/// A count behind a word.
fn count_behind(text: &str, word: &str) -> Option<u64> {
    let (_, rest) = text.split_once(word)?;
    let rest = rest.trim_start();
    let end = rest.find(|c: char| !c.is_ascii_digit());
    rest[..end.unwrap_or(rest.len())].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a tool says, with a time in seconds at the head of every line.
    pub(super) fn said(output: &mut dyn Output, text: &str) -> Counts {
        let mut counts = Counts::default();
        for line in text.lines() {
            let (time, line) = line.split_once('|').expect("TIME|LINE");
            let seconds: f64 = time.trim().parse().expect("a time");
            output.line(line, (seconds * 1e9) as u64, &mut counts);
        }
        counts
    }

    #[test]
    fn pages_that_are_asked_for_are_there() {
        let asked = |service| {
            let load = ClientLoad::default();
            let run = runs(service, Path::new("/"), Ipv4Addr::LOCALHOST, &load).remove(0);
            let pages = run.arguments.iter().filter_map(|word| word.to_str());
            pages
                .filter_map(|word| word.strip_prefix("http://127.0.0.1:"))
                .collect::<String>()
        };
        assert_eq!(asked(Service::Web), "80/");
        assert_eq!(asked(Service::Application), "8080/work");
        let servlet = include_str!("../../services/application/Server.java");
        assert!(servlet.contains("addServletMappingDecoded(\"/work\""));
    }

    #[test]
    fn numbers_are_found() {
        assert_eq!(leading("12.5ms"), Some(12.5));
        assert_eq!(leading("ms"), None);
        assert_eq!(leading("1.2.3"), None);
        assert_eq!(behind("a rps=  3.0 (b", "rps="), Some(3.0));
        assert_eq!(count_behind("read 12, write 3", "write"), Some(3));
        assert_eq!(count_behind("99999999999999999999999", ""), None);
    }

    proptest::proptest! {
        /// Whatever tools write.
        #[test]
        fn any_line_is_read(line in "(vmferry|progress:|\\[ [0-9]+s \\]|SET: rps=|Latency|number of)?[ -~]{0,80}") {
            let load = ClientLoad::default();
            for service in Service::ALL {
                for mut run in runs(service, Path::new("/"), Ipv4Addr::LOCALHOST, &load) {
                    let mut counts = Counts::default();
                    run.output.line(&line, 1, &mut counts);
                    run.output.line(&line, 2_000_000_000, &mut counts);
                    run.output.line("999", 3_000_000_000, &mut counts);
                }
            }
        }
    }
}
