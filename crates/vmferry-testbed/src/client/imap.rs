//! An IMAP client (RFC 9051) that visits a mailbox again and again: Debian has no tool that does.
//! A visit selects the inbox and fetches its last letters.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::series::now_ns;
use super::tally::Tally;
use crate::Service;
use crate::netns::Namespace;

pub(super) const NAME: &str = "IMAP client";

/// The user of the mail service's image, and its password.
pub(super) const USER: &str = "bench";
const PASSWORD: &str = "bench";

/// How often a visit that hangs looks whether it is to end.
const NOTICE: Duration = Duration::from_millis(200);

/// How long a visit may hang, and a connection take.
const PATIENCE: Duration = Duration::from_secs(60);
const CONNECT_PATIENCE: Duration = Duration::from_secs(3);

/// From a connection that failed to the next.
const REST: Duration = Duration::from_millis(500);

/// Letters fetched in a visit.
const LETTERS: u64 = 5;

/// The longest line, and the largest letter, that are taken.
const LONGEST_LINE: u64 = 64 << 10;
const LARGEST_LETTER: u64 = 64 << 20;

/// Visits until told to stop, from within a network.
pub(super) fn run(
    network: &Namespace,
    guest: Ipv4Addr,
    rate_per_s: Option<f64>,
    tally: &Tally,
    stop: &AtomicBool,
) {
    let server = SocketAddr::from((guest, Service::IMAP_PORT));
    let pace = rate_per_s.map(|rate| Duration::from_secs_f64(1.0 / rate));
    if let Err(error) = network.inside(|| visit(server, pace, tally, stop)) {
        tally.lock().fault = Some(error.to_string());
    }
}

fn visit(server: SocketAddr, pace: Option<Duration>, tally: &Tally, stop: &AtomicBool) {
    let mut visits = 0;
    let stopped = || stop.load(Ordering::Relaxed);
    while !stopped() {
        let ended = Visitor::connect(server, stop).and_then(|mut visitor| {
            while !stopped() {
                let next = pace.map(|pace| Instant::now() + pace);
                visitor.visit()?;
                visits += 1;
                tally.lock().done(now_ns(), visits);
                rest_until(next, stop);
            }
            Ok(())
        });
        if let Err(error) = ended
            && !stopped()
        {
            tracing::debug!(%error, "a visit to the mailbox failed");
            tally.lock().errors += 1;
            rest_until(Some(Instant::now() + REST), stop);
        }
    }
}

fn rest_until(next: Option<Instant>, stop: &AtomicBool) {
    while let Some(left) = next.and_then(|next| next.checked_duration_since(Instant::now()))
        && !stop.load(Ordering::Relaxed)
    {
        sleep(left.min(NOTICE));
    }
}

/// A session.
struct Visitor<S> {
    stream: BufReader<S>,
    tag: u64,
}

impl<'a> Visitor<Patient<'a>> {
    fn connect(server: SocketAddr, stop: &'a AtomicBool) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&server, CONNECT_PATIENCE)?;
        stream.set_read_timeout(Some(NOTICE))?;
        stream.set_nodelay(true)?;
        Self::greeted(Patient { stream, stop })
    }
}

impl<S: Read + Write> Visitor<S> {
    fn greeted(stream: S) -> io::Result<Self> {
        let mut visitor = Self {
            stream: BufReader::new(stream),
            tag: 0,
        };
        let greeting = visitor.line()?;
        if !greeting.starts_with("* OK") {
            return Err(io::Error::other(greeting));
        }
        visitor.ask(&format!("LOGIN {USER} {PASSWORD}"))?;
        Ok(visitor)
    }

    fn visit(&mut self) -> io::Result<()> {
        let letters = self.ask("SELECT INBOX")?;
        if letters > 0 {
            let first = letters.saturating_sub(LETTERS - 1).max(1);
            self.ask(&format!("FETCH {first}:{letters} (FLAGS BODY.PEEK[])"))?;
        }
        Ok(())
    }

