//! The tools: fetched once, run from where they lie.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::{Deserialize, Serialize};
use vmferry_core::Bytes;
use xxhash_rust::xxh3::Xxh3;

use super::running::ServiceClient;
use super::tool;
use crate::Service;
use crate::error::TestbedError;
use crate::image::cache_directory;
use crate::netns::Namespace;
use crate::package_disk::{PackageManifest, PackageSet};

/// The tools' packages and the libraries that they load, down to that of C.
const PACKAGES: &str = include_str!("packages.txt");

const WRK_SCRIPT: &str = include_str!("tool/wrk.lua");

/// Where the script of `wrk` lies.
pub(super) const SCRIPT: &str = "vmferry-wrk.lua";

/// What is kept of the packages: the rest is servers and documents.
const KEPT: [&str; 8] = [
    "lib/x86_64-linux-gnu",
    "usr/lib/x86_64-linux-gnu",
    "usr/lib/postfix",
    "usr/lib/postgresql/15/bin/pgbench",
    "usr/bin",
    "usr/sbin/smtp-source",
    "usr/sbin/smtp-sink",
    "usr/share/sysbench",
];

/// Where the tools' libraries lie.
const LIBRARIES: [&str; 3] = [
    "lib/x86_64-linux-gnu",
    "usr/lib/x86_64-linux-gnu",
    "usr/lib/postfix",
];

/// Not the one in `lib64`, which is a link to this machine's.
const LOADER: &str = "lib/x86_64-linux-gnu/ld-linux-x86-64.so.2";

/// The most that is fetched: 43 MB are usual, a mistaken list would be more.
const MOST_FETCHED: Bytes = Bytes::from_mib(80);

/// Changes when what is done with the packages does.
const RECIPE: u32 = 1;

const ROOT: &str = "root";

/// The most connections: a guest under TCG does not serve more in a useful time.
const MOST_CONNECTIONS: u16 = 1000;

/// What the services' images hold for a row of the database, and for a key of the cache.
const ROW: Bytes = Bytes(256);
const KEY: Bytes = Bytes(1024);

/// Load generators, ready to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientTools {
    root: PathBuf,
    manifest: PackageManifest,
}

/// How hard clients work.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ClientLoad {
    /// Connections at once, 1 to 1000.
    pub connections: u16,
    /// The most operations a second; `None` for as many as the service does. Redis's tool cannot
    /// be held back; letters come at whole seconds.
    pub rate_per_s: Option<f64>,
    /// How much data the service was filled with: clients of databases and caches use all of it.
    #[serde(rename = "set_bytes")]
    pub set: Bytes,
}

impl Default for ClientLoad {
    /// 4 connections as fast as they get answers, over 64 MiB.
    fn default() -> Self {
        Self {
            connections: 4,
            rate_per_s: None,
            set: Bytes::from_mib(64),
        }
    }
}

impl ClientLoad {
    /// Rows of sysbench's table.
    pub(super) fn rows(&self) -> u64 {
        (self.set.0 / ROW.0).max(1)
    }

    /// Keys of the cache.
    pub(super) fn keys(&self) -> u64 {
        (self.set.0 / KEY.0).clamp(1, 1 << 30)
    }

    fn check(&self, service: Service) -> Result<(), TestbedError> {
        let wrong = |problem: String| Err(TestbedError::Client { service, problem });
        if !(1..=MOST_CONNECTIONS).contains(&self.connections) {
            return wrong(format!(
                "{} connections; give 1 to {MOST_CONNECTIONS}",
                self.connections
            ));
        }
        match self.rate_per_s {
            Some(rate) if !(0.01..=1e6).contains(&rate) => {
                wrong(format!("a rate of {rate} a second; give 0.01 to 1000000"))
            }
            Some(_) if service == Service::Cache => wrong(
                "redis-benchmark cannot be held to a rate; give fewer connections instead"
                    .to_owned(),
            ),
            _ => Ok(()),
        }
    }
}

impl ClientTools {
    /// The tools, fetched where they are not cached yet: 43 MB from Debian, never more than 80.
    /// Cached ones are used without asking Debian for newer packages, so that runs stay comparable
    /// until the cache is emptied.
    ///
    /// # Errors
    /// When the packages can neither be fetched nor found in the cache.
    pub fn prepare() -> Result<Self, TestbedError> {
        Self::prepare_in(&cache_directory().join("clients"))
    }

    fn prepare_in(cache: &Path) -> Result<Self, TestbedError> {
        let made = packages(&recipe()).prepare_in(cache, |whole, fresh| {
            let root = fresh.join(ROOT);
            keep(whole, &root)
                .and_then(|()| fs::write(root.join(SCRIPT), WRK_SCRIPT))
                .map_err(TestbedError::io("keep the tools"))
        });
        made.map(Self::of)
    }

    /// The tools in the cache; `None` where they are not there.
    #[must_use]
    pub fn find() -> Option<Self> {
        Self::cached(&cache_directory().join("clients"), &recipe())
    }

    /// What they are, with versions.
    #[must_use]
    pub fn manifest(&self) -> &PackageManifest {
        &self.manifest
    }

