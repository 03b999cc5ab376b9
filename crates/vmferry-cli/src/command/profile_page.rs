//! The directory of `profile cpu --report`.

use std::fs;
use std::path::{Path, PathBuf};

use vmferry::Error;
use vmferry::profiling::ProfileCpuReport;

use crate::render;

const PAGE: &str = "README.md";
const DRAWING: &str = "time.svg";
/// What was measured, which `--from` reads.
const MEASURED: &str = "measured.json";

/// A page to be written.
pub(crate) struct Page(PathBuf);

impl Page {
    /// Makes the directory before the work begins, so that a wrong path is
    /// noticed at once.
    pub(crate) fn open(directory: &Path) -> Result<Self, Error> {
        fs::create_dir_all(directory).map_err(|error| {
            Error::Usage(format!(
                "the page cannot be written into {}: {error}; give another --report",
                directory.display()
            ))
        })?;
        Ok(Self(directory.to_owned()))
    }

    /// Writes the page, its drawing and what was measured.
    pub(crate) fn write(&self, report: &ProfileCpuReport) -> Result<(), Error> {
        let internal = |error: serde_json::Error| Error::Internal(error.to_string());
        let measured = serde_json::to_string(&report.measured()).map_err(internal)?;
        let drawn = render::cap_curves::svg(report).map_err(Error::Internal)?;
        let again = self.0.join(MEASURED);
        let page = render::profile_page::markdown(report, DRAWING, &again, &self.0);
        for (name, text) in [(PAGE, page), (DRAWING, drawn), (MEASURED, measured + "\n")] {
            let path = self.0.join(name);
            fs::write(&path, text).map_err(|source| Error::Io {
                what: path.display().to_string(),
                source,
            })?;
        }
        Ok(())
    }
}
