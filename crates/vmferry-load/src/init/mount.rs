//! The kernel's file systems.

use std::ffi::CStr;
use std::{fs, io};

/// Mounts `/proc`, `/sys` and `/dev`; returns what could not be mounted.
pub(crate) fn mount_all() -> Vec<String> {
    [
        (c"proc", c"/proc"),
        (c"sysfs", c"/sys"),
        (c"devtmpfs", c"/dev"),
    ]
    .into_iter()
    .filter_map(|(kind, place)| {
        let error = mount(kind, place).err()?;
        Some(format!("cannot mount {}: {error}", place.to_string_lossy()))
    })
    .collect()
}

fn mount(kind: &CStr, place: &CStr) -> io::Result<()> {
    fs::create_dir_all(place.to_string_lossy().as_ref())?;
    // SAFETY: all strings end with a zero byte, and no data is passed.
    let result = unsafe {
        libc::mount(
            kind.as_ptr(),
            place.as_ptr(),
            kind.as_ptr(),
            0,
            std::ptr::null(),
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
