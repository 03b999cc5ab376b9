//! Which CPU controller caps a thread, and where its group is.

use std::path::{Path, PathBuf};

use super::cgroup::CgroupVersion;
use super::error::CpuCapError;
use super::files::{Files, is_missing};
use super::thread;

/// Where a thread is in the hierarchy that has the CPU controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Home {
    pub(crate) version: CgroupVersion,
    /// The directory of its group.
    pub(crate) dir: PathBuf,
    /// Where the hierarchy is mounted: no group above this one can be seen.
    pub(crate) mount: PathBuf,
}

/// A mount of a hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mount {
    /// The group that is mounted.
    root: String,
    point: PathBuf,
    kind: String,
    options: String,
}

/// Finds the group of a thread: in the v1 hierarchy that has the `cpu`
/// controller, else in the v2 hierarchy where the group has it.
pub(crate) fn home_of(files: &dyn Files, pid: u32, tid: u32) -> Result<Home, CpuCapError> {
    let none = |reason: String| CpuCapError::NoController { pid, tid, reason };
    let file = thread::task(pid, tid).join("cgroup");
    let membership = match files.read(&file) {
        Ok(text) => text,
        Err(error) if is_missing(&error) => return Err(CpuCapError::ThreadGone { pid, tid }),
        Err(error) => return Err(CpuCapError::file("reading", &file)(error)),
    };
    let (version, group) = if let Some(group) = group_in(&membership, Some("cpu")) {
        (CgroupVersion::V1, group)
    } else if let Some(group) = group_in(&membership, None) {
        (CgroupVersion::V2, group)
    } else {
        return Err(none(
            "it is in no control group; this kernel was built without them".to_owned(),
        ));
    };
    let mountinfo = Path::new("/proc/self/mountinfo");
    let mounts = files
        .read(mountinfo)
        .map_err(CpuCapError::file("reading", mountinfo))?;
    let mounts: Vec<Mount> = mounts.lines().filter_map(mount).collect();
    let fits = |mount: &&Mount| match version {
        CgroupVersion::V1 => mount.kind == "cgroup" && mount.options.split(',').any(|o| o == "cpu"),
        CgroupVersion::V2 => mount.kind == "cgroup2",
    };
    // Several mounts may show it, and one may hide another: the group that
    // lists the thread is the right one.
    for mount in mounts.iter().rev().filter(fits) {
        let Some(below) = below(group, &mount.root) else {
            continue;
        };
        let dir = if below.is_empty() {
            mount.point.clone()
        } else {
            mount.point.join(below)
        };
        let listed = files.read(&dir.join(version.threads_file()));
        if !listed.is_ok_and(|listed| lists(&listed, tid)) {
            continue;
        }
        let controllers = files
            .read(&dir.join("cgroup.controllers"))
            .unwrap_or_default();
        if version == CgroupVersion::V2 && !controllers.split_whitespace().any(|c| c == "cpu") {
            return Err(none(format!(
                "its group {} has no cpu controller; enable it for every group on the way there: \
                 echo +cpu > .../cgroup.subtree_control",
                dir.display()
            )));
        }
        return Ok(Home {
            version,
            dir,
            mount: mount.point.clone(),
        });
    }
    Err(none(format!(
        "its group {group} is below no {} that is mounted here; run vmferry on the host, outside of containers",
        match version {
            CgroupVersion::V1 => "cgroup v1 hierarchy with the cpu controller",
            CgroupVersion::V2 => "cgroup v2 hierarchy",
        }
    )))
}

/// The group of a thread in the hierarchy with a controller, or in that of v2,
/// from `/proc/PID/task/TID/cgroup`: lines `ID:CONTROLLERS:GROUP`.
fn group_in<'a>(membership: &'a str, controller: Option<&str>) -> Option<&'a str> {
    membership.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (id, controllers, group) = (parts.next()?, parts.next()?, parts.next()?);
        let fits = match controller {
            Some(wanted) => controllers.split(',').any(|known| known == wanted),
            None => id == "0" && controllers.is_empty(),
        };
        fits.then_some(group)
    })
}

/// A line of `/proc/self/mountinfo`:
/// `ID PARENT MAJOR:MINOR ROOT POINT OPTIONS [FIELDS..] - KIND SOURCE SUPER_OPTIONS`.
fn mount(line: &str) -> Option<Mount> {
    let (own, filesystem) = line.split_once(" - ")?;
    let mut own = own.split(' ').skip(3);
    let (root, point) = (own.next()?, own.next()?);
    let mut filesystem = filesystem.split(' ');
    Some(Mount {
        root: plain(root),
        point: PathBuf::from(plain(point)),
        kind: filesystem.next()?.to_owned(),
        options: filesystem.nth(1).unwrap_or_default().to_owned(),
    })
}

