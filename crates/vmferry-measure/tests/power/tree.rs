//! Trees of `/sys` from their listings.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// A tree laid out in a directory of its own.
pub(crate) struct Tree(TempDir);

impl Tree {
    /// Lays out a listing: `path = content` or `path -> target` a line.
    pub(crate) fn of(listing: &str) -> Self {
        let tree = Self(tempfile::tempdir().expect("a directory"));
        for line in listing.lines().filter(|line| !line.starts_with('#')) {
            if let Some((path, target)) = line.split_once(" -> ") {
                let path = tree.path(path);
                fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
                symlink(target, path).expect("a link");
            } else {
                let (path, content) = line.split_once(" = ").expect("a line of a listing");
                tree.set(path, content);
            }
        }
        tree
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.0.path().join(below)
    }

    /// Writes a file, as the kernel shows it: with a line's end.
    pub(crate) fn set(&self, path: &str, content: impl std::fmt::Display) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).expect("directories");
        fs::write(path, format!("{content}\n")).expect("written");
    }
}
