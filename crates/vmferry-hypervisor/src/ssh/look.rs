//! Why a socket of another machine could not be opened. ssh says only "open failed".

use std::time::Duration;

use tokio::time::timeout;
use vmferry_core::guest_uri::SshDestination;

use super::command::SshCommand;
use super::remote::run_remote;

/// Prints one word on a path.
const LOOK: &str = include_str!("look.sh");

/// What a look at a path showed.
pub(crate) struct Seen {
    /// What is wrong and what to do.
    pub(crate) words: &'static str,
    /// Whether it is certain that nobody listens there.
    pub(crate) nobody: bool,
}

/// Looks at `path` over there; `None` where that cannot be found out. Asks no password again: this
/// is a favour, not a need.
pub(crate) async fn look_at(
    ssh: &SshCommand,
    destination: &SshDestination,
    path: &str,
    limit: Duration,
) -> Option<Seen> {
    // The kernel's list has one socket a line.
    if path.contains('\n') {
        return None;
    }
    let ssh = ssh.clone().without_questions();
    let look = ["sh", "-c", LOOK, "sh", path];
    let output = timeout(limit, run_remote(&ssh, destination, &look))
        .await
        .ok()?
        .ok()?;
    // A login shell's own greeting may come first.
    let text = String::from_utf8_lossy(&output.stdout);
    let (words, nobody) = match text.lines().next_back()?.trim() {
        "missing" => (
            "there is no such socket; is the guest running there, and is this the path of its -qmp option?",
            true,
        ),
        "other" => (
            "it is no socket; give the path of the socket in the guest's -qmp option",
            false,
        ),
        "denied" => (
            "permission denied; log in as the user who owns the socket, or as root",
            false,
        ),
        "dangling" => (
            "it is a symbolic link that leads nowhere; give the path of the socket in the guest's -qmp option",
            false,
        ),
        "nobody" => (
            "the socket is there but nobody listens: its QEMU has exited, so start the guest again",
            true,
        ),
        // QEMU queues two connections, and sshd tells a full queue as any other failure.
        "listening" => (
            "its QEMU listens, so either too many other clients wait for this monitor: close them; or that \
             host's sshd forbids forwarding: allow it with AllowStreamLocalForwarding in sshd_config",
            false,
        ),
        "unsure" => (
            "the socket is there, so either its QEMU has exited, or too many other clients wait for this \
             monitor, or that host's sshd forbids forwarding (AllowStreamLocalForwarding in sshd_config)",
            false,
        ),
        _ => return None,
    };
    Some(Seen { words, nobody })
}
