//! The serial console, for lines only.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;

use crate::clock::{self, MILLISECOND, Nanos, SECOND};

/// A virtio console appears some time after its driver is loaded.
const PATIENCE: Nanos = 2 * SECOND;

/// Opens a console, waiting until it appears, and switches off what belongs to people: echo of
/// input, carriage returns.
pub(crate) fn open(path: &str) -> io::Result<File> {
    let end = clock::now() + PATIENCE;
    let file = loop {
        let opened = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NOCTTY)
            .open(path);
        let now = clock::now();
        match opened {
            Err(error) if missing(&error) && now < end => {
                clock::sleep_until(now + 10 * MILLISECOND);
            }
            opened => break opened?,
        }
    };
    // SAFETY: all zero is a valid `termios`, and the call fills it.
    let mut settings: libc::termios = unsafe { std::mem::zeroed() };
    // SAFETY: the descriptor is open and `settings` is a valid place; not a terminal is an error we pass over.
    unsafe {
        if libc::tcgetattr(file.as_raw_fd(), &raw mut settings) == 0 {
            libc::cfmakeraw(&raw mut settings);
            libc::tcsetattr(file.as_raw_fd(), libc::TCSANOW, &raw const settings);
        }
    }
    Ok(file)
}

fn missing(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::ENOENT | libc::ENODEV | libc::ENXIO)
    )
}
