//! apt: the source of backports, and installing.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::privileged;
use crate::command::{Stream, listen, run};
use crate::{Outcome, fail};

/// The file that adds bookworm-backports where no source has it.
pub(super) const BACKPORTS_FILE: &str = "/etc/apt/sources.list.d/vmferry-backports.sources";

const BACKPORTS: &str = "\
# Added by `cargo xtask install` of vmferry for QEMU 10.
Types: deb
URIs: http://deb.debian.org/debian
Suites: bookworm-backports
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
";

/// How long another apt or dpkg may hold its lock; unattended upgrades take a minute.
const LOCK_PATIENCE: Duration = Duration::from_secs(120);

/// Whether a source of apt already has bookworm-backports.
pub(super) fn has_backports() -> bool {
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    if let Ok(entries) = fs::read_dir("/etc/apt/sources.list.d") {
        files.extend(entries.flatten().map(|entry| entry.path()));
    }
    files.iter().any(|file| {
        let text = fs::read_to_string(file).unwrap_or_default();
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("list") => list_has_backports(&text),
            Some("sources") => deb822_has_backports(&text),
            _ => false,
        }
    })
}

/// `deb [options] URI SUITE COMPONENTS…`, one a line.
fn list_has_backports(text: &str) -> bool {
    text.lines().any(|line| {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_whitespace();
        words.next() == Some("deb") && {
            let rest: Vec<&str> = words.collect();
            rest.contains(&"bookworm-backports") && rest.contains(&"main")
        }
    })
}

/// Paragraphs of `Field: value`, parted by empty lines; a value goes on in lines that start
/// with a blank.
fn deb822_has_backports(text: &str) -> bool {
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    lines.split(|line| line.trim().is_empty()).any(|paragraph| {
        let has = |field: &str, word: &str| {
            values(paragraph, field).any(|value| value.eq_ignore_ascii_case(word))
        };
        has("Types", "deb")
            && has("Suites", "bookworm-backports")
            && has("Components", "main")
            && !has("Enabled", "no")
            && !has("Enabled", "false")
    })
}

fn values<'a>(paragraph: &[&'a str], field: &str) -> impl Iterator<Item = &'a str> {
    let mut inside = false;
    let mut values = Vec::new();
    for line in paragraph {
        let value = if line.starts_with([' ', '\t']) {
            line
        } else {
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            inside = name.eq_ignore_ascii_case(field);
            value
        };
        if inside {
            values.extend(value.split_whitespace());
        }
    }
    values.into_iter()
}

pub(super) fn add_backports() -> Outcome {
    write_as_root(Path::new(BACKPORTS_FILE), BACKPORTS, "0644")
}

/// Writes a file that belongs to root, through sudo where we are not root.
pub(super) fn write_as_root(to: &Path, text: &str, mode: &str) -> Outcome {
    let draft = std::env::temp_dir().join(format!("xtask-install-{}", std::process::id()));
    fs::write(&draft, text)
        .or_else(|error| fail(format!("cannot write {}: {error}", draft.display())))?;
    let written = run(privileged("install").args(["-m", mode]).arg(&draft).arg(to));
    let removed = fs::remove_file(&draft);
    written?;
    removed.or_else(|error| fail(format!("cannot remove {}: {error}", draft.display())))
}

/// Fetches the lists of packages. `apt-get update` knows no patience with its lock, so we have it.
pub(super) fn update() -> Outcome {
    let deadline = Instant::now() + LOCK_PATIENCE;
    loop {
        let mut command = privileged("apt-get");
        command.args(["-q", "-o", "Acquire::Retries=3", "update"]);
        let heard = listen(&mut command, Stream::Stderr)?;
        if heard.succeeded {
            return Ok(());
        }
        let locked = heard
            .lines
            .iter()
            .any(|line| line.contains("Could not get lock"));
        if !locked {
            // A foreign source that is down stands in nobody's way: if a list that we need is
            // missing, the installation says so.
            println!("apt-get update failed; trying with the lists it has");
            return Ok(());
        }
        if Instant::now() >= deadline {
            return fail(format!(
                "another apt has held its lock for {} s; try again when it is done",
                LOCK_PATIENCE.as_secs()
            ));
        }
        sleep(Duration::from_secs(2));
    }
}

/// Installs packages without what they merely recommend.
pub(super) fn install(packages: &[&str], options: &[&str]) -> Outcome {
    let mut command = privileged("env");
    command
        .args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-y"])
        .args(["-o", "Acquire::Retries=3", "-o", "Dpkg::Use-Pty=0", "-o"])
        .arg(format!("DPkg::Lock::Timeout={}", LOCK_PATIENCE.as_secs()))
        .args(["install", "--no-install-recommends"])
        .args(options)
        .args(packages);
    run(&mut command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_we_add_is_one_we_recognise() {
        assert!(deb822_has_backports(BACKPORTS));
    }

    #[test]
    fn one_line_sources_are_read() {
        assert!(list_has_backports(
            "deb [arch=amd64] http://m/debian bookworm-backports main contrib\n"
        ));
        for other in [
            "# deb http://m/debian bookworm-backports main",
            "deb-src http://m/debian bookworm-backports main",
            "deb http://m/debian bookworm main # bookworm-backports main",
            "deb http://m/debian bookworm-backports contrib",
        ] {
            assert!(!list_has_backports(other), "{other}");
        }
    }

    #[test]
    fn deb822_sources_are_read() {
        let one = "Types: deb deb-src\nURIs: http://m/debian\nSuites: bookworm\n bookworm-backports\nComponents: main\n";
        assert!(deb822_has_backports(one));
        assert!(deb822_has_backports(&format!(
            "Types: deb\nSuites: x\n\n{one}"
        )));
        assert!(!deb822_has_backports(&format!("{one}Enabled: no\n")));
        assert!(!deb822_has_backports(
            &one.replace("Types: deb ", "Types: ")
        ));
        // Fields of two paragraphs make no source.
        assert!(!deb822_has_backports(
            &one.replace("Components", "\nComponents")
        ));
        assert!(!deb822_has_backports(
            &one.replace(" bookworm-backports", "# bookworm-backports")
        ));
    }
}
