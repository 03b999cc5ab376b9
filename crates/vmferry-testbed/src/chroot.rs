//! Runs a program of an unpacked disk with that disk as its root, apart from this machine: its own
//! processes, network and mounts, all of which end with it.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::command::run;
use crate::error::TestbedError;

/// Devices, memory and processes as programs expect them. All is mounted in a namespace that only
/// the script is in, so nothing of it is left in the disk.
const ENTER: &str = "
set -e
cd \"$1\"
mount -t tmpfs -o mode=755 none dev
for device in null:3 zero:5 full:7 random:8 urandom:9; do
    mknod -m 666 dev/${device%:*} c 1 ${device#*:}
done
mkdir -m 1777 dev/shm
mount -t tmpfs -o mode=1777 none tmp
mount -t tmpfs -o mode=755 none run
mount -t proc none proc
ip link set lo up
exec chroot . /bin/sh \"$2\" >&2
";

/// How many last lines of a script's words are told.
const LAST_LINES: usize = 5;

/// Scripts take a minute on a slow machine. One that waits for a server that hangs never ends.
const LIMIT: Duration = Duration::from_secs(900);

/// How `timeout` ends where the limit was reached.
const REACHED: &str = "exit status: 124";

/// Runs a script of the disk. `set` is the size of the data it makes, as in a guest.
pub(crate) fn run_script(root: &Path, script: &str, set: Option<u64>) -> Result<(), TestbedError> {
    run_within(LIMIT, root, script, set)
}

fn run_within(
    limit: Duration,
    root: &Path,
    script: &str,
    set: Option<u64>,
) -> Result<(), TestbedError> {
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--pid", "--fork", "--kill-child"])
        .args(["--net", "--ipc", "--uts"])
        // The first process of the namespace, with which all others end. It is in there and not
        // around: `unshare` itself has to be our child, and die with us.
        .args(["timeout", "--kill-after=5", &limit.as_secs().to_string()])
        .args(["sh", "-c", ENTER, "sh"])
        .arg(root)
        .arg(script)
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
        .env("HOME", "/tmp")
        .env("LC_ALL", "C")
        .env("TZ", "UTC")
        .envs(set.map(|set| ("VMFERRY_SET", set.to_string())));
    run(&mut command).map(drop).map_err(|error| match error {
        TestbedError::Command { status, stderr, .. } => {
            let lines: Vec<&str> = stderr.lines().collect();
            let last = &lines[lines.len().saturating_sub(LAST_LINES)..];
            TestbedError::Command {
                command: script.to_owned(),
                status: if status == REACHED {
                    format!("not done within {} s", limit.as_secs())
                } else {
                    status
                },
                stderr: last.join("; "),
            }
        }
        other => other,
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::package_disk::MOUNT_POINTS;

    /// A disk with this machine's shell in it.
    fn disk(script: &str) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("scratch");
        for directory in MOUNT_POINTS.into_iter().chain(["bin"]) {
            fs::create_dir(root.path().join(directory)).expect("a directory");
        }
        fs::copy("/bin/sh", root.path().join("bin/sh")).expect("a shell");
        let libraries = run(Command::new("ldd").arg("/bin/sh")).expect("ldd");
        for library in libraries
            .split_whitespace()
            .filter(|word| word.starts_with('/'))
        {
            let place = root.path().join(&library[1..]);
            fs::create_dir_all(place.parent().expect("a directory")).expect("made");
            fs::copy(library, place).expect("a library");
        }
        fs::write(root.path().join("script"), script).expect("a script");
        root
    }

    #[test]
    #[expect(clippy::print_stderr, reason = "a test says that it skips")]
    fn scripts_say_why_they_fail_and_do_not_run_for_ever() {
        if !nix::unistd::geteuid().is_root() {
            eprintln!("skipped: namespaces need root");
            return;
        }
        let root = disk("[ \"$VMFERRY_SET\" = 7 ] || { echo \"the disk is full\"; exit 3; }");
        run_script(root.path(), "/script", Some(7)).expect("it runs");
        let error = run_script(root.path(), "/script", Some(8)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`/script` failed (exit status: 3): the disk is full"
        );
        // A server, and who waits for it.
        let root = disk("echo waiting; (while :; do :; done) & wait");
        let limit = Duration::from_secs(1);
        let error = run_within(limit, root.path(), "/script", None).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`/script` failed (not done within 1 s): waiting"
        );
    }
}
