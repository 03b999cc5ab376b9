//! `smtp-source` of Postfix: letters.

use std::net::Ipv4Addr;

use nix::sys::signal::Signal;

use super::{Output, Run, words};
use crate::client::imap;
use crate::client::tally::Counts;
use crate::client::tools::ClientLoad;

/// More letters than are ever sent.
const LETTERS: u32 = 2_000_000_000;

/// A short letter.
const LETTER_BYTES: u32 = 4096;

/// Sessions stay open from letter to letter, and go on where a letter is refused for now.
pub(super) fn run(guest: Ipv4Addr, load: &ClientLoad) -> Run {
    let sessions = load.connections;
    // Each session rests whole seconds between letters.
    let pause = load.rate_per_s.map_or(String::new(), |rate| {
        format!("-w {}", (f64::from(sessions) / rate).ceil().max(1.0))
    });
    Run {
        name: "smtp-source",
        package: "postfix",
        program: "usr/sbin/smtp-source",
        arguments: words(&format!(
            "-A -c -d -s {sessions} -m {LETTERS} -l {LETTER_BYTES} {pause} -M client.vmferry \
             -f client@client.vmferry -t {user}@guest.test {guest}:25",
            user = imap::USER,
        )),
        environment: Vec::new(),
        end: Signal::SIGTERM,
        output: Box::new(SmtpSource),
    }
}

struct SmtpSource;

impl Output for SmtpSource {
    fn line(&mut self, line: &str, at_ns: u64, counts: &mut Counts) {
        let line = line.trim();
        if let Ok(letters) = line.parse() {
            counts.done(at_ns, letters);
        } else if line.contains("reject") || line.contains("fatal:") {
            counts.errors += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::said;
    use super::*;

    #[test]
    fn its_running_counter_is_read() {
        let counts = said(
            &mut SmtpSource,
            "0.1|1
            0.5|2
            1.9|3
            2.0|smtp-source: warning: recipient rejected: 452 4.3.1 Insufficient system storage",
        );
        assert_eq!((counts.operations, counts.errors), (3, 1));
        assert_eq!(counts.progressed_ns, Some(1_900_000_000));
    }
}
