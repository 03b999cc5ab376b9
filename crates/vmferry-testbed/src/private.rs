//! Files and directories of this user alone.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use crate::error::TestbedError;

/// Makes a directory, and those above it, with this mode; one that is there stays as it is.
pub(crate) fn make_directory(path: &Path, mode: u32) -> Result<(), TestbedError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
        .map_err(TestbedError::io(format!("make {}", path.display())))
}

/// Writes a file that only its owner may read.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), TestbedError> {
    fs::OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(TestbedError::io(format!("write {}", path.display())))
}
