//! Runs a program of an unpacked disk with that disk as its root, apart from this machine: its own
//! processes, network and mounts, all of which end with it.

use std::path::Path;
use std::process::Command;

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
exec chroot . /bin/sh \"$2\"
";

/// How many last lines of a script's words are told.
const LAST_LINES: usize = 5;

/// Runs a script of the disk. `set` is the size of the data it makes, as in a guest.
pub(crate) fn run_script(root: &Path, script: &str, set: Option<u64>) -> Result<(), TestbedError> {
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--pid", "--fork", "--kill-child"])
        .args(["--net", "--ipc", "--uts"])
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
                status,
                stderr: last.join("; "),
            }
        }
        other => other,
    })
}
