//! The answer of a command: standard output is data, standard error progress.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::mpsc;
use std::thread;

use serde::Serialize;
use vmferry::Error;

use crate::args::{Format, Global};

/// Where the answer goes. A file is opened before the work begins, so that a
/// wrong path is noticed at once. A thread of its own writes: whoever reads
/// (`| less`) may stop reading, and a move must not wait for that.
#[derive(Clone)]
pub(crate) struct Answer {
    format: Format,
    to: mpsc::Sender<Part>,
    name: String,
}

/// What the writing thread is handed.
enum Part {
    Bytes(Vec<u8>),
    /// Answered once everything before it is written, with what went wrong.
    Flush(mpsc::Sender<io::Result<()>>),
}

impl Answer {
    pub(crate) fn open(global: &Global) -> Result<Self, Error> {
        let to: Box<dyn Write + Send> = match &global.output_file {
            Some(path) => Box::new(File::create(path).map_err(|error| {
                Error::Usage(format!(
                    "the answer cannot be written to {}: {error}; give another --output-file",
                    path.display()
                ))
            })?),
            None => Box::new(io::stdout()),
        };
        Self::to(global.output, to, global.output_file.as_deref())
    }

    /// On standard output, for commands that write something else into the file.
    pub(crate) fn on_stdout(global: &Global) -> Result<Self, Error> {
        Self::to(global.output, Box::new(io::stdout()), None)
    }

    fn to(format: Format, to: Box<dyn Write + Send>, path: Option<&Path>) -> Result<Self, Error> {
        let name = path.map_or_else(
            || "standard output".to_owned(),
            |path| path.display().to_string(),
        );
        let (sender, parts) = mpsc::channel();
        thread::Builder::new()
            .name("answer".to_owned())
            .spawn(move || write(to, &parts))
            .map_err(|source| Error::Io {
                what: format!("a thread that writes {name}"),
                source,
            })?;
        Ok(Self {
            format,
            to: sender,
            name,
        })
    }

    /// Gives a document: as JSON, or as the table that `table` draws.
    pub(crate) fn give<T: Serialize>(
        &self,
        document: &T,
        table: impl FnOnce() -> String,
    ) -> Result<(), Error> {
        let text = match self.format {
            Format::Json => pretty(document)?,
            Format::Jsonl => compact(document)?,
            Format::Table => table(),
        };
        self.raw(format!("{}\n", text.trim_end_matches('\n')).as_bytes())
    }

    /// Gives one line of a stream.
    pub(crate) fn line<T: Serialize>(&self, document: &T) -> Result<(), Error> {
        self.raw(format!("{}\n", compact(document)?).as_bytes())
    }

    /// Gives one line of a stream without waiting for it to be written. What
    /// goes wrong shows at the next [`Answer::flush`].
    pub(crate) fn queue<T: Serialize>(&self, document: &T) -> Result<(), Error> {
        let line = format!("{}\n", compact(document)?);
        // The thread lives as long as any sender.
        let _ = self.to.send(Part::Bytes(line.into_bytes()));
        Ok(())
    }

    /// Gives bytes as they are.
    pub(crate) fn raw(&self, bytes: &[u8]) -> Result<(), Error> {
        let _ = self.to.send(Part::Bytes(bytes.to_owned()));
        self.flush()
    }

    /// Waits until everything is written.
    pub(crate) fn flush(&self) -> Result<(), Error> {
        let (done, written) = mpsc::channel();
        let _ = self.to.send(Part::Flush(done));
        let gone = || Err(io::Error::other("the writing thread ended"));
        written
            .recv()
            .unwrap_or_else(|_| gone())
            .map_err(|source| Error::Io {
                what: self.name.clone(),
                source,
            })
    }

    /// The answer itself, where it is a stream of lines.
    pub(crate) fn lines(&self) -> Option<Self> {
        (self.format == Format::Jsonl).then(|| self.clone())
    }
}

/// The writing thread: runs until the last [`Answer`] is gone.
fn write(mut to: Box<dyn Write + Send>, parts: &mpsc::Receiver<Part>) {
    let mut failed = None;
    let mut closed = false;
    for part in parts {
        match part {
            Part::Bytes(bytes) if !closed => {
                if let Err(error) = to.write_all(&bytes).and_then(|()| to.flush()) {
                    closed = true;
                    // Whoever read the answer has seen enough (`vmferry ... | head`).
                    failed = Some(error).filter(|e| e.kind() != io::ErrorKind::BrokenPipe);
                }
            }
            Part::Bytes(_) => {}
            // Whoever asked may have given up.
            Part::Flush(done) => drop(done.send(failed.take().map_or(Ok(()), Err))),
        }
    }
}

fn pretty<T: Serialize>(document: &T) -> Result<String, Error> {
    serde_json::to_string_pretty(document).map_err(|error| Error::Internal(error.to_string()))
}

fn compact<T: Serialize>(document: &T) -> Result<String, Error> {
    serde_json::to_string(document).map_err(|error| Error::Internal(error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader};
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_reader_that_stops_holds_nobody_up() {
        let (reader, writer) = UnixStream::pair().expect("a pair of sockets");
        let answer = Answer::to(Format::Jsonl, Box::new(writer), None).expect("an answer");
        // Far more than a socket holds; nobody reads yet.
        let line = "x".repeat(1 << 16);
        for _ in 0..64 {
            answer.queue(&line).expect("queued");
        }
        let reading = thread::spawn(move || BufReader::new(reader).lines().count());
        answer.flush().expect("written");
        drop(answer);
        assert_eq!(reading.join().expect("the reader"), 64);
    }

    #[test]
    fn a_full_disk_shows_at_the_end() {
        let full = File::create("/dev/full").expect("/dev/full");
        let path = Path::new("/dev/full");
        let answer = Answer::to(Format::Jsonl, Box::new(full), Some(path)).expect("an answer");
        answer.queue(&1).expect("queued");
        let error = answer.flush().expect_err("no space");
        assert!(error.to_string().contains("/dev/full"), "{error}");
    }
}
