//! What each end says of itself before a move.

use std::fs;

use vmferry_core::{Bytes, Plan};
use vmferry_hypervisor::qmp::Guest;

use crate::error::{End, MigrateError};
use crate::postcopy;
use crate::preflight::{Devices, EndFacts, LocalAddresses, resolve};

/// Asks one end everything that the pre-flight checks need.
pub(crate) async fn gather(guest: &Guest, end: End, plan: &Plan) -> Result<EndFacts, MigrateError> {
    let fail = || MigrateError::at(end);
    let run_state = guest.run_state().await.map_err(fail())?;
    let migration = guest.migration().await.map_err(fail())?;
    let info = guest.info().await.map_err(fail())?;
    let pid = guest.pid();
    let devices = Devices::of(guest).await.map_err(fail())?;
    let via_addresses = match end {
        End::Source => Vec::new(),
        End::Destination => resolve(&plan.via.host, plan.via.port).await,
    };
    let knows_postcopy = if postcopy::allowed(plan) {
        let known = guest.capabilities().await.map_err(fail())?;
        Some(known.contains_key(postcopy::CAPABILITY))
    } else {
        None
    };
    let local_destination = pid.filter(|_| end == End::Destination);
    Ok(EndFacts {
        guest: info,
        host: guest.host_info(),
        run_state: run_state.status.unwrap_or_else(|| "unknown".to_owned()),
        migration,
        pid,
        port_taken: local_destination.and_then(|pid| port_taken(pid, plan.via.port)),
        via_addresses,
        local_addresses: local_destination.and_then(LocalAddresses::of),
        devices,
        available_memory: local_destination.and_then(|_| available_memory()),
        knows_postcopy,
        userfaultfd: local_destination.and_then(userfaultfd),
    })
}

/// Whether anybody listens on a TCP port in the network namespace of a
/// process; `None` where that cannot be read.
fn port_taken(pid: u32, port: u16) -> Option<bool> {
    let v4 = fs::read_to_string(format!("/proc/{pid}/net/tcp")).ok()?;
    let v6 = fs::read_to_string(format!("/proc/{pid}/net/tcp6")).unwrap_or_default();
    Some(
        v4.lines()
            .chain(v6.lines())
            .any(|line| listens_on(line, port)),
    )
}

/// A line of `/proc/net/tcp`: `sl local_address rem_address st ...`, with
/// `ADDRESS:PORT` in hexadecimal and state 0A for a listener.
fn listens_on(line: &str, port: u16) -> bool {
    let mut fields = line.split_whitespace().skip(1);
    let local = fields.next().and_then(|address| address.rsplit(':').next());
    let state = fields.nth(1);
    state == Some("0A") && local.and_then(|p| u16::from_str_radix(p, 16).ok()) == Some(port)
}

/// Whether a process may be told of pages that are missing, as QEMU needs it
/// for post-copy; `None` where that is not certain.
fn userfaultfd(pid: u32) -> Option<bool> {
    const CAP_SYS_PTRACE: u64 = 1 << 19;
    let for_all = match fs::read_to_string("/proc/sys/vm/unprivileged_userfaultfd") {
        Ok(text) => text.trim() == "1",
        // Older kernels than 5.2 have it for everybody, or not at all.
        Err(_) => return None,
    };
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("CapEff:"))?;
    let capabilities = u64::from_str_radix(line.trim(), 16).ok()?;
    let may = for_all || capabilities & CAP_SYS_PTRACE != 0;
    // Whom the device is open to is for its permissions to say.
    (may || !std::path::Path::new("/dev/userfaultfd").exists()).then_some(may)
}

/// `MemAvailable` of this machine.
fn available_memory() -> Option<Bytes> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(Bytes(kib * 1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_listeners_only() {
        let listener =
            "   0: 0100007F:115C 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 1 1";
        let connection =
            "   1: 0100007F:115C 0100007F:0016 01 00000000:00000000 00:00000000 00000000 0 0 1 1";
        assert!(listens_on(listener, 4444));
        assert!(!listens_on(listener, 4445));
        assert!(!listens_on(connection, 4444));
        assert!(!listens_on("  sl  local_address rem_address   st", 4444));
    }

    #[test]
    fn a_process_that_is_gone_tells_nothing_of_userfaultfd() {
        assert_eq!(userfaultfd(u32::MAX), None);
    }

    #[test]
    fn this_machine_has_memory() {
        assert!(available_memory().is_some_and(|m| m > Bytes::from_mib(1)));
    }

    #[test]
    fn a_listener_of_our_own_is_seen() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(port_taken(std::process::id(), port), Some(true));
        drop(listener);
        assert_eq!(port_taken(std::process::id(), port), Some(false));
    }
}
