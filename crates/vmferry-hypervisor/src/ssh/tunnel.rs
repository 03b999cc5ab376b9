//! A unix socket of another machine, forwarded to a private one here.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::time::{sleep, timeout};
use vmferry_core::guest_uri::SshDestination;

use super::command::SshCommand;
use super::process::SshProcess;
use crate::HypervisorError;

/// How often ssh's socket is looked for; logging in takes 100 ms at least.
const POLL: Duration = Duration::from_millis(10);

/// How long ssh may take to say why it could not open the socket at the other end.
const COMPLAINT: Duration = Duration::from_secs(1);

/// The ssh behind a forwarded socket. Dropping it ends ssh, and so does the end of this process,
/// however it comes.
#[derive(Debug)]
pub(crate) struct Tunnel {
    process: SshProcess,
}

impl Tunnel {
    /// Logs in at `destination` and connects to its socket `path`. Whether anybody is there shows
    /// only in what the connection gives.
    ///
    /// The forwarded socket lies in a directory of this user alone, since whoever opens it owns the
    /// guest, and is gone before this returns: nobody else can use the tunnel, and nothing is left
    /// in the file system should we be killed.
    ///
    /// # Errors
    /// Where ssh is missing, fails (with its last line), or takes longer than `limit`.
    pub(crate) async fn connect(
        ssh: &SshCommand,
        destination: &SshDestination,
        path: &Path,
        limit: Duration,
    ) -> Result<(Self, UnixStream), HypervisorError> {
        let setup = |source| HypervisorError::SshSetup {
            destination: destination.clone(),
            source,
        };
        let directory = tempfile::Builder::new()
            .prefix("vmferry-")
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir()
            .map_err(setup)?;
        // A name that no monitor has: `look.sh` tells listeners that it cannot see by their names.
        let socket = directory.path().join("vmferry-tunnel");
        let near = forward_path(&socket).map_err(setup)?;
        let far = forward_path(path).map_err(setup)?;

        let mut command = ssh.build(destination);
        command.args(["-N", "-o", "ExitOnForwardFailure=yes"]);
        command.args(["-o", "StreamLocalBindMask=0177"]);
        command.args(["-L", &format!("{near}:{far}")]);
        command.args(["--", &destination.host]);
        let process = SshProcess::start(command).map_err(|source| HypervisorError::SshMissing {
            destination: destination.clone(),
            program: ssh.program(),
            source,
        })?;

        tokio::select! {
            connected = timeout(limit, connect_when_ready(&socket)) => match connected {
                Ok(Ok(stream)) => Ok((Self { process }, stream)),
                Ok(Err(source)) => Err(setup(source)),
                Err(_) => Err(HypervisorError::SshTimeout {
                    destination: destination.clone(),
                    after: limit,
                }),
            },
            status = process.exited() => {
                let last_line = process.stderr_lines(COMPLAINT, |_| false).await.pop();
                let reason = match (last_line, status) {
                    (Some(line), _) => line,
                    (None, Some(status)) => status.to_string(),
                    (None, None) => "it gave no reason".to_owned(),
                };
                Err(HypervisorError::SshFailed { destination: destination.clone(), reason })
            }
        }
    }

    /// What ssh said about a connection that it closed at once.
    pub(crate) async fn complaint(&self) -> String {
        let is_complaint = |line: &str| line.contains("open failed");
        let lines = self.process.stderr_lines(COMPLAINT, is_complaint).await;
        lines
            .into_iter()
            .rev()
            .find(|line| is_complaint(line))
            .unwrap_or_else(|| "ssh closed the connection at once".to_owned())
    }
}

/// Connects to ssh's socket once ssh listens on it, which is a moment after it is there.
async fn connect_when_ready(socket: &Path) -> io::Result<UnixStream> {
    loop {
        match UnixStream::connect(socket).await {
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
                ) =>
            {
                sleep(POLL).await;
            }
            done => return done,
        }
    }
}

/// A path as ssh's `-L` reads it: colons separate, backslashes quote, `%` and `${` expand.
fn forward_path(path: &Path) -> io::Result<String> {
    let Some(text) = path.to_str() else {
        return Err(io::Error::other(format!("{} is not UTF-8", path.display())));
    };
    if text.contains("${") {
        let problem = format!("ssh cannot forward {text}: it expands ${{...}}");
        return Err(io::Error::other(problem));
    }
    Ok(text
        .replace('\\', r"\\")
        .replace(':', r"\:")
        .replace('%', "%%"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_survive_sshs_own_syntax() {
        let quoted = forward_path(Path::new(r"/run/vm:1\100%")).unwrap();
        assert_eq!(quoted, r"/run/vm\:1\\100%%");
        assert!(forward_path(Path::new("/run/${HOME}")).is_err());
    }
}
