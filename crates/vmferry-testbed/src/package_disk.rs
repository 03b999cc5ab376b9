//! What is made of Debian packages, in the cache: file systems for guests, tools for their clients.
//! Packages are fetched, unpacked and made into it, with nothing installed on this machine.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::{Deserialize, Serialize};
use vmferry_core::Bytes;
use xxhash_rust::xxh3::Xxh3;

use crate::command::run;
use crate::error::TestbedError;
use crate::image::{lock_cache, with_fresh_lists};

/// Where the load program mounts what can be written, and the kernel's file systems.
pub(crate) const MOUNT_POINTS: [&str; 5] = ["dev", "proc", "sys", "tmp", "run"];

const DISK: &str = "disk.ext4";
pub(crate) const MANIFEST: &str = "manifest.json";

/// What is in a disk of packages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageManifest {
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

impl PackageManifest {
    /// Bytes that were fetched.
    #[must_use]
    pub fn download(&self) -> Bytes {
        Bytes(self.packages.iter().map(|package| package.download.0).sum())
    }
}

/// Packages, and what stands for all that is done with them.
#[derive(Clone, Debug)]
pub(crate) struct PackageSet {
    /// What its directories in the cache begin with.
    pub(crate) name: String,
    /// Stands for all that makes it but the versions of its packages.
    pub(crate) recipe: String,
    /// The file with the list of packages, for messages.
    pub(crate) list: String,
    /// The packages, one a line, sorted.
    pub(crate) packages: &'static str,
    /// The most that is fetched; a mistaken list would be more.
    pub(crate) most_fetched: Bytes,
}

impl PackageSet {
    /// A file system of the packages, with room for what guests write, and what is in it; `complete`
    /// adds to the unpacked packages.
    pub(crate) fn prepare_disk_in(
        &self,
        cache: &Path,
        room: Bytes,
        complete: impl Fn(&Path) -> Result<(), TestbedError>,
    ) -> Result<(PathBuf, PackageManifest), TestbedError> {
        let (place, manifest) = self.prepare_in(cache, |root, fresh| {
            complete(root)?;
            make_disk(root, &fresh.join(DISK), room)
        })?;
        Ok((place.join(DISK), manifest))
    }

    /// The directory of what is made of the packages, and what is in it; made where it is not cached
    /// yet. `make` gets the unpacked packages, and the directory to fill. Of what cannot be made
    /// nothing stays.
    pub(crate) fn prepare_in(
        &self,
        cache: &Path,
        make: impl Fn(&Path, &Path) -> Result<(), TestbedError>,
    ) -> Result<(PathBuf, PackageManifest), TestbedError> {
        let _held = lock_cache(cache, &format!("{}.lock", self.name))?;
        match self.cached(cache) {
            Some(made) => Ok(made),
            None => self.build(cache, make),
        }
    }

