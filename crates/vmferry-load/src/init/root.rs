//! The disks that programs and services have as their root: found by their serial numbers, mounted,
//! with what programs expect around them in memory.

use std::ffi::CString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use vmferry_load::spec::{PROGRAMS_SERIAL, SERVICE_SERIAL};

use super::mount::mount;
use crate::clock::{self, MILLISECOND, Nanos, SECOND};

/// Where control groups are mounted, outside of the programs' root.
const GROUPS: &str = "/sys/fs/cgroup";

/// A virtio disk appears some time after its driver is loaded.
const PATIENCE: Nanos = 5 * SECOND;

/// A disk with scripts, and what they start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Root {
    /// Of all programs; only read.
    Programs,
    /// Of one service, which keeps its data on it.
    Service,
}

impl Root {
    /// What is started from it; its scripts lie in a directory of the plural.
    pub(crate) const fn kind(self) -> &'static str {
        match self {
            Self::Programs => "program",
            Self::Service => "service",
        }
    }

    const fn serial(self) -> &'static str {
        match self {
            Self::Programs => PROGRAMS_SERIAL,
            Self::Service => SERVICE_SERIAL,
        }
    }

    /// Where it is mounted; what is started sees it as its root.
    const fn place(self) -> &'static str {
        match self {
            Self::Programs => "/system",
            Self::Service => "/service",
        }
    }

    const fn flags(self) -> libc::c_ulong {
        match self {
            Self::Programs => libc::MS_RDONLY,
            Self::Service => libc::MS_NOATIME,
        }
    }

    /// Mounts the disk, once, and returns its place.
    ///
    /// # Errors
    /// In words: outside of a guest, without the disk, or when something cannot be mounted.
    pub(crate) fn mounted(self) -> Result<&'static Path, String> {
        static PROGRAMS: OnceLock<Result<PathBuf, String>> = OnceLock::new();
        static SERVICE: OnceLock<Result<PathBuf, String>> = OnceLock::new();
        let once = match self {
            Self::Programs => &PROGRAMS,
            Self::Service => &SERVICE,
        };
        once.get_or_init(|| prepare(self))
            .as_deref()
            .map_err(Clone::clone)
    }
}

/// Makes a control group for a program and returns its directory.
///
/// # Errors
/// In words.
pub(crate) fn group(name: &str) -> Result<PathBuf, String> {
    static GROUPS_OR_ERROR: OnceLock<Result<(), String>> = OnceLock::new();
    GROUPS_OR_ERROR.get_or_init(mount_groups).clone()?;
    let group = Path::new(GROUPS).join(name);
    fs::create_dir(&group)
        .map_err(|error| format!("cannot make the control group {}: {error}", group.display()))?;
    Ok(group)
}

/// Holds a group to so many per cent of one CPU.
///
/// # Errors
/// In words.
pub(crate) fn limit(group: &Path, duty: f64) -> Result<(), String> {
    fs::write(group.join("cpu.max"), quota(duty))
        .map_err(|error| format!("cannot limit its CPU time: {error}"))
}

/// What `cpu.max` wants: microseconds of CPU time in each slot, and the slot.
fn quota(duty: f64) -> String {
    // The kernel takes no less than 1 ms, which is the least duty, 5 per cent.
    const SLOT: f64 = 20_000.0;
    format!("{:.0} {SLOT:.0}", duty / 100.0 * SLOT)
}

fn prepare(disk: Root) -> Result<PathBuf, String> {
    if std::process::id() != 1 {
        return Err(format!(
            "a {} runs only in a guest, where vmferry-load is the first process",
            disk.kind()
        ));
    }
    let device = device(disk)?;
    let root = Path::new(disk.place());
    fs::create_dir_all(root).map_err(|error| format!("cannot make {}: {error}", root.display()))?;
    let device = CString::new(device).map_err(|error| error.to_string())?;
    // The directories below exist in the image.
    for (kind, source, place, flags, options) in [
        ("ext4", device.as_c_str(), "", disk.flags(), c""),
        ("proc", c"none", "proc", 0, c""),
        ("devtmpfs", c"none", "dev", 0, c""),
        ("tmpfs", c"none", "tmp", 0, c"mode=1777,size=90%"),
        ("tmpfs", c"none", "run", 0, c"mode=755,size=10%"),
    ] {
        let place = root.join(place);
        mount(kind, source, &place, flags, options).map_err(failed(&place))?;
    }
    let shared = root.join("dev/shm");
    fs::create_dir_all(&shared)
        .and_then(|()| mount("tmpfs", c"none", &shared, 0, c"mode=1777"))
        .map_err(failed(&shared))?;
    Ok(root.to_owned())
}

fn mount_groups() -> Result<(), String> {
    let groups = Path::new(GROUPS);
    mount("cgroup2", c"none", groups, 0, c"").map_err(failed(groups))?;
    fs::write(groups.join("cgroup.subtree_control"), "+cpu")
        .map_err(|error| format!("cannot use the cpu controller: {error}"))
}

fn failed(place: &Path) -> impl FnOnce(std::io::Error) -> String {
    move |error| format!("cannot mount {}: {error}", place.display())
}

/// The device of a disk, waiting until it appears.
fn device(of: Root) -> Result<String, String> {
    let end = clock::now() + PATIENCE;
    loop {
        let disks = fs::read_dir("/sys/block").into_iter().flatten().flatten();
        let found = disks.map(|disk| disk.path()).find(|disk| {
            fs::read_to_string(disk.join("serial")).is_ok_and(|serial| serial.trim() == of.serial())
        });
        if let Some(name) = found.as_deref().and_then(Path::file_name) {
            return Ok(format!("/dev/{}", name.to_string_lossy()));
        }
        let now = clock::now();
        if now >= end {
            return Err(format!(
                "no disk has the serial number {}; start the guest with the image of its {}",
                of.serial(),
                of.kind()
            ));
        }
        clock::sleep_until(now + 10 * MILLISECOND);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duty_is_a_share_of_each_slot() {
        assert_eq!(quota(5.0), "1000 20000");
        assert_eq!(quota(150.0), "30000 20000");
    }

    #[test]
    fn outside_of_a_guest_nothing_is_mounted() {
        for root in [Root::Programs, Root::Service] {
            assert!(root.mounted().unwrap_err().contains("only in a guest"));
        }
    }
}
