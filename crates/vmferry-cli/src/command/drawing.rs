//! The file of `--svg`.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use vmferry::Error;

/// A drawing to be made. Its file is opened before the work begins, so that a
/// wrong path is noticed at once.
pub(crate) struct Drawing {
    file: File,
    path: PathBuf,
}

impl Drawing {
    /// Opens the file, where one was named.
    pub(crate) fn open(path: Option<&Path>) -> Result<Option<Self>, Error> {
        path.map(Self::create).transpose()
    }

    fn create(path: &Path) -> Result<Self, Error> {
        let file = File::create(path).map_err(|error| {
            Error::Usage(format!(
                "the drawing cannot be written to {}: {error}; give another --svg",
                path.display()
            ))
        })?;
        Ok(Self {
            file,
            path: path.to_owned(),
        })
    }

    /// Writes what was drawn, or says why drawing failed.
    pub(crate) fn write(mut self, svg: Result<String, String>) -> Result<(), Error> {
        let svg = svg.map_err(Error::Internal)?;
        self.file
            .write_all(svg.as_bytes())
            .map_err(|source| Error::Io {
                what: self.path.display().to_string(),
                source,
            })
    }
}
