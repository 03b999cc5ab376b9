//! openssh-server, of which we want the program and not the service.
//!
//! Debian starts and enables a service with its package. A machine that had no ssh server must
//! not be found to listen on port 22 because somebody ran our tests.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::{apt, privileged};
use crate::Outcome;
use crate::command::{run, which};

/// The package.
pub(super) const PACKAGE: &str = "openssh-server";

/// dpkg's maintainer scripts ask this program before they start a service.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Says no for ssh only, so that even a forgotten one does little harm.
const NO_SSH: &str = "\
#!/bin/sh
# Written by `cargo xtask install` of vmferry while it installs openssh-server; remove it if
# you find it there later.
case \"$1\" in
    ssh|ssh.*|ssh@*|sshd|sshd.*) exit 101 ;;
esac
exit 0
";

/// Runs the installation; the service is neither started by it nor enabled after it.
///
/// A policy of the machine's own stays as it is: one exists where services must not be started
/// at all, as in containers.
pub(super) fn without_service(install: impl FnOnce() -> Outcome) -> Outcome {
    let policy = Path::new(POLICY);
    let ours = !policy.exists() || is_ours(policy);
    if ours {
        apt::write_as_root(policy, NO_SSH, "0755")?;
    }
    let installed = install();
    if ours {
        run(privileged("rm").args(["-f", POLICY]))?;
    }
    // Also where another package failed: the next run would find sshd there and not ask again.
    if which("sshd").is_some() {
        disable()?;
    }
    installed
}

fn is_ours(policy: &Path) -> bool {
    fs::read_to_string(policy).is_ok_and(|text| text == NO_SSH)
}

/// Takes back what the package enabled, with and without systemd.
fn disable() -> Outcome {
    for unit in ["ssh.service", "ssh.socket"] {
        if which("systemctl").is_some() {
            run(privileged("systemctl").args(["--quiet", "disable", unit]))?;
        } else if which("deb-systemd-helper").is_some() {
            // It takes orders from maintainer scripts only, whose package this variable names.
            run(privileged("env")
                .arg(format!("DPKG_MAINTSCRIPT_PACKAGE={PACKAGE}"))
                .args(["deb-systemd-helper", "disable", unit]))?;
        }
    }
    if which("update-rc.d").is_some() {
        run(privileged("update-rc.d").args(["ssh", "disable"]))?;
    }
    stop_if_running()
}

/// With a policy of the machine's own, the package may have started the service after all.
fn stop_if_running() -> Outcome {
    let booted = Path::new("/run/systemd/system").is_dir();
    if !booted {
        return Ok(());
    }
    let active = Command::new("systemctl")
        .args(["--quiet", "is-active", "ssh.service"])
        .status()
        .is_ok_and(|status| status.success());
    if active {
        run(privileged("systemctl").args(["--quiet", "stop", "ssh.service"]))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(service: &str) -> Option<i32> {
        let status = Command::new("sh")
            .args(["-c", NO_SSH, "policy-rc.d", service, "start"])
            .status();
        status.expect("sh starts").code()
    }

    #[test]
    fn the_policy_refuses_ssh_and_nothing_else() {
        for unit in ["ssh", "ssh.service", "ssh.socket", "sshd.service"] {
            assert_eq!(answer(unit), Some(101), "{unit}");
        }
        for unit in ["dbus.service", "nginx", "sshfs.mount"] {
            assert_eq!(answer(unit), Some(0), "{unit}");
        }
    }
}
