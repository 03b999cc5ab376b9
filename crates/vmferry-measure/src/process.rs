//! The guest's process, pinned: a PID that was given to another process is never read.

use std::io;
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;

use crate::MeasureError;

/// A process that stays the same one: a descriptor of it is held, so that after any read
/// [`Process::is_alive`] tells whether the PID meant it all along.
#[derive(Debug)]
pub struct Process {
    pid: u32,
    guest: String,
    descriptor: OwnedFd,
}

impl Process {
    /// Pins the process `pid`, called `guest` in messages.
    ///
    /// # Errors
    /// [`MeasureError::GuestExited`] where there is no such process.
    pub fn open(pid: u32, guest: impl Into<String>) -> Result<Self, MeasureError> {
        let guest = guest.into();
        match pidfd_open(pid) {
            Ok(descriptor) => Ok(Self {
                pid,
                guest,
                descriptor,
            }),
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {
                Err(MeasureError::GuestExited { guest, pid })
            }
            Err(source) => Err(MeasureError::Kernel {
                path: format!("the state of PID {pid}"),
                source,
            }),
        }
    }

    /// Its PID.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// What messages call it.
    #[must_use]
    pub fn guest(&self) -> &str {
        &self.guest
    }

    /// Whether it still runs.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        !self.exits_within(Duration::ZERO)
    }

    /// Waits that long for its exit; false where it still runs then.
    #[must_use]
    pub fn exits_within(&self, limit: Duration) -> bool {
        let mut wait = [PollFd::new(self.descriptor.as_fd(), PollFlags::POLLIN)];
        // A signal cuts the wait short, which callers take as "still running".
        matches!(ppoll(&mut wait, Some(TimeSpec::from(limit)), None), Ok(n) if n > 0)
    }

    pub(crate) fn exited(&self) -> MeasureError {
        MeasureError::GuestExited {
            guest: self.guest.clone(),
            pid: self.pid,
        }
    }
}

#[expect(unsafe_code, reason = "libc has no safe call that opens a pidfd")]
fn pidfd_open(pid: u32) -> io::Result<OwnedFd> {
    // SAFETY: pidfd_open takes two integers and touches no memory of ours.
    let raw = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    if raw < 0 {
        return Err(io::Error::last_os_error());
    }
    let raw = i32::try_from(raw).map_err(io::Error::other)?;
    // SAFETY: the kernel just gave us this descriptor, and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn an_exit_is_noticed() {
        let mut child = Command::new("cat")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let process = Process::open(child.id(), "cat").unwrap();
        assert!(process.is_alive());
        drop(child.stdin.take());
        assert!(process.exits_within(Duration::from_secs(20)));
        child.wait().unwrap();
        assert!(!process.is_alive());
        let error = Process::open(child.id(), "cat").unwrap_err();
        assert!(error.to_string().contains("cat: the guest exited"));
    }
}
