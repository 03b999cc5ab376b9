//! What happens inside, on standard error.

use std::io::{self, IsTerminal as _, Write};

use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// The level that so many `-v` ask for. Without any, progress and errors say
/// what the operator must know.
pub(crate) fn level(verbose: u8) -> LevelFilter {
    match verbose {
        0 => LevelFilter::OFF,
        1 => LevelFilter::INFO,
        2 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    }
}

/// Writes vmferry's own messages up to that level to standard error.
pub(crate) fn write(level: LevelFilter) {
    let colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(|| Lossy(io::stderr()))
        .with_ansi(colours)
        .log_internal_errors(false)
        // Every crate of ours begins with it; what the database does is its own.
        .with_filter(Targets::new().with_target("vmferry", level));
    // Fails where a subscriber is set already, which then writes instead.
    let _ = tracing_subscriber::registry().with(lines).try_init();
}

/// A stream whose failures are nobody's loss: a full disk must not end a guard.
struct Lossy<W>(W);

impl<W: Write> Write for Lossy<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.0.write_all(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let _ = self.0.flush();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_no_failure() {
        let full = std::fs::File::options()
            .write(true)
            .open("/dev/full")
            .unwrap();
        writeln!(Lossy(full), "message").unwrap();
    }

    #[test]
    fn more_is_said_with_every_v() {
        assert!(level(0) < level(1) && level(1) < level(2) && level(2) < level(3));
    }
}
