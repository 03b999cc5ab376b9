//! Processes that a site started, directly or not.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// Living processes whose environment names `dir`: `vmferry` itself, guards,
/// ssh. QEMUs of the testbed are started without it.
pub(super) fn processes_with(dir: &Path) -> Vec<String> {
    let needle = dir.as_os_str().as_bytes();
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter(|entry| entry.file_name().as_bytes().iter().all(u8::is_ascii_digit))
        .filter_map(|entry| {
            // Processes end while we look; one that has ended has no environment left.
            let environment = fs::read(entry.path().join("environ")).ok()?;
            let ours = environment.windows(needle.len()).any(|part| part == needle);
            let words = fs::read(entry.path().join("cmdline")).ok()?;
            let words = String::from_utf8_lossy(&words).replace('\0', " ");
            ours.then(|| format!("process {}: {words}", entry.file_name().display()))
        })
        .collect()
}
