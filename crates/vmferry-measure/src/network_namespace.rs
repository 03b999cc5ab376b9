//! The network namespaces of guests' processes.

use std::fs::{self, File};
use std::io;
use std::os::linux::fs::MetadataExt;
use std::path::Path;

use nix::sched::{CloneFlags, setns};

/// Puts the calling thread, and no other, into the network of process `pid`. Needs no rights
/// where it is there already.
pub(crate) fn enter(pid: u32) -> io::Result<()> {
    let theirs = format!("/proc/{pid}/ns/net");
    let identity = |path: &str| fs::metadata(path).map(|meta| (meta.st_dev(), meta.st_ino()));
    if identity(&theirs)? == identity("/proc/thread-self/ns/net")? {
        return Ok(());
    }
    setns(File::open(theirs)?, CloneFlags::CLONE_NEWNET).map_err(io::Error::from)
}

/// Puts the calling thread, and no other, into the network that a file stands for.
pub(crate) fn enter_file(namespace: &Path) -> io::Result<()> {
    let named = |error: io::Error| {
        let shown = namespace.display();
        io::Error::new(error.kind(), format!("enter the network {shown}: {error}"))
    };
    let file = File::open(namespace).map_err(named)?;
    setns(file, CloneFlags::CLONE_NEWNET).map_err(|errno| named(errno.into()))
}
