//! The answer of a command: standard output is data, standard error progress.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use vmferry::Error;

use crate::args::{Format, Global};

/// Where the answer goes. A file is opened before the work begins, so that a
/// wrong path is noticed at once.
#[derive(Clone)]
pub(crate) struct Answer {
    format: Format,
    to: Arc<Mutex<Box<dyn Write + Send>>>,
    path: Option<PathBuf>,
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
        Ok(Self {
            format: global.output,
            to: Arc::new(Mutex::new(to)),
            path: global.output_file.clone(),
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

    /// Gives bytes as they are.
    pub(crate) fn raw(&self, bytes: &[u8]) -> Result<(), Error> {
        let mut to = self.to.lock().unwrap_or_else(PoisonError::into_inner);
        match to.write_all(bytes).and_then(|()| to.flush()) {
            // Whoever read the answer has seen enough (`vmferry ... | head`).
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            result => result.map_err(|source| Error::Io {
                what: self.name(),
                source,
            }),
        }
    }

    /// The answer itself, where it is a stream of lines.
    pub(crate) fn lines(&self) -> Option<Self> {
        (self.format == Format::Jsonl).then(|| self.clone())
    }

    fn name(&self) -> String {
        self.path.as_ref().map_or_else(
            || "standard output".to_owned(),
            |path| path.display().to_string(),
        )
    }
}

fn pretty<T: Serialize>(document: &T) -> Result<String, Error> {
    serde_json::to_string_pretty(document).map_err(|error| Error::Internal(error.to_string()))
}

fn compact<T: Serialize>(document: &T) -> Result<String, Error> {
    serde_json::to_string(document).map_err(|error| Error::Internal(error.to_string()))
}
