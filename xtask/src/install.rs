//! `cargo xtask install`: the Debian packages that the demo and the tests need.
//!
//! Looks first and installs only what is missing. Where all is there, it is done in a moment,
//! on any distribution; only where something is missing must it be Debian 12.

use std::fs;
use std::process::Command;

use crate::command::{is_root, output, which};
use crate::{Outcome, fail};

mod apt;
mod daemons;

/// The oldest QEMU whose migration rules the forecasts replay.
const OLDEST_QEMU: u32 = 10;

/// A package, why we need it, and how to see that it is there.
struct Need {
    package: &'static str,
    why: &'static str,
    present: fn() -> bool,
    suite: Suite,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Suite {
    Main,
    Backports,
}

const NEEDS: &[Need] = &[
    Need {
        package: "qemu-system-x86",
        why: "QEMU 10 or newer; Debian 12 itself has 7.2",
        present: qemu_is_new_enough,
        suite: Suite::Backports,
    },
    Need {
        package: "qemu-utils",
        why: "qemu-img makes the overlays that guests with services write to",
        present: || all_there(&["qemu-img"]),
        suite: Suite::Backports,
    },
    Need {
        package: "iproute2",
        why: "ip and tc make the network of the testbed",
        present: || all_there(&["ip", "tc", "ss"]),
        suite: Suite::Main,
    },
    Need {
        package: "iputils-ping",
        why: "tests reach the guests with it",
        present: || all_there(&["ping"]),
        suite: Suite::Main,
    },
    Need {
        package: "e2fsprogs",
        why: "mke2fs and debugfs make the disks with real programs and services",
        present: || all_there(&["mke2fs", "debugfs"]),
        suite: Suite::Main,
    },
    Need {
        package: "ethtool",
        why: "turns segmentation offload off, so that the shaped link counts real packets",
        present: || all_there(&["ethtool"]),
        suite: Suite::Main,
    },
    Need {
        package: "openssh-client",
        why: "reaches guests on other machines, qmp+ssh://",
        present: || all_there(&["ssh", "ssh-keygen"]),
        suite: Suite::Main,
    },
    Need {
        package: daemons::SSHD.package,
        why: "sshd of the testbed's own, inside its namespaces; no system service is left on",
        present: || all_there(&["sshd"]),
        suite: Suite::Main,
    },
    Need {
        package: "gnutls-bin",
        why: "certtool makes the certificates of moves over TLS",
        present: || all_there(&["certtool"]),
        suite: Suite::Main,
    },
    Need {
        package: "gcc",
        why: "compiles SQLite and links",
        present: || all_there(&["gcc"]),
        suite: Suite::Main,
    },
    Need {
        package: "libc6-dev",
        why: "headers for SQLite, libc.a for the static guest program",
        present: has_static_libc,
        suite: Suite::Main,
    },
];

/// What the tests of power meters talk to.
const METERS: &[Need] = &[
    Need {
        package: daemons::IPMIEVD.package,
        why: "its real answers, from a controller of the tests; no system service is left on",
        present: || all_there(&["ipmitool"]),
        suite: Suite::Main,
    },
    Need {
        package: daemons::PROMETHEUS.package,
        why: "a real one, started by the tests; no system service is left on",
        present: || all_there(&["prometheus"]),
        suite: Suite::Main,
    },
];

/// Installs what is missing for all there is, and says what and why.
pub(crate) fn run() -> Outcome<String> {
    provide(NEEDS.iter().chain(METERS).collect())
}

/// The same of what the demo needs.
pub(crate) fn for_demo() -> Outcome<String> {
    provide(NEEDS.iter().collect())
}

fn provide(needs: Vec<&Need>) -> Outcome<String> {
    if std::env::consts::ARCH != "x86_64" {
        return fail(format!(
            "the testbed boots x86-64 guests and needs an x86-64 machine, this one is {}",
            std::env::consts::ARCH
        ));
    }
    let count = needs.len();
    let missing: Vec<&Need> = needs.into_iter().filter(|need| !(need.present)()).collect();
    if missing.is_empty() {
        return Ok(format!(
            "install: nothing to do, all {count} packages are there"
        ));
    }
    let names = missing
        .iter()
        .map(|need| need.package)
        .collect::<Vec<_>>()
        .join(", ");
    must_be_bookworm(&names)?;
    must_have_root(&names)?;
    for need in &missing {
        println!("installing {}: {}", need.package, need.why);
    }
    install(&missing)?;

    let still: Vec<&str> = missing
        .iter()
        .filter(|need| !(need.present)())
        .map(|need| need.package)
        .collect();
    if still.is_empty() {
        Ok(format!("install: installed {names}"))
    } else {
        fail(format!(
            "apt-get reported success, but these still cannot be used: {}",
            still.join(", ")
        ))
    }
}

fn install(missing: &[&Need]) -> Outcome {
    let of = |suite| -> Vec<&str> {
        missing
            .iter()
            .filter(|need| need.suite == suite)
            .map(|need| need.package)
            .collect()
    };
    let (main, backports) = (of(Suite::Main), of(Suite::Backports));
    if !backports.is_empty() && !apt::has_backports() {
        println!(
            "adding {}: the source of bookworm-backports",
            apt::BACKPORTS_FILE
        );
        apt::add_backports()?;
    }
    apt::update()?;
    if !main.is_empty() {
        daemons::without_services(&main, || apt::install(&main, &[]))?;
    }
    if !backports.is_empty() {
        apt::install(&backports, &["-t", "bookworm-backports"])?;
    }
    Ok(())
}

/// A command that runs as root.
fn privileged(program: &str) -> Command {
    if is_root() {
        Command::new(program)
    } else {
        let mut command = Command::new("sudo");
        command.arg(program);
        command
    }
}

fn all_there(programs: &[&str]) -> bool {
    programs.iter().all(|program| which(program).is_some())
}

fn qemu_is_new_enough() -> bool {
    let Some(program) = which("qemu-system-x86_64") else {
        return false;
    };
    output(Command::new(program).arg("--version"))
        .is_ok_and(|text| qemu_major(&text) >= Some(OLDEST_QEMU))
}

/// The major version in `QEMU emulator version 10.0.2 (Debian …)`.
fn qemu_major(text: &str) -> Option<u32> {
    let version = text
        .split_whitespace()
        .skip_while(|word| *word != "version")
        .nth(1)?;
    version.split('.').next()?.parse().ok()
}

/// gcc answers with a full path where it has the library, else with the bare name.
fn has_static_libc() -> bool {
    which("gcc").is_some_and(|gcc| {
        output(Command::new(gcc).arg("-print-file-name=libc.a"))
            .is_ok_and(|path| path.starts_with('/'))
    })
}

fn must_be_bookworm(names: &str) -> Outcome {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    if is_bookworm(&release) {
        return Ok(());
    }
    fail(format!(
        "missing: {names}. Only on Debian 12 can they be installed for you, this is {}: \
         install them by hand (QEMU {OLDEST_QEMU} or newer), then try again",
        os_field(&release, "PRETTY_NAME").unwrap_or("another system")
    ))
}

fn must_have_root(names: &str) -> Outcome {
    if is_root() || which("sudo").is_some() {
        return Ok(());
    }
    fail(format!(
        "missing: {names}. Installing them takes root, and there is no sudo: \
         run `cargo xtask install` as root once"
    ))
}

fn is_bookworm(release: &str) -> bool {
    os_field(release, "ID") == Some("debian") && os_field(release, "VERSION_ID") == Some("12")
}

fn os_field<'a>(release: &'a str, field: &str) -> Option<&'a str> {
    release
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix('='))
        .map(|value| value.trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_of_qemu_is_read() {
        let text =
            "QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2+deb13u1~bpo12+1)\nCopyright (c)";
        assert_eq!(qemu_major(text), Some(10));
        assert_eq!(qemu_major("QEMU emulator version 7.2.17"), Some(7));
        assert_eq!(qemu_major("something else"), None);
    }

    #[test]
    fn an_unreadable_version_is_not_new_enough() {
        assert!(qemu_major("?") < Some(OLDEST_QEMU));
    }

    #[test]
    fn only_debian_12_is_bookworm() {
        let bookworm =
            "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nVERSION_ID=\"12\"\nID=debian\n";
        assert!(is_bookworm(bookworm));
        assert!(!is_bookworm(&bookworm.replace("\"12\"", "\"13\"")));
        assert!(!is_bookworm(
            "ID=ubuntu\nVERSION_ID=\"12\"\nID_LIKE=debian\n"
        ));
        assert!(!is_bookworm(""));
    }
}
