//! The disk of real programs that guests run as their load: Debian packages, unpacked into a file
//! system that is only read. Nothing is installed on this machine.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::{Deserialize, Serialize};
use vmferry_core::Bytes;
use vmferry_load::spec::Program;
use xxhash_rust::xxh3::Xxh3;

use crate::command::run;
use crate::error::TestbedError;
use crate::image::{cache_directory, lock_cache, with_fresh_lists};

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

/// Where the load program mounts what can be written, and the kernel's file systems.
const MOUNT_POINTS: [&str; 5] = ["dev", "proc", "sys", "tmp", "run"];

/// PostgreSQL wants its user to have a name.
const USERS: &str = "root:x:0:0:root:/tmp:/bin/sh\npostgres:x:100:100:postgres:/tmp:/bin/sh\n";
const GROUPS: &str = "root:x:0:\npostgres:x:100:\n";

/// The most that is fetched: 47 MB are usual, a mistaken list would be more.
const MOST_FETCHED: Bytes = Bytes::from_mib(80);

/// Changes when what is done with the packages does.
const RECIPE: u32 = 1;

const DISK: &str = "disk.ext4";
const MANIFEST: &str = "manifest.json";

/// The disk of programs, ready to use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramImage {
    /// An ext4 file system without a journal, for guests that only read it.
    pub disk: PathBuf,
    /// What is in it.
    pub manifest: ProgramManifest,
}

/// What is in a disk of programs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramManifest {
    /// 1.
    pub schema_version: u32,
    /// The packages, sorted by name.
    pub packages: Vec<Package>,
}

/// A Debian package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Size of its archive.
    #[serde(rename = "download_bytes")]
    pub download: Bytes,
}

impl ProgramManifest {
    /// Bytes that were fetched.
    #[must_use]
    pub fn download(&self) -> Bytes {
        Bytes(self.packages.iter().map(|package| package.download.0).sum())
    }
}

impl ProgramImage {
    /// The disk, made where it is not cached yet: that takes some ten seconds and fetches 47 MB
    /// from Debian, never more than 80. A cached one is used without asking Debian for newer
    /// packages, so that runs stay comparable until the cache is emptied.
    ///
    /// # Errors
    /// When the packages can neither be fetched nor found in the cache, or the disk cannot be made.
    pub fn prepare() -> Result<Self, TestbedError> {
        Self::prepare_in(&cache_directory().join("images"))
    }

    fn prepare_in(images: &Path) -> Result<Self, TestbedError> {
        let _held = lock_cache(images, "programs.lock")?;
        let recipe = recipe();
        match cached(images, &recipe) {
            Some(image) => Ok(image),
            None => with_fresh_lists(|| build(images, &recipe)),
        }
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

/// The script that runs a program; see `vmferry-load`, `pattern/program.rs`, for what it says.
const fn script(program: Program) -> &'static str {
    match program {
        Program::Postgres => include_str!("programs/postgres"),
        Program::Redis => include_str!("programs/redis"),
        Program::Xz => include_str!("programs/xz"),
        Program::Sort => include_str!("programs/sort"),
        Program::Python => include_str!("programs/python"),
    }
}

/// The newest cached disk of this recipe.
fn cached(images: &Path, recipe: &str) -> Option<ProgramImage> {
    let prefix = format!("programs-{recipe}-");
    let mut found: Vec<_> = fs::read_dir(images)
        .ok()?
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix))
        .filter_map(|entry| {
            let manifest = fs::read(entry.path().join(MANIFEST)).ok()?;
            let image = ProgramImage {
                disk: entry.path().join(DISK),
                manifest: serde_json::from_slice(&manifest).ok()?,
            };
            let made = image.disk.metadata().ok()?.modified().ok()?;
            Some((made, image))
        })
        .collect();
    found.sort_by_key(|(made, _)| *made);
    found.pop().map(|(_, image)| image)
}

