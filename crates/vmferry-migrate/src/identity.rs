//! Which QEMU it was that a move changed: after a reboot another one may
//! listen at the same path, and must be left alone.

use std::fs;

use serde::{Deserialize, Serialize};
use vmferry_hypervisor::HypervisorError;
use vmferry_hypervisor::qmp::Guest;

/// What tells one QEMU from another one at the same path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The guest's UUID, where it has one.
    pub uuid: Option<String>,
    /// The process, for a QEMU of this machine.
    pub process: Option<ProcessMark>,
}

/// A process that no other one is taken for, not even after a reboot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessMark {
    /// Its number.
    pub pid: u32,
    /// When it started: clock ticks since boot.
    pub start_time: u64,
    /// The kernel's identifier of that boot; empty where it cannot be read.
    pub boot: String,
}

impl ProcessMark {
    /// The living process of that number.
    pub fn of(pid: u32) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name, in parentheses, may hold blanks and parentheses.
        let (_, rest) = text.rsplit_once(") ")?;
        let mut fields = rest.split(' ');
        // Its first thread may be gone while others still hold its sockets.
        let state = fields.next()?;
        let start_time = fields.nth(18)?.parse().ok()?;
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        (state != "Z" && state != "X").then(|| Self {
            pid,
            start_time,
            boot: boot.trim().to_owned(),
        })
    }
}

impl Identity {
    /// What the QEMU at the other end of a connection tells of itself.
    pub async fn of(guest: &Guest) -> Self {
        Self {
            uuid: guest.uuid().await.ok().flatten(),
            process: guest.pid().and_then(ProcessMark::of),
        }
    }

    /// Whether the process is known to be gone; false where that cannot be told.
    pub fn has_exited(&self) -> bool {
        let mark = self.process.as_ref();
        mark.is_some_and(|mark| ProcessMark::of(mark.pid).as_ref() != Some(mark))
    }

    /// Whether that is the QEMU at the other end of a connection, as far as
    /// can be told.
    ///
    /// # Errors
    /// When it must be asked and does not answer.
    pub async fn is(&self, guest: &Guest) -> Result<bool, HypervisorError> {
        if let (Some(mark), Some(pid)) = (&self.process, guest.pid()) {
            return Ok(ProcessMark::of(pid).as_ref() == Some(mark));
        }
        match &self.uuid {
            Some(uuid) => Ok(guest.uuid().await?.as_ref() == Some(uuid)),
            None => Ok(true),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_process_of_the_same_number_is_another() {
        let own = ProcessMark::of(std::process::id()).unwrap();
        let process = |process| Identity {
            uuid: None,
            process,
        };
        assert!(!process(Some(own.clone())).has_exited());
        assert!(!process(None).has_exited());
        let earlier = ProcessMark {
            start_time: own.start_time - 1,
            ..own.clone()
        };
        assert!(process(Some(earlier)).has_exited());
        let rebooted = ProcessMark {
            boot: "another".into(),
            ..own
        };
        assert!(process(Some(rebooted)).has_exited());
    }
}
