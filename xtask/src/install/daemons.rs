//! Packages of which we want the program and not the service.
//!
//! Debian starts and enables a service with its package. A machine that had no ssh server must
//! not be found to listen on port 22, nor to scrape itself, because somebody ran our tests.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::{apt, privileged};
use crate::Outcome;
use crate::command::{run, which};

/// A package with a service.
pub(super) struct Daemon {
    pub(super) package: &'static str,
    /// There once the package is.
    program: &'static str,
    /// Of systemd; the first is what it starts.
    units: &'static [&'static str],
    /// Of System V.
    script: &'static str,
}

pub(super) const SSHD: Daemon = Daemon {
    package: "openssh-server",
    program: "sshd",
    units: &["ssh.service", "ssh.socket"],
    script: "ssh",
};
pub(super) const PROMETHEUS: Daemon = Daemon {
    package: "prometheus",
    program: "prometheus",
    units: &["prometheus.service"],
    script: "prometheus",
};
pub(super) const IPMIEVD: Daemon = Daemon {
    package: "ipmitool",
    program: "ipmitool",
    units: &["ipmievd.service"],
    script: "ipmievd",
};

const ALL: [&Daemon; 3] = [&SSHD, &PROMETHEUS, &IPMIEVD];

/// dpkg's maintainer scripts ask this program before they start a service.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// By this a forgotten one is known.
const HEAD: &str = "\
#!/bin/sh
# Written by `cargo xtask install` of vmferry while it installs packages with services; remove
# it if you find it there later.
";

/// Says no for these services only, so that even a forgotten one does little harm.
fn policy(daemons: &[&Daemon]) -> String {
    let names: Vec<String> = daemons
        .iter()
        .map(|daemon| format!("{0}|{0}.*|{0}@*", daemon.script))
        .collect();
    let names = names.join("|");
    format!("{HEAD}case \"$1\" in\n    {names}) exit 101 ;;\nesac\nexit 0\n")
}

/// Runs the installation of packages; services among them are neither started by it nor
/// enabled after it.
///
/// A policy of the machine's own stays as it is: one exists where services must not be started
/// at all, as in containers.
pub(super) fn without_services(packages: &[&str], install: impl FnOnce() -> Outcome) -> Outcome {
    let daemons: Vec<&Daemon> = ALL
        .into_iter()
        .filter(|daemon| packages.contains(&daemon.package))
        .collect();
    if daemons.is_empty() {
        return install();
    }
    let path = Path::new(POLICY);
    let ours = !path.exists() || is_ours(path);
    if ours {
        apt::write_as_root(path, &policy(&daemons), "0755")?;
    }
    let installed = install();
    if ours {
        run(privileged("rm").args(["-f", POLICY]))?;
    }
    for daemon in daemons {
        // Also where another package failed: the next run would find it there and not ask again.
        if which(daemon.program).is_some() {
            disable(daemon)?;
        }
    }
    installed
}

fn is_ours(policy: &Path) -> bool {
    fs::read_to_string(policy).is_ok_and(|text| text.starts_with(HEAD))
}

/// Takes back what the package enabled, with and without systemd.
fn disable(daemon: &Daemon) -> Outcome {
    for unit in daemon.units {
        if which("systemctl").is_some() {
            run(privileged("systemctl").args(["--quiet", "disable", unit]))?;
        } else if which("deb-systemd-helper").is_some() {
            // It takes orders from maintainer scripts only, whose package this variable names.
            run(privileged("env")
                .arg(format!("DPKG_MAINTSCRIPT_PACKAGE={}", daemon.package))
                .args(["deb-systemd-helper", "disable", unit]))?;
        }
    }
    if which("update-rc.d").is_some() {
        run(privileged("update-rc.d").args([daemon.script, "disable"]))?;
    }
    stop_if_running(daemon.units[0])
}

/// With a policy of the machine's own, the package may have started the service after all.
fn stop_if_running(unit: &str) -> Outcome {
    let booted = Path::new("/run/systemd/system").is_dir();
    if !booted {
        return Ok(());
    }
    let active = Command::new("systemctl")
        .args(["--quiet", "is-active", unit])
        .status()
        .is_ok_and(|status| status.success());
    if active {
        run(privileged("systemctl").args(["--quiet", "stop", unit]))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(daemons: &[&Daemon], service: &str) -> Option<i32> {
        let status = Command::new("sh")
            .args(["-c", &policy(daemons), "policy-rc.d", service, "start"])
            .status();
        status.expect("sh starts").code()
    }

    #[test]
    fn the_policy_refuses_the_services_and_nothing_else() {
        for unit in ["ssh", "ssh.service", "ssh.socket", "ssh@1.service"] {
            assert_eq!(answer(&[&SSHD], unit), Some(101), "{unit}");
        }
        for unit in ["dbus.service", "nginx", "sshfs.mount", "prometheus"] {
            assert_eq!(answer(&[&SSHD], unit), Some(0), "{unit}");
        }
        for daemon in ALL {
            for unit in daemon.units.iter().chain([&daemon.script]) {
                assert_eq!(answer(&ALL, unit), Some(101), "{unit}");
            }
        }
    }
}