fn build(images: &Path, recipe: &str) -> Result<ProgramImage, TestbedError> {
    let packages = packages()?;
    let mut hash = Xxh3::new();
    for package in &packages {
        hash.update(format!("{}={}\n", package.name, package.version).as_bytes());
    }
    let manifest = ProgramManifest {
        schema_version: 1,
        packages,
    };
    tracing::info!(download = %manifest.download(), "fetching the programs of guests");
    let doing = |what: &str| format!("{what} in {}", images.display());
    let scratch = tempfile::Builder::new()
        .prefix(".programs-")
        .tempdir_in(images)
        .map_err(TestbedError::io(doing("make a directory")))?;
    let fetched = scratch.path().join("fetched");
    let root = scratch.path().join("root");
    let fresh = scratch.path().join("image");
    for directory in [&fetched, &root, &fresh] {
        fs::create_dir(directory).map_err(TestbedError::io(doing("make a directory")))?;
    }
    // The very versions that the manifest names.
    let wanted = manifest
        .packages
        .iter()
        .map(|package| format!("{}={}", package.name, package.version));
    run(apt_download().args(wanted).current_dir(&fetched)).map_err(missing)?;
    let archives =
        fs::read_dir(&fetched).map_err(TestbedError::io(doing("read what was fetched")))?;
    for archive in archives.flatten() {
        run(Command::new("dpkg-deb")
            .arg("-x")
            .args([&archive.path(), &root]))?;
    }
    complete(&root).map_err(TestbedError::io(doing("complete the programs")))?;

    let disk = fresh.join(DISK);
    make_disk(&root, &disk)?;
    let written = serde_json::to_vec_pretty(&manifest).map_err(io::Error::other);
    written
        .and_then(|text| fs::write(fresh.join(MANIFEST), text))
        .map_err(TestbedError::io(doing("write the manifest")))?;
    let place = images.join(format!("programs-{recipe}-{:016x}", hash.digest()));
    fs::rename(&fresh, &place).map_err(TestbedError::io(format!("make {}", place.display())))?;
    Ok(ProgramImage {
        disk: place.join(DISK),
        manifest,
    })
}