    /// Gives a command and reads its answer; returns the number of letters it told, or 0.
    fn ask(&mut self, command: &str) -> io::Result<u64> {
        self.tag += 1;
        let tag = format!("v{} ", self.tag);
        let words = format!("{tag}{command}\r\n");
        self.stream.get_mut().write_all(words.as_bytes())?;
        let mut letters = 0;
        loop {
            let line = self.line()?;
            if let Some(answer) = line.strip_prefix(&tag) {
                return if answer.starts_with("OK") {
                    Ok(letters)
                } else {
                    Err(io::Error::other(line))
                };
            }
            let told = line
                .strip_prefix("* ")
                .and_then(|rest| rest.strip_suffix(" EXISTS"));
            if let Some(told) = told.and_then(|number| number.parse().ok()) {
                letters = told;
            }
        }
    }

    /// The next line; what follows it literally, as letters do, is left out, and the rest of the
    /// line is the next.
    fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        self.stream
            .by_ref()
            .take(LONGEST_LINE)
            .read_until(b'\n', &mut line)?;
        if line.last() != Some(&b'\n') {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let line = String::from_utf8_lossy(&line).trim_end().to_owned();
        if let Some(size) = literal(&line) {
            if size > LARGEST_LETTER {
                return Err(io::Error::other(format!("a letter of {size} bytes")));
            }
            io::copy(&mut self.stream.by_ref().take(size), &mut io::sink())?;
        }
        Ok(line)
    }
}

/// The size of what follows a line: `* 1 FETCH (BODY[] {42}`.
fn literal(line: &str) -> Option<u64> {
    let (_, size) = line.strip_suffix('}')?.rsplit_once('{')?;
    size.parse().ok()
}

/// A stream that waits a minute for bytes, unless it is to stop.
struct Patient<'a> {
    stream: TcpStream,
    stop: &'a AtomicBool,
}

impl Read for Patient<'_> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let start = Instant::now();
        loop {
            match self.stream.read(room) {
                Err(error)
                    if error.kind() == io::ErrorKind::WouldBlock
                        && start.elapsed() < PATIENCE
                        && !self.stop.load(Ordering::Relaxed) => {}
                read => return read,
            }
        }
    }
}

impl Write for Patient<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A server that says all it has to say at once.
    struct Said(io::Cursor<Vec<u8>>, Vec<u8>);

    impl Read for Said {
        fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
            self.0.read(room)
        }
    }

    impl Write for Said {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.1.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn visited(said: &[u8]) -> io::Result<String> {
        let said = Said(io::Cursor::new(said.to_vec()), Vec::new());
        let mut visitor = Visitor::greeted(said)?;
        visitor.visit()?;
        Ok(String::from_utf8_lossy(&visitor.stream.get_ref().1).into_owned())
    }

    #[test]
    fn a_visit_fetches_the_last_letters() {
        let asked = visited(
            b"* OK ready\r\nv1 OK Logged in\r\n* FLAGS (x)\r\n* 12 EXISTS\r\nv2 OK Select\r\n\
              * 8 FETCH (FLAGS () BODY[] {14}\r\nv3 NO a\r\nb c\r\n)\r\nv3 OK Fetch\r\n",
        );
        assert_eq!(
            asked.expect("a visit"),
            "v1 LOGIN bench bench\r\nv2 SELECT INBOX\r\nv3 FETCH 8:12 (FLAGS BODY.PEEK[])\r\n"
        );
    }

    #[test]
    fn refusals_and_ends_are_errors() {
        let empty = visited(b"* OK\r\nv1 OK\r\n* 0 EXISTS\r\nv2 OK\r\n").expect("a visit");
        assert!(!empty.contains("FETCH"));
        assert!(visited(b"* BYE full\r\n").is_err());
        assert!(visited(b"* OK\r\nv1 NO [AUTHENTICATIONFAILED]\r\n").is_err());
        assert!(
            visited(b"* OK\r\nv1 OK\r\n* 1 EXISTS\r\nv2 OK\r\n* 1 FETCH {99999999999}\r\n")
                .is_err()
        );
        assert!(visited(b"").is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(
            mut said in prop::collection::vec(any::<u8>(), 0..300),
            greeted: bool,
        ) {
            if greeted {
                said.splice(0..0, *b"* OK\r\nv1 OK\r\n* 3 EXISTS\r\nv2 OK\r\n");
            }
            let _ = visited(&said);
        }
    }
}
