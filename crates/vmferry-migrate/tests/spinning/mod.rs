//! A child that only spins, and the groups of a move around its threads.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command};

use uuid::Uuid;

/// A child that is killed with the test.
pub(crate) struct Killed(pub(crate) Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It may have exited.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn spinning() -> Killed {
    let spin = Command::new("sh")
        .args(["-c", "while :; do :; done"])
        .spawn();
    Killed(spin.expect("sh"))
}

/// Directories of ours anywhere in the hierarchies.
pub(crate) fn groups_of(move_id: Uuid) -> Vec<PathBuf> {
    let name = format!("vmferry-{move_id}");
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from("/sys/fs/cgroup")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                if entry.file_name().to_string_lossy().starts_with(&name) {
                    found.push(entry.path());
                }
                folders.push(entry.path());
            }
        }
    }
    found
}