/// Removes what is not needed, and adds mount points, users and scripts.
fn complete(root: &Path) -> io::Result<()> {
    for unused in UNUSED {
        let path = root.join(unused);
        let removed = if path.is_dir() {
            fs::remove_dir_all(&path)
        } else {
            fs::remove_file(&path)
        };
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    for directory in MOUNT_POINTS.into_iter().chain(["etc", "programs"]) {
        fs::create_dir_all(root.join(directory))?;
    }
    fs::write(root.join("etc/passwd"), USERS)?;
    fs::write(root.join("etc/group"), GROUPS)?;
    for program in Program::ALL {
        let path = root.join("programs").join(program.name());
        fs::write(&path, script(program))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}

/// Writes a directory as a file system, as small as it can be.
fn make_disk(root: &Path, disk: &Path) -> Result<(), TestbedError> {
    let used = run(Command::new("du").args(["-s", "--block-size=1M"]).arg(root))?;
    let used: u64 = used
        .split_whitespace()
        .next()
        .and_then(|mebibytes| mebibytes.parse().ok())
        .unwrap_or_default();
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(disk)
        // Inodes, and blocks that files fill only in part.
        .and_then(|file| file.set_len(((used * 9 / 8) + 16) << 20))
        .map_err(TestbedError::io(format!("make {}", disk.display())))?;
    run(Command::new("mke2fs")
        // No journal: it is only read. No checksums: guests need not compute them.
        .args(["-q", "-F", "-t", "ext4", "-b", "4096", "-m", "0"])
        .args(["-O", "^has_journal,^metadata_csum,^resize_inode"])
        .args(["-E", "root_owner=0:0,lazy_itable_init=0"])
        .arg("-d")
        .args([root, disk]))
    .map(drop)
}

pub(crate) fn apt_download() -> Command {
    let mut command = Command::new("apt-get");
    // Without the first apt warns that its own user cannot write here.
    command.args(["-q", "-o", "APT::Sandbox::User=root"]);
    command.args(["-o", "Acquire::Retries=3", "download"]);
    command
}

pub(crate) fn missing(error: TestbedError) -> TestbedError {
    TestbedError::Programs {
        problem: error.to_string(),
    }
}

/// What Debian has of the packages, sorted by name.
fn packages() -> Result<Vec<Package>, TestbedError> {
    let names: Vec<&str> = PACKAGES.lines().collect();
    let text = run(apt_download().arg("--print-uris").args(&names)).map_err(missing)?;
    let mut packages: Vec<Package> = text.lines().filter_map(offered).collect();
    packages.sort_by(|one, other| one.name.cmp(&other.name));
    if !packages.iter().map(|package| &package.name).eq(&names) {
        return Err(TestbedError::Programs {
            problem: format!("apt offers {} of {} packages", packages.len(), names.len()),
        });
    }
    let download = packages.iter().map(|package| package.download.0).sum();
    if Bytes(download) > MOST_FETCHED {
        return Err(TestbedError::Programs {
            problem: format!(
                "they are {} to fetch, more than {MOST_FETCHED}",
                Bytes(download)
            ),
        });
    }
    Ok(packages)
}

/// Reads a line `'URI' NAME_VERSION_ARCHITECTURE.deb SIZE HASH`.
pub(crate) fn offered(line: &str) -> Option<Package> {
    let mut words = line.split_whitespace();
    let uri = words.next()?;
    if !uri.starts_with('\'') {
        return None;
    }
    let (name, rest) = words.next()?.split_once('_')?;
    let (version, _) = rest.rsplit_once('_')?;
    Some(Package {
        name: name.to_owned(),
        // An epoch's colon cannot stand in a file name.
        version: version.replace("%3a", ":"),
        download: Bytes(words.next()?.parse().ok()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_apt_offers_is_read() {
        let line = "'http://deb.debian.org/debian/pool/r/redis-tools_7.0.15-1_amd64.deb' \
                    redis-tools_5%3a7.0.15-1~deb12u10_amd64.deb 991988 SHA256:ab";
        assert_eq!(
            offered(line),
            Some(Package {
                name: "redis-tools".to_owned(),
                version: "5:7.0.15-1~deb12u10".to_owned(),
                download: Bytes(991_988),
            })
        );
        assert_eq!(offered("Reading package lists..."), None);
    }

    #[test]
    fn packages_are_listed_once_and_sorted() {
        let names: Vec<&str> = PACKAGES.lines().collect();
        assert!(names.is_sorted_by(|one, other| one < other), "{names:?}");
    }

    #[test]
    fn a_disk_in_the_cache_is_found_by_its_recipe() {
        let images = tempfile::tempdir().expect("scratch");
        assert_eq!(cached(images.path(), "a"), None);
        let manifest = ProgramManifest {
            schema_version: 1,
            packages: Vec::new(),
        };
        for (recipe, whole) in [("a", true), ("b", false)] {
            let place = images.path().join(format!("programs-{recipe}-0"));
            fs::create_dir(&place).expect("a directory");
            fs::write(place.join(DISK), "disk").expect("a disk");
            if whole {
                let text = serde_json::to_vec(&manifest).expect("text");
                fs::write(place.join(MANIFEST), text).expect("a manifest");
            }
        }
        let found = cached(images.path(), "a").expect("it is there");
        assert_eq!(found.disk, images.path().join("programs-a-0/disk.ext4"));
        assert_eq!(cached(images.path(), "b"), None, "not whole");
        assert_eq!(cached(images.path(), "c"), None, "another recipe");
    }

    #[test]
    fn a_directory_becomes_a_file_system_with_scripts_and_mount_points() {
        let scratch = tempfile::tempdir().expect("scratch");
        let root = scratch.path().join("root");
        fs::create_dir_all(root.join("usr/share/doc/redis")).expect("directories");
        fs::write(root.join("usr/share/doc/redis/copyright"), "long").expect("a document");
        complete(&root).expect("completed");
        assert!(!root.join("usr/share/doc").exists());
        let disk = scratch.path().join("disk");
        make_disk(&root, &disk).expect("a disk");
        let list = |path: &str| {
            run(Command::new("debugfs")
                .args(["-R", &format!("ls -p {path}")])
                .arg(&disk))
            .expect("debugfs reads it")
        };
        for program in Program::ALL {
            let name = format!("/100755/0/0/{}/", program.name());
            assert!(list("/programs").contains(&name), "{}", list("/programs"));
        }
        for place in MOUNT_POINTS {
            assert!(list("/").contains(&format!("/{place}/")), "{place}");
        }
    }
}
