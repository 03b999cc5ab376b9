//! The file that a simulation is made from: an observation or a trace, told
//! apart by what it holds.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use vmferry_core::Observation;
use vmferry_precopy::dirt::PageTrace;

use super::traced;
use crate::document::SourceKind;
use crate::{Error, profile};

/// What a file tells of a guest.
pub(super) struct Seen {
    pub(super) kind: SourceKind,
    pub(super) observation: Observation,
    /// Every page of it, where a trace holds that.
    pub(super) whole: Option<PageTrace>,
    /// What the reader should know, each a sentence.
    pub(super) notes: Vec<String>,
}

/// Reads a file; `seed` draws the pages that are kept of a large trace.
///
/// # Errors
/// When it is neither, or cannot be used.
pub(super) fn read(path: &Path, seed: u64) -> Result<Seen, Error> {
    match kind_of(path)? {
        SourceKind::Trace => traced::read(path, seed),
        SourceKind::Profile => Ok(Seen {
            kind: SourceKind::Profile,
            observation: profile::read(path)?,
            whole: None,
            notes: Vec::new(),
        }),
    }
}

/// What a file begins like. A trace begins with a byte that no text holds.
fn kind_of(path: &Path) -> Result<SourceKind, Error> {
    let fail = |problem: String| {
        Error::Usage(format!(
            "{}: {problem}; give an observation (`vmferry measure GUEST -o json`) or a trace (`vmferry record GUEST --output-file FILE`)",
            path.display()
        ))
    };
    let mut beginning = Vec::new();
    File::open(path)
        .and_then(|file| file.take(4096).read_to_end(&mut beginning))
        .map_err(|error| fail(error.to_string()))?;
    let first = beginning.iter().find(|byte| !byte.is_ascii_whitespace());
    match (beginning.first(), first) {
        (Some(b'\x89'), _) => Ok(SourceKind::Trace),
        (_, Some(b'{')) => Ok(SourceKind::Profile),
        (None, _) => Err(fail("the file is empty".to_owned())),
        _ => Err(fail("it is neither an observation nor a trace".to_owned())),
    }
}