    /// The newest in the cache of this recipe.
    pub(crate) fn cached(&self, cache: &Path) -> Option<(PathBuf, PackageManifest)> {
        let prefix = format!("{}-{}-", self.name, self.recipe);
        fs::read_dir(cache)
            .ok()?
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix))
            .filter_map(|entry| {
                let manifest = entry.path().join(MANIFEST);
                let made = manifest.metadata().ok()?.modified().ok()?;
                let manifest = serde_json::from_slice(&fs::read(manifest).ok()?).ok()?;
                Some((made, (entry.path(), manifest)))
            })
            .max_by_key(|(made, _)| *made)
            .map(|(_, found)| found)
    }

    fn build(
        &self,
        cache: &Path,
        make: impl Fn(&Path, &Path) -> Result<(), TestbedError>,
    ) -> Result<(PathBuf, PackageManifest), TestbedError> {
        let scratch_name = format!(".{}-", self.name);
        remove_left_over(cache, &scratch_name);
        let doing = |what: &str| format!("{what} in {}", cache.display());
        let scratch = tempfile::Builder::new()
            .prefix(&scratch_name)
            .tempdir_in(cache)
            .map_err(TestbedError::io(doing("make a directory")))?;
        let fetched = scratch.path().join("fetched");
        let root = scratch.path().join("root");
        let fresh = scratch.path().join("image");
        for directory in [&fetched, &root, &fresh] {
            fs::create_dir(directory).map_err(TestbedError::io(doing("make a directory")))?;
        }
        let packages = with_fresh_lists(|| self.fetch(&fetched))
            .map_err(|error| self.unfetched(cache, error))?;
        let manifest = PackageManifest {
            schema_version: 1,
            packages,
        };
        let write = || -> Result<(), TestbedError> {
            for archive in fs::read_dir(&fetched)
                .map_err(TestbedError::io(doing("read what was fetched")))?
                .flatten()
            {
                let mut unpack = Command::new("dpkg-deb");
                unpack.arg("-x").args([&archive.path(), &root]);
                run(&mut unpack).map_err(in_short(&format!(
                    "dpkg-deb -x {}",
                    archive.path().display()
                )))?;
            }
            make(&root, &fresh)?;
            serde_json::to_vec_pretty(&manifest)
                .map_err(io::Error::other)
                .and_then(|text| fs::write(fresh.join(MANIFEST), text))
                .and_then(|()| keep(&fresh))
                .map_err(TestbedError::io(doing("write the manifest")))
        };
        write().map_err(|error| self.not_made(cache, &error))?;
        let mut hash = Xxh3::new();
        for package in &manifest.packages {
            hash.update(format!("{}={}\n", package.name, package.version).as_bytes());
        }
        let place = cache.join(format!(
            "{}-{}-{:016x}",
            self.name,
            self.recipe,
            hash.digest()
        ));
        put(&fresh, &place).map_err(TestbedError::io(format!("make {}", place.display())))?;
        Ok((place, manifest))
    }

    /// Fetches the packages, in the very versions that are returned.
    fn fetch(&self, into: &Path) -> Result<Vec<Package>, TestbedError> {
        let packages = self.offered_packages()?;
        let download = packages.iter().map(|package| package.download.0).sum();
        tracing::info!(disk = self.name, download = %Bytes(download), "fetching packages");
        let wanted = packages
            .iter()
            .map(|package| format!("{}={}", package.name, package.version));
        run(apt_download().args(wanted).current_dir(into)).map_err(in_short("apt-get download"))?;
        Ok(packages)
    }

    /// What Debian has of the packages, sorted by name.
    fn offered_packages(&self) -> Result<Vec<Package>, TestbedError> {
        let names: Vec<&str> = self.packages.lines().collect();
        let text = run(apt_download().arg("--print-uris").args(&names))
            .map_err(in_short("apt-get download --print-uris"))?;
        let mut packages: Vec<Package> = text.lines().filter_map(offered).collect();
        packages.sort_by(|one, other| one.name.cmp(&other.name));
        if !packages.iter().map(|package| &package.name).eq(&names) {
            return Err(self.missing(format!(
                "apt offers {} of {} packages",
                packages.len(),
                names.len()
            )));
        }
        let download = Bytes(packages.iter().map(|package| package.download.0).sum());
        if download > self.most_fetched {
            return Err(self.missing(format!(
                "they are {download} to fetch, more than {}",
                self.most_fetched
            )));
        }
        Ok(packages)
    }

    fn missing(&self, problem: String) -> TestbedError {
        TestbedError::Packages {
            list: self.list.clone(),
            problem,
        }
    }

    /// Why nothing was fetched: a full disk is no matter of the network.
    fn unfetched(&self, cache: &Path, error: TestbedError) -> TestbedError {
        let said = error.to_string();
        match error {
            error if tells_of_full_disk(&said) => self.not_made(cache, &error),
            error @ TestbedError::Packages { .. } => error,
            _ => self.missing(said),
        }
    }

    fn not_made(&self, cache: &Path, error: &TestbedError) -> TestbedError {
        let free = nix::sys::statvfs::statvfs(cache)
            .ok()
            .map(|system| Bytes(system.blocks_available() * system.fragment_size()));
        TestbedError::ImageNotMade {
            image: self.name.clone(),
            directory: cache.to_owned(),
            free: free.map_or("unknown".to_owned(), |free| free.to_string()),
            problem: error.to_string(),
        }
    }
}

/// Waits until disk and manifest are on the disk: a manifest says that the disk is whole, also after
/// a power cut.
fn keep(fresh: &Path) -> io::Result<()> {
    for file in [DISK, MANIFEST] {
        match File::open(fresh.join(file)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            file => file?.sync_all()?,
        }
    }
    Ok(())
}

/// Moves what was made to its place. What is there is not whole, or it would have been used.
fn put(fresh: &Path, place: &Path) -> io::Result<()> {
    match fs::remove_dir_all(place) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::rename(fresh, place)
}

