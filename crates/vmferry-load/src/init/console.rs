//! The serial console, for lines only.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;

/// Opens a console and switches off what belongs to people: echo of input, carriage returns.
pub(crate) fn open(path: &str) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NOCTTY)
        .open(path)?;
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
