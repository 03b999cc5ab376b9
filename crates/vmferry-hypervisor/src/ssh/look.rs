//! Why a socket of another machine could not be opened. ssh says only "open failed".

use std::time::Duration;

use tokio::time::timeout;
use vmferry_core::guest_uri::SshDestination;

use super::command::SshCommand;
use super::remote::run_remote;

/// Prints one word for the first thing that is wrong with the path.
const LOOK: &str = r#"
if ! test -e "$1"; then echo missing
elif ! test -S "$1"; then echo other
elif ! test -w "$1"; then echo denied
else echo there; fi"#;

/// What a look at a path showed.
pub(crate) struct Seen {
    /// What is wrong and what to do.
    pub(crate) words: &'static str,
    /// Whether nobody can be listening there.
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
        "there" => (
            "the socket is there, so either its QEMU has exited or that host's sshd forbids forwarding; \
             allow it with AllowStreamLocalForwarding in sshd_config",
            true,
        ),
        _ => return None,
    };
    Some(Seen { words, nobody })
}