    /// Starts the clients of a guest's service in a network, that of the testbed's
    /// [client](crate::Testbed::client). `None` for services without clients.
    ///
    /// # Errors
    /// [`TestbedError::Client`] for a load that cannot be; and when a tool does not start. One that
    /// starts and then finds no service ends, and says so in its [work](super::PartWork::fault).
    pub fn start(
        &self,
        network: &Namespace,
        service: Service,
        guest: Ipv4Addr,
        load: &ClientLoad,
    ) -> Result<Option<ServiceClient>, TestbedError> {
        load.check(service)?;
        let runs = tool::runs(service, &self.root, guest, load);
        if runs.is_empty() {
            return Ok(None);
        }
        ServiceClient::start(self, network, service, guest, load, runs).map(Some)
    }

    /// A command that runs a program of the tools, with their own loader and libraries, in a
    /// network.
    pub(super) fn command(
        &self,
        network: &Namespace,
        program: &str,
    ) -> Result<Command, TestbedError> {
        let name = Path::new(program).file_name().unwrap_or_default();
        self.command_as(network, program, name)
    }

    /// The same under another name, for programs that go by theirs.
    pub(super) fn command_as(
        &self,
        network: &Namespace,
        program: &str,
        name: impl AsRef<OsStr>,
    ) -> Result<Command, TestbedError> {
        let loader = self.root.join(LOADER);
        let mut command = network.command(&loader.to_string_lossy())?;
        let libraries: Vec<String> = LIBRARIES
            .iter()
            .map(|library| self.root.join(library).to_string_lossy().into_owned())
            .collect();
        command
            .arg("--argv0")
            .arg(name)
            .args(["--library-path", &libraries.join(":")])
            .arg(self.root.join(program));
        // Messages are read.
        command.env("LC_ALL", "C");
        Ok(command)
    }

    /// The version of a package, as Debian gives it.
    pub(super) fn version(&self, package: &str) -> String {
        let found = self
            .manifest
            .packages
            .iter()
            .find(|one| one.name == package);
        found.map_or_else(String::new, |package| package.version.clone())
    }

    /// The newest cached tools of a recipe.
    fn cached(cache: &Path, recipe: &str) -> Option<Self> {
        packages(recipe).cached(cache).map(Self::of)
    }

    fn of((place, manifest): (PathBuf, PackageManifest)) -> Self {
        Self {
            root: place.join(ROOT),
            manifest,
        }
    }
}

/// Stands for all that makes the tools but the versions of their packages.
fn recipe() -> String {
    let mut hash = Xxh3::new();
    hash.update(&RECIPE.to_le_bytes());
    hash.update(PACKAGES.as_bytes());
    hash.update(WRK_SCRIPT.as_bytes());
    for kept in KEPT {
        hash.update(kept.as_bytes());
    }
    format!("{:016x}", hash.digest())
}

/// Moves what is kept to where it stays.
fn keep(whole: &Path, root: &Path) -> io::Result<()> {
    for kept in KEPT {
        let to = root.join(kept);
        if let Some(above) = to.parent() {
            fs::create_dir_all(above)?;
        }
        fs::rename(whole.join(kept), to)?;
    }
    Ok(())
}

/// The packages that the tools are made of.
fn packages(recipe: &str) -> PackageSet {
    PackageSet {
        name: "tools".to_owned(),
        recipe: recipe.to_owned(),
        list: "client/packages.txt".to_owned(),
        packages: PACKAGES,
        most_fetched: MOST_FETCHED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::package_disk::{MANIFEST, Package};

    #[test]
    fn packages_are_listed_once_and_sorted() {
        let names: Vec<&str> = PACKAGES.lines().collect();
        assert!(names.is_sorted_by(|one, other| one < other), "{names:?}");
    }

    #[test]
    fn tools_are_found_by_their_recipe_once_they_are_whole() {
        let cache = tempfile::tempdir().expect("scratch");
        assert_eq!(ClientTools::cached(cache.path(), "a"), None);
        let manifest = PackageManifest {
            schema_version: 1,
            packages: vec![Package {
                name: "wrk".to_owned(),
                version: "4.1.0-3+b2".to_owned(),
                download: Bytes(43_340),
            }],
        };
        for (recipe, whole) in [("a", true), ("b", false)] {
            let place = cache.path().join(format!("tools-{recipe}-0"));
            fs::create_dir(&place).expect("a directory");
            if whole {
                let text = serde_json::to_vec(&manifest).expect("text");
                fs::write(place.join(MANIFEST), text).expect("a manifest");
            }
        }
        let found = ClientTools::cached(cache.path(), "a").expect("it is there");
        assert_eq!(found.root, cache.path().join("tools-a-0/root"));
        assert_eq!(found.version("wrk"), "4.1.0-3+b2");
        assert_eq!(ClientTools::cached(cache.path(), "b"), None);
    }

    #[test]
    fn loads_that_cannot_be_are_refused() {
        let load = ClientLoad::default();
        assert!(load.check(Service::Cache).is_ok());
        assert_eq!((load.rows(), load.keys()), (262_144, 65_536));
        let said = |load: ClientLoad| load.check(Service::Cache).unwrap_err().to_string();
        let none = said(ClientLoad {
            connections: 0,
            ..load
        });
        assert!(
            none.contains("cache") && none.contains("1 to 1000"),
            "{none}"
        );
        let held = said(ClientLoad {
            rate_per_s: Some(5.0),
            ..load
        });
        assert!(held.contains("fewer connections"), "{held}");
        let endless = said(ClientLoad {
            rate_per_s: Some(f64::NAN),
            ..load
        });
        assert!(endless.contains("NaN"), "{endless}");
    }
}