/// Removes what a builder that was killed has left; the lock says that none is at work.
fn remove_left_over(images: &Path, prefix: &str) {
    for entry in fs::read_dir(images).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            // What cannot be removed is in nobody's way.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Removes files and directories that need not exist.
pub(crate) fn remove(root: &Path, unused: &[&str]) -> io::Result<()> {
    for unused in unused {
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
    Ok(())
}

/// Adds mount points, a directory for scripts, and users.
pub(crate) fn add_system(root: &Path, scripts: &str, users: &str, groups: &str) -> io::Result<()> {
    for directory in MOUNT_POINTS.into_iter().chain(["etc", scripts]) {
        fs::create_dir_all(root.join(directory))?;
    }
    fs::write(root.join("etc/passwd"), users)?;
    fs::write(root.join("etc/group"), groups)
}

/// Writes a script, or what it reads.
pub(crate) fn add_script(path: &Path, text: &str) -> io::Result<()> {
    fs::write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

/// Writes a directory as a file system, as small as it can be but for some room.
fn make_disk(root: &Path, disk: &Path, room: Bytes) -> Result<(), TestbedError> {
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
        .and_then(|file| file.set_len((((used * 9 / 8) + 16) << 20) + room.0))
        .map_err(TestbedError::io(format!("make {}", disk.display())))?;
    run(Command::new("mke2fs")
        // No journal: it is never mounted twice. No checksums: guests need not compute them.
        .args(["-q", "-F", "-t", "ext4", "-b", "4096", "-m", "0"])
        .args(["-O", "^has_journal,^metadata_csum,^resize_inode"])
        .args(["-E", "root_owner=0:0,lazy_itable_init=0"])
        .arg("-d")
        .args([root, disk]))
    .map(drop)
}

fn apt_download() -> Command {
    let mut command = Command::new("apt-get");
    // Without the first apt warns that its own user cannot write here.
    command.args(["-q", "-o", "APT::Sandbox::User=root"]);
    command.args(["-o", "Acquire::Retries=3", "download"]);
    command
}

fn tells_of_full_disk(said: &str) -> bool {
    ["No space left on device", "enough free space"]
        .iter()
        .any(|words| said.contains(words))
}

/// A failed command under a short name, with one of its complaints: it complains of every package,
/// or of every file.
fn in_short(name: &str) -> impl FnOnce(TestbedError) -> TestbedError {
    move |error| match error {
        TestbedError::Command { status, stderr, .. } => {
            let full = stderr.lines().find(|line| tells_of_full_disk(line));
            let said = full.or(stderr.lines().next()).unwrap_or_default();
            let more = stderr.lines().count().saturating_sub(1);
            TestbedError::Command {
                command: name.to_owned(),
                status,
                stderr: match more {
                    0 => said.to_owned(),
                    _ => format!("{said} (and {more} more lines)"),
                },
            }
        }
        other => other,
    }
}

/// Reads a line `'URI' NAME_VERSION_ARCHITECTURE.deb SIZE HASH`.
fn offered(line: &str) -> Option<Package> {
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

    fn disk(recipe: &str) -> PackageSet {
        PackageSet {
            name: "test".to_owned(),
            recipe: recipe.to_owned(),
            list: "test/packages.txt".to_owned(),
            packages: "vmferry-no-such-package\n",
            most_fetched: Bytes::from_mib(1),
        }
    }

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
    fn a_disk_in_the_cache_is_found_by_its_recipe() {
        let images = tempfile::tempdir().expect("scratch");
        assert_eq!(disk("a").cached(images.path()), None);
        let manifest = PackageManifest {
            schema_version: 1,
            packages: Vec::new(),
        };
        for (recipe, whole) in [("a", true), ("b", false)] {
            let place = images.path().join(format!("test-{recipe}-0"));
            fs::create_dir(&place).expect("a directory");
            fs::write(place.join(DISK), "disk").expect("a disk");
            if whole {
                let text = serde_json::to_vec(&manifest).expect("text");
                fs::write(place.join(MANIFEST), text).expect("a manifest");
            }
        }
        let place = images.path().join("test-a-0/disk.ext4");
        let found = disk("a").cached(images.path());
        let found = found.map(|(place, manifest)| (place.join(DISK), manifest));
        assert_eq!(found, Some((place, manifest)));
        assert_eq!(disk("b").cached(images.path()), None, "not whole");
        assert_eq!(disk("c").cached(images.path()), None, "another recipe");
    }

    #[test]
    fn a_disk_that_cannot_be_written_says_where_and_leaves_nothing() {
        let images = tempfile::tempdir().expect("scratch");
        let left_over = images.path().join(".test-killed");
        fs::create_dir_all(left_over.join("root")).expect("a left-over");
        remove_left_over(images.path(), ".test-");
        assert!(!left_over.exists());
        let full = TestbedError::io("write")(io::ErrorKind::StorageFull.into());
        let error = disk("a").not_made(images.path(), &full).to_string();
        assert!(error.contains("the image test cannot be made"), "{error}");
        assert!(error.contains("no storage space"), "{error}");
        assert!(error.contains("iB free"), "{error}");
    }

    #[test]
    fn what_was_made_takes_the_place_of_what_is_not_whole() {
        let images = tempfile::tempdir().expect("scratch");
        let (fresh, place) = (images.path().join("fresh"), images.path().join("test-a-0"));
        for (directory, text) in [(&fresh, "new"), (&place, "old")] {
            fs::create_dir(directory).expect("a directory");
            fs::write(directory.join(DISK), text).expect("a disk");
        }
        fs::write(fresh.join(MANIFEST), "{}").expect("a manifest");
        keep(&fresh).expect("kept");
        put(&fresh, &place).expect("put");
        assert_eq!(fs::read_to_string(place.join(DISK)).expect("read"), "new");
        assert!(place.join(MANIFEST).exists() && !fresh.exists());
        fs::remove_file(place.join(DISK)).expect("removed");
        keep(&place).expect("tools have no disk");
        put(&place, &fresh).expect("nothing is in its place");
    }

    #[test]
    fn a_missing_network_is_told_from_a_full_disk() {
        let images = tempfile::tempdir().expect("scratch");
        let said = |why: &str| {
            let complaint = format!("E: Failed to fetch http://debian/a.deb  {why}");
            let failed = TestbedError::Command {
                command: "apt-get -q download a=1 b=2".to_owned(),
                status: "exit status: 100".to_owned(),
                stderr: format!("{complaint}\n{complaint}\n{complaint}"),
            };
            let error = in_short("apt-get download")(failed);
            disk("a").unfetched(images.path(), error).to_string()
        };
        let away = said("Temporary failure resolving 'debian'");
        assert!(
            away.starts_with("no packages of test/packages.txt: `apt-get download` failed"),
            "{away}"
        );
        assert!(away.contains("'debian' (and 2 more lines);"), "{away}");
        assert!(away.contains("archive are needed once"), "{away}");
        let full = said("Error writing to file - write (28: No space left on device)");
        assert!(full.starts_with("the image test cannot be made"), "{full}");
        assert!(full.contains("VMFERRY_CACHE"), "{full}");
    }

    #[test]
    fn a_directory_becomes_a_file_system_with_room() {
        let scratch = tempfile::tempdir().expect("scratch");
        let root = scratch.path().join("root");
        fs::create_dir_all(root.join("usr/share/doc/redis")).expect("directories");
        fs::write(root.join("usr/share/doc/redis/copyright"), "long").expect("a document");
        remove(&root, &["usr/share/doc", "usr/share/man"]).expect("removed");
        assert!(!root.join("usr/share/doc").exists());
        add_system(&root, "scripts", "root:x:0:0::/:/bin/sh\n", "root:x:0:\n").expect("added");
        add_script(&root.join("scripts/web"), "#!/bin/sh\n").expect("a script");
        let disk = scratch.path().join("disk");
        make_disk(&root, &disk, Bytes::from_mib(64)).expect("a disk");
        assert!(fs::metadata(&disk).expect("a disk").len() >= 64 << 20);
        let list = |path: &str| {
            run(Command::new("debugfs")
                .args(["-R", &format!("ls -p {path}")])
                .arg(&disk))
            .expect("debugfs reads it")
        };
        assert!(list("/scripts").contains("/100755/0/0/web/"));
        for place in MOUNT_POINTS {
            assert!(list("/").contains(&format!("/{place}/")), "{}", list("/"));
        }
        assert!(list("/etc").contains("/passwd/"));
        make_disk(&root, &disk, Bytes(0)).expect_err("a disk is there");
    }
}
