//! What is written down of a testbed, so that other programs find it.

use std::env;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use vmferry_core::{ByteRate, GuestUri, StreamUri};
use vmferry_load::spec::Service;

use crate::accelerator::Accelerator;
use crate::error::TestbedError;
use crate::guest_spec::GuestSpec;
use crate::host::Side;
use crate::image::GuestImage;
use crate::process::Process;

/// A testbed as written in its `state.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TestbedRecord {
    /// Version of this record: 1.
    pub schema_version: u32,
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created: jiff::Timestamp,
    /// The process that it ends with; `None` once it lives on its own.
    pub owner: Option<Process>,
    /// Rate of the link, frames included, bytes a second; `None` where it is not shaped.
    #[serde(rename = "rate_bytes_per_s")]
    pub rate: Option<ByteRate>,
    /// How virtual CPUs run.
    pub accelerator: Accelerator,
    /// What guests boot.
    pub image: GuestImage,
    /// Its guests, in the order of their start.
    pub guests: Vec<GuestRecord>,
}

/// A guest as written in its testbed's record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GuestRecord {
    /// What was asked for.
    pub spec: GuestSpec,
    /// Its number within the testbed, from 0.
    pub index: u8,
    /// Its UUID, alike at both ends.
    pub uuid: uuid::Uuid,
    /// Its Ethernet address.
    pub mac: String,
    /// Its address on the guest network.
    pub ip: std::net::Ipv4Addr,
    /// Its tap on both hosts.
    pub tap: String,
    /// Where the destination is to listen for the migration stream.
    pub via: StreamUri,
    /// The image of its disk, if it has one.
    pub disk: Option<PathBuf>,
    /// The disk of programs, which is only read, if its load runs any.
    #[serde(default)]
    pub programs: Option<PathBuf>,
    /// The disk of its service, if its load is one that needs it.
    #[serde(default)]
    pub service: Option<ServiceDisk>,
    /// Its QEMU at the source.
    pub source: EndRecord,
    /// Its QEMU at the destination.
    pub destination: EndRecord,
}

/// The disk of a guest's service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceDisk {
    /// Which service.
    pub service: Service,
    /// The image in the cache, which is only read.
    pub base: PathBuf,
    /// What the guest has written, above the base; opened by both ends, made anew by
    /// [`crate::TestGuest::reset`].
    pub overlay: PathBuf,
}

/// A guest's QEMU at one end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EndRecord {
    /// The process; `None` where it is not started, or was ended on purpose.
    pub process: Option<Process>,
    /// The monitor for vmferry.
    pub qmp: PathBuf,
    /// The monitor for whoever watches meanwhile; a monitor serves one client only.
    pub watch: PathBuf,
    /// The serial console, as a file that grows.
    pub console: PathBuf,
    /// What QEMU itself writes.
    pub log: PathBuf,
}

impl GuestRecord {
    /// The guest at one end.
    #[must_use]
    pub fn end(&self, side: Side) -> &EndRecord {
        match side {
            Side::Source => &self.source,
            Side::Destination => &self.destination,
        }
    }

    pub(crate) fn end_mut(&mut self, side: Side) -> &mut EndRecord {
        match side {
            Side::Source => &mut self.source,
            Side::Destination => &mut self.destination,
        }
    }
}

impl EndRecord {
    pub(crate) fn in_directory(directory: &Path) -> Self {
        Self {
            process: None,
            qmp: directory.join("qmp.sock"),
            watch: directory.join("watch.sock"),
            console: directory.join("console"),
            log: directory.join("qemu.log"),
        }
    }

    /// The address of its monitor.
    #[must_use]
    pub fn uri(&self) -> GuestUri {
        GuestUri::local(&self.qmp)
    }

    /// The last lines of QEMU's log and of the console, for messages.
    pub(crate) fn tail(&self) -> String {
        let mut text = String::new();
        for (name, path) in [("QEMU's log", &self.log), ("the console", &self.console)] {
            let lines = crate::console::tail(path, 12);
            if lines.is_empty() {
                text.push_str(&format!("{name} ({}) is empty\n", path.display()));
            } else {
                text.push_str(&format!("end of {name} ({}):\n{lines}\n", path.display()));
            }
        }
        text.trim_end().to_owned()
    }
}

/// Where all testbeds of this user are: below `XDG_STATE_HOME` or `~/.local/state`.
pub(crate) fn root() -> PathBuf {
    let set = |name| {
        env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    set("XDG_STATE_HOME")
        .or_else(|| set("HOME").map(|home| home.join(".local/state")))
        .unwrap_or_else(|| PathBuf::from("/var/lib"))
        .join("vmferry/testbeds")
}

/// Makes a testbed's directory, for its owner's eyes only; false where there is one.
pub(crate) fn make_directory(directory: &Path) -> Result<bool, TestbedError> {
    let making = || TestbedError::io(format!("make {}", directory.display()));
    if let Some(parent) = directory.parent() {
        fs::create_dir_all(parent).map_err(making())?;
    }
    match fs::DirBuilder::new().mode(0o700).create(directory) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(making()(error)),
    }
}

fn record_path(directory: &Path) -> PathBuf {
    directory.join("state.json")
}

/// Reads a testbed's record; `None` where there is none.
pub(crate) fn read(directory: &Path) -> Result<Option<TestbedRecord>, TestbedError> {
    let path = record_path(directory);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(TestbedError::io(format!("read {}", path.display()))(error)),
    };
    serde_json::from_slice(&text)
        .map(Some)
        .map_err(|source| TestbedError::Record { path, source })
}

/// Writes a testbed's record, whole or not at all.
pub(crate) fn write(directory: &Path, record: &TestbedRecord) -> Result<(), TestbedError> {
    let path = record_path(directory);
    let writing = || TestbedError::io(format!("write {}", path.display()));
    let text = serde_json::to_vec_pretty(record).map_err(|source| TestbedError::Record {
        path: path.clone(),
        source,
    })?;
    let mut fresh = tempfile::NamedTempFile::new_in(directory).map_err(writing())?;
    fresh.write_all(&text).map_err(writing())?;
    fresh
        .persist(&path)
        .map_err(|error| writing()(error.error))?;
    Ok(())
}

/// Adds a process to the list that the janitor reads.
pub(crate) fn list_process(directory: &Path, process: Process) -> Result<(), TestbedError> {
    let path = directory.join("processes");
    fs::OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(&path)
        // One write, so that no reader sees half a line.
        .and_then(|mut file| {
            file.write_all(format!("{} {}\n", process.pid, process.start_time).as_bytes())
        })
        .map_err(TestbedError::io(format!("write {}", path.display())))
}
