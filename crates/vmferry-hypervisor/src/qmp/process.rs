//! The QEMU process behind a monitor of this machine.

use std::fs;

use tokio::net::UnixStream;

/// The process that listens at the other end: the kernel remembers who called `listen`.
pub(crate) fn listener(stream: &UnixStream) -> Option<u32> {
    // PID 0 stands for a process outside of our PID namespace.
    u32::try_from(stream.peer_cred().ok()?.pid()?)
        .ok()
        .filter(|pid| *pid > 0)
}

/// `pid` where it is a live QEMU; a manager such as libvirt may listen in QEMU's stead.
pub(crate) fn qemu(pid: u32) -> Option<u32> {
    let command = program(pid)?;
    let is_qemu = command.contains("qemu") || command == "kvm";
    is_qemu.then_some(pid)
}

/// ` from PROCESS (PID n)` for messages, or nothing.
pub(crate) fn describe(pid: Option<u32>) -> String {
    match pid.and_then(|pid| Some((pid, program(pid)?))) {
        Some((pid, program)) => format!(" from {program} (PID {pid})"),
        None => String::new(),
    }
}

/// The file name of the program that `pid` runs.
fn program(pid: u32) -> Option<String> {
    let command_line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let first = command_line.split(|b| *b == 0).next()?;
    let name = first.rsplit(|b| *b == b'/').next()?;
    (!name.is_empty()).then(|| String::from_utf8_lossy(name).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_test_is_not_a_qemu() {
        let own = std::process::id();
        assert_eq!(qemu(own), None);
        assert!(describe(Some(own)).ends_with(&format!("(PID {own})")));
        assert_eq!(describe(None), "");
    }
}