/// Blanks, line ends and backslashes stand as `\ooo` there.
fn plain(escaped: &str) -> String {
    let mut plain = String::new();
    let mut rest = escaped;
    while let Some(at) = rest.find('\\') {
        plain.push_str(&rest[..at]);
        let code = rest.get(at + 1..at + 4);
        match code.and_then(|code| u8::from_str_radix(code, 8).ok()) {
            Some(byte) => {
                plain.push(char::from(byte));
                rest = &rest[at + 4..];
            }
            None => {
                plain.push('\\');
                rest = &rest[at + 1..];
            }
        }
    }
    plain + rest
}

/// The path of a group below another one, without a leading slash; `None`
/// where it is not below it.
fn below<'a>(group: &'a str, root: &str) -> Option<&'a str> {
    let rest = group.strip_prefix(root.trim_end_matches('/'))?;
    if rest.split('/').any(|part| part == "..") {
        return None;
    }
    match rest {
        "" => Some(""),
        _ => rest.strip_prefix('/'),
    }
}

/// Whether a list of numbers, one a line, has this one.
pub(crate) fn lists(list: &str, number: u32) -> bool {
    numbers(list).any(|listed| listed == number)
}

/// The numbers of a list.
pub(crate) fn numbers(list: &str) -> impl Iterator<Item = u32> + '_ {
    list.split_ascii_whitespace()
        .filter_map(|number| number.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu_cap::fake::FakeKernel;

    #[test]
    fn v1_and_v2_and_both() {
        let kernel = FakeKernel::v1();
        kernel.thread(7, 8, "/libvirt/vm");
        assert_eq!(
            home_of(&kernel, 7, 8).unwrap(),
            Home {
                version: CgroupVersion::V1,
                dir: "/sys/fs/cgroup/cpu,cpuacct/libvirt/vm".into(),
                mount: "/sys/fs/cgroup/cpu,cpuacct".into(),
            }
        );
        let kernel = FakeKernel::v2();
        kernel.group("/vm", true);
        kernel.thread(7, 8, "/vm");
        assert_eq!(
            home_of(&kernel, 7, 8).unwrap(),
            Home {
                version: CgroupVersion::V2,
                dir: "/sys/fs/cgroup/vm".into(),
                mount: "/sys/fs/cgroup".into(),
            }
        );
        kernel.group("/plain/below", false);
        kernel.thread(7, 9, "/plain/below");
        let error = home_of(&kernel, 7, 9).unwrap_err().to_string();
        assert!(
            error.contains("/plain/below has no cpu controller"),
            "{error}"
        );
        let error = home_of(&kernel, 7, 10).unwrap_err().to_string();
        assert!(error.contains("no thread 10"), "{error}");
    }

    #[test]
    fn a_mount_of_a_part_shows_that_part() {
        let kernel = FakeKernel::v1();
        kernel.thread(7, 8, "/pod/vm");
        // Over the whole hierarchy, as in a container.
        let line = "60 31 0:29 /elsewhere /mnt/else rw - cgroup cgroup rw,cpu,cpuacct\n";
        kernel.mounted(line);
        assert_eq!(home_of(&kernel, 7, 8).unwrap().mount, kernel.mount_point());
        kernel.mounted_only(line);
        let error = home_of(&kernel, 7, 8).unwrap_err().to_string();
        assert!(
            error.contains("/pod/vm is below no cgroup v1 hierarchy"),
            "{error}"
        );
    }

    #[test]
    fn mount_lines_and_groups_are_read_as_the_kernel_writes_them() {
        let line = r"32 31 0:29 /a\134x2d\040b /sys/fs/cg\040roup rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct";
        let read = mount(line).unwrap();
        assert_eq!(read.root, r"/a\x2d b");
        assert_eq!(read.point, PathBuf::from("/sys/fs/cg roup"));
        assert_eq!(
            (read.kind.as_str(), read.options.as_str()),
            ("cgroup", "rw,cpu,cpuacct")
        );
        assert_eq!(mount("no mount"), None);

        let hybrid = "9:name=systemd:/x\n4:cpu,cpuacct:/a:b\n3:cpuset:/c\n0::/two\n";
        assert_eq!(group_in(hybrid, Some("cpu")), Some("/a:b"));
        assert_eq!(group_in(hybrid, None), Some("/two"));
        assert_eq!(group_in("3:cpuset:/c\n", Some("cpu")), None);

        assert_eq!(below("/pod/vm", "/"), Some("pod/vm"));
        assert_eq!(below("/pod/vm", "/pod"), Some("vm"));
        assert_eq!(below("/pod", "/pod"), Some(""));
        assert_eq!(below("/pods/vm", "/pod"), None);
        assert_eq!(below("/../other", "/"), None);
    }
}
