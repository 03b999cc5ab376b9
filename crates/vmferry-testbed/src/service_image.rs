//! The disks of services: their packages and their data, made once and then only read. Each guest
//! writes to an overlay of its own.

use std::path::{Path, PathBuf};
use std::process::Command;

use vmferry_core::Bytes;
use vmferry_load::spec::Service;
use xxhash_rust::xxh3::Xxh3;

use crate::chroot;
use crate::command::run;
use crate::error::TestbedError;
use crate::image::cache_directory;
use crate::package_disk::{PackageManifest, PackageSet, add_script, add_system, remove};
use crate::service_files::{ServiceFiles, of};

/// What is not needed to run them.
const UNUSED: [&str; 12] = [
    "usr/share/doc",
    "usr/share/man",
    "usr/share/locale",
    "usr/share/info",
    "usr/share/lintian",
    "usr/share/bug",
    "usr/lib/postgresql/15/lib/bitcode",
    "usr/lib/postgresql/15/lib/llvmjit.so",
    "usr/lib/postgresql/15/lib/llvmjit_types.bc",
    "usr/share/mysql/mysql-test",
    "usr/lib/systemd",
    "lib/systemd",
];

/// Under whose names services run, as Debian's packages would add them.
const USERS: &str = include_str!("services/passwd");
const GROUPS: &str = include_str!("services/group");

/// Read by scripts of several services.
const LISTENING: &str = include_str!("services/listening");

/// For what a service writes during a benchmark; the file is sparse.
const ROOM: Bytes = Bytes::from_mib(768);

/// Changes when what is done with the packages does.
const RECIPE: u32 = 1;

/// The disk of a service, ready to use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceImage {
    /// Which service.
    pub service: Service,
    /// An ext4 file system without a journal, which is the base of the guests' overlays.
    pub disk: PathBuf,
    /// What is in it.
    pub manifest: PackageManifest,
}

impl ServiceImage {
    /// The disk of a service, made where it is not cached yet: its packages are fetched from
    /// Debian, unpacked, and its data is made by its own programs, in namespaces of their own. A
    /// cached one is used without asking Debian for newer packages, so that runs stay comparable
    /// until the cache is emptied. From 8 MB (file) and 10 MB (web) to 67 MB (application) are
    /// fetched. `None` for [`Service::Standby`], which needs none.
    ///
    /// # Errors
    /// [`TestbedError::Packages`] when the packages can neither be fetched nor found in the cache,
    /// [`TestbedError::ImageNotMade`] when the disk cannot be made, for example for want of room.
    /// Nothing half-made stays.
    pub fn prepare(service: Service) -> Result<Option<Self>, TestbedError> {
        let Some(files) = of(service) else {
            return Ok(None);
        };
        let images = cache_directory().join("images");
        let disk = PackageSet {
            name: format!("service-{service}"),
            recipe: recipe(&files, service.usual_set()),
            list: format!("services/{service}/packages.txt"),
            packages: files.packages,
            most_fetched: files.most_fetched,
        };
        let made = disk.prepare_disk_in(&images, ROOM, |root| complete(root, service, &files))?;
        let (disk, manifest) = made;
        Ok(Some(Self {
            service,
            disk,
            manifest,
        }))
    }

    /// Makes an overlay, or makes it anew: what guests write goes there. Both ends of a move open
    /// the same one; QEMU hands it over.
    pub(crate) fn overlay(base: &Path, overlay: &Path) -> Result<(), TestbedError> {
        run(Command::new("qemu-img")
            .args(["create", "-q", "-f", "qcow2", "-F", "raw", "-b"])
            .args([base, overlay]))
        .map(drop)
    }
}

/// Stands for all that makes a disk but the versions of its packages.
fn recipe(files: &ServiceFiles, set: Option<u64>) -> String {
    let mut hash = Xxh3::new();
    hash.update(&RECIPE.to_le_bytes());
    hash.update(&ROOM.0.to_le_bytes());
    hash.update(&set.unwrap_or_default().to_le_bytes());
    for text in [files.packages, USERS, GROUPS, LISTENING] {
        hash.update(text.as_bytes());
    }
    for text in UNUSED {
        hash.update(text.as_bytes());
    }
    for (name, text) in files.scripts {
        hash.update(name.as_bytes());
        hash.update(text.as_bytes());
    }
    format!("{:016x}", hash.digest())
}

/// Removes what is not needed, adds mount points, users and scripts, and lets the service make its
/// data.
fn complete(root: &Path, service: Service, files: &ServiceFiles) -> Result<(), TestbedError> {
    let scripts = root.join("services");
    let add_scripts = || {
        add_script(&scripts.join("listening"), LISTENING)?;
        files.scripts.iter().try_for_each(|(name, text)| {
            let name = if *name == "start" {
                service.name()
            } else {
                name
            };
            add_script(&scripts.join(name), text)
        })
    };
    remove(root, &UNUSED)
        .and_then(|()| add_system(root, "services", USERS, GROUPS))
        .and_then(|()| add_scripts())
        .map_err(TestbedError::io(format!("complete {service}")))?;
    if scripts.join("prepare").exists() {
        chroot::run_script(root, "/services/prepare", service.usual_set())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_service_but_standby_has_sorted_packages_and_a_script() {
        for service in Service::ALL {
            let Some(files) = of(service) else {
                assert_eq!(service, Service::Standby);
                assert_eq!(ServiceImage::prepare(service).expect("nothing to do"), None);
                continue;
            };
            let names: Vec<&str> = files.packages.lines().collect();
            assert!(names.is_sorted_by(|one, other| one < other), "{names:?}");
            let scripts: Vec<&str> = files.scripts.iter().map(|(name, _)| *name).collect();
            assert!(scripts.contains(&"start"), "{service}: {scripts:?}");
            for (name, text) in files.scripts {
                assert!(!text.is_empty(), "{service}: {name}");
            }
        }
    }

    #[test]
    fn recipes_differ_by_files_and_set() {
        let web = of(Service::Web).expect("files");
        let cache = of(Service::Cache).expect("files");
        let recipes = [
            recipe(&web, None),
            recipe(&cache, None),
            recipe(&cache, Some(1)),
        ];
        assert_ne!(recipes[0], recipes[1]);
        assert_ne!(recipes[1], recipes[2]);
    }

    #[test]
    fn an_overlay_is_made_anew() {
        let scratch = tempfile::tempdir().expect("scratch");
        let base = scratch.path().join("base");
        std::fs::write(&base, vec![7; 1 << 20]).expect("a base");
        let overlay = scratch.path().join("overlay");
        for _ in 0..2 {
            ServiceImage::overlay(&base, &overlay).expect("an overlay");
            let text = run(Command::new("qemu-img")
                .args(["info", "--output=json"])
                .arg(&overlay));
            let info: serde_json::Value =
                serde_json::from_str(&text.expect("qemu-img reads it")).expect("JSON");
            assert_eq!(info["virtual-size"], 1 << 20);
            assert_eq!(info["backing-filename-format"], "raw");
            std::fs::write(&overlay, "spoilt").expect("written");
        }
    }
}
