//! The disk of real programs that guests run as their load, which is only read.

use std::path::{Path, PathBuf};

use vmferry_core::Bytes;
use vmferry_load::spec::Program;
use xxhash_rust::xxh3::Xxh3;

use crate::error::TestbedError;
use crate::image::cache_directory;
use crate::package_disk::{
    MOUNT_POINTS, PackageManifest, PackageSet, add_script, add_system, remove,
};

/// The packages, with those they need to run as they are used here: no locales, no just-in-time
/// compiler, no scripts that set them up.
const PACKAGES: &str = include_str!("programs/packages.txt");

/// What is not needed to run them: documents, and what belongs to the just-in-time compiler.
const UNUSED: [&str; 9] = [
    "usr/share/doc",
    "usr/share/man",
    "usr/share/locale",
    "usr/share/info",
    "usr/share/lintian",
    "usr/share/bug",
    "usr/lib/postgresql/15/lib/bitcode",
    "usr/lib/postgresql/15/lib/llvmjit.so",
    "usr/lib/postgresql/15/lib/llvmjit_types.bc",
];

/// PostgreSQL wants its user to have a name.
const USERS: &str = "root:x:0:0:root:/tmp:/bin/sh\npostgres:x:100:100:postgres:/tmp:/bin/sh\n";
const GROUPS: &str = "root:x:0:\npostgres:x:100:\n";

/// 47 MB are usual.
const MOST_FETCHED: Bytes = Bytes::from_mib(80);

/// Changes when what is done with the packages does.
const RECIPE: u32 = 1;

/// The disk of programs, ready to use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramImage {
    /// An ext4 file system without a journal, for guests that only read it.
    pub disk: PathBuf,
    /// What is in it.
    pub manifest: PackageManifest,
}

impl ProgramImage {
    /// The disk, made where it is not cached yet: that takes some ten seconds and fetches 47 MB
    /// from Debian, never more than 80. A cached one is used without asking Debian for newer
    /// packages, so that runs stay comparable until the cache is emptied.
    ///
    /// # Errors
    /// When the packages can neither be fetched nor found in the cache, or the disk cannot be made.
    pub fn prepare() -> Result<Self, TestbedError> {
        let disk = PackageSet {
            name: "programs".to_owned(),
            recipe: recipe(),
            list: "programs/packages.txt".to_owned(),
            packages: PACKAGES,
            most_fetched: MOST_FETCHED,
        };
        let images = cache_directory().join("images");
        let (disk, manifest) = disk.prepare_disk_in(&images, Bytes(0), complete)?;
        Ok(Self { disk, manifest })
    }
}

/// Stands for all that makes a disk but the versions of its packages.
fn recipe() -> String {
    let mut hash = Xxh3::new();
    hash.update(&RECIPE.to_le_bytes());
    hash.update(PACKAGES.as_bytes());
    for text in UNUSED.iter().chain(&MOUNT_POINTS) {
        hash.update(text.as_bytes());
    }
    hash.update(USERS.as_bytes());
    for program in Program::ALL {
        hash.update(script(program).as_bytes());
    }
    format!("{:016x}", hash.digest())
}

/// The script that runs a program; see `vmferry-load`, `pattern/script.rs`, for what it says.
const fn script(program: Program) -> &'static str {
    match program {
        Program::Postgres => include_str!("programs/postgres"),
        Program::Redis => include_str!("programs/redis"),
        Program::Xz => include_str!("programs/xz"),
        Program::Sort => include_str!("programs/sort"),
        Program::Python => include_str!("programs/python"),
    }
}

/// Removes what is not needed, and adds mount points, users and scripts.
fn complete(root: &Path) -> Result<(), TestbedError> {
    let add_scripts = || {
        Program::ALL.into_iter().try_for_each(|program| {
            let path = root.join("programs").join(program.name());
            add_script(&path, script(program))
        })
    };
    remove(root, &UNUSED)
        .and_then(|()| add_system(root, "programs", USERS, GROUPS))
        .and_then(|()| add_scripts())
        .map_err(TestbedError::io("complete the programs"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_listed_once_and_sorted() {
        let names: Vec<&str> = PACKAGES.lines().collect();
        assert!(names.is_sorted_by(|one, other| one < other), "{names:?}");
    }

    #[test]
    fn every_program_has_its_script() {
        let root = tempfile::tempdir().expect("scratch");
        complete(root.path()).expect("completed");
        for program in Program::ALL {
            let path = root.path().join("programs").join(program.name());
            let text = std::fs::read_to_string(path).expect("a script");
            assert!(text.starts_with("#!/bin/sh\n"), "{}", program.name());
        }
    }
}
