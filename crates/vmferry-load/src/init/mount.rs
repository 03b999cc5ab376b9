//! The kernel's file systems, and the disks of programs and services.

use std::ffi::{CStr, CString};
use std::path::Path;
use std::{fs, io};

/// Mounts `/proc`, `/sys` and `/dev`; returns what could not be mounted.
pub(crate) fn mount_all() -> Vec<String> {
    [("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev")]
        .into_iter()
        .filter_map(|(kind, place)| {
            fs::create_dir_all(place)
                .and_then(|()| mount(kind, c"none", Path::new(place), 0, c""))
                .err()
                .map(|error| format!("cannot mount {place}: {error}"))
        })
        .collect()
}

/// Mounts a file system at a directory that exists.
pub(super) fn mount(
    kind: &str,
    source: &CStr,
    place: &Path,
    flags: libc::c_ulong,
    options: &CStr,
) -> io::Result<()> {
    let kind = CString::new(kind)?;
    let place = CString::new(place.as_os_str().as_encoded_bytes())?;
    // SAFETY: all strings end with a zero byte and live until the call returns.
    let result = unsafe {
        libc::mount(
            source.as_ptr(),
            place.as_ptr(),
            kind.as_ptr(),
            flags,
            options.as_ptr().cast(),
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
