//! A host, as the guests that can be found on it.

use std::fs;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use vmferry_core::GuestUri;
use vmferry_core::guest_uri::SshDestination;
use vmferry_hypervisor::ssh::{SshCommand, run_remote};

use super::host_uri::HostUri;
use crate::Error;

/// A host whose guests can be found. A hypervisor that keeps a list of its guests
/// answers from that; QEMU keeps none, so its sockets are looked for.
pub trait HostOfGuests: Send + Sync {
    /// What to call it in messages.
    fn name(&self) -> String;

    /// The monitors there, sorted: of guests that run, of hypervisors that wait
    /// for one, and of others. Whether anybody answers is not asked.
    ///
    /// # Errors
    /// [`Error::Host`] where the host cannot be asked.
    fn monitors(&self) -> impl Future<Output = Result<Vec<GuestUri>, Error>> + Send;
}

impl HostOfGuests for HostUri {
    fn name(&self) -> String {
        self.to_string()
    }

    async fn monitors(&self) -> Result<Vec<GuestUri>, Error> {
        let fail = |problem: String| Error::Host {
            host: self.to_string(),
            problem,
        };
        let sockets = match self {
            Self::Directory(path) => sockets_here(path).map_err(fail)?,
            Self::Ssh { destination, path } => sockets_there(destination, path)
                .await
                .map_err(|error| error.map_or_else(Error::from, fail))?,
        };
        let mut sockets: Vec<GuestUri> = sockets.into_iter().map(|s| self.monitor(s)).collect();
        sockets.sort();
        sockets.dedup();
        Ok(sockets)
    }
}

/// The sockets in a directory of this machine, and those that links in it lead
/// to: by their real paths, under which moves are locked and journalled.
fn sockets_here(directory: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(directory)
        .map_err(|error| format!("the directory cannot be read: {error}"))?;
    let mut sockets = Vec::new();
    for entry in entries {
        let path = entry
            .map_err(|error| format!("the directory cannot be read: {error}"))?
            .path();
        // A file that vanishes meanwhile is none.
        let is_socket = fs::metadata(&path).is_ok_and(|file| file.file_type().is_socket());
        if is_socket && let Ok(path) = fs::canonicalize(&path) {
            sockets.push(path);
        }
    }
    Ok(sockets)
}

/// Prints a zero byte, so that a login shell's greeting can be told from what
/// follows: the sockets of the directory `$1`, each ended by one more.
const LIST: &str = r#"printf '\0'
test -d "$1" || exit 3
test -r "$1" && test -x "$1" || exit 4
for socket in "$1"/*; do test -S "$socket" && printf '%s\0' "$socket"; done
exit 0"#;

/// The same of another machine; `Err(Ok)` says what is wrong with the directory.
async fn sockets_there(
    destination: &SshDestination,
    directory: &Path,
) -> Result<Vec<PathBuf>, Result<String, vmferry_hypervisor::HypervisorError>> {
    let path = directory.display().to_string();
    let arguments = ["sh", "-c", LIST, "sh", path.trim_end_matches('/')];
    let output = run_remote(&SshCommand::from_env(), destination, &arguments)
        .await
        .map_err(Err)?;
    match output.status.code() {
        Some(0) => Ok(listed(&output.stdout)),
        Some(3) => Err(Ok("there is no such directory on that machine".to_owned())),
        Some(4) => Err(Ok(
            "the directory may not be read; log in as the user who owns it, or as root".to_owned(),
        )),
        _ => Err(Ok(format!(
            "listing the directory failed there: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        ))),
    }
}

/// What [`LIST`] printed.
fn listed(output: &[u8]) -> Vec<PathBuf> {
    output
        .split(|byte| *byte == 0)
        .skip(1)
        .filter(|path| !path.is_empty())
        .map(|path| PathBuf::from(std::ffi::OsString::from_vec(path.to_vec())))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use super::*;

    fn directory() -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("elsewhere")).unwrap();
        for socket in ["b.qmp", "a b.qmp", "elsewhere/linked"] {
            drop(UnixListener::bind(directory.path().join(socket)).unwrap());
        }
        fs::write(directory.path().join("notes"), "").unwrap();
        let to = |name: &str| directory.path().join(name);
        symlink(to("elsewhere/linked"), to("c.qmp")).unwrap();
        symlink(to("nowhere"), to("d.qmp")).unwrap();
        symlink(to("b.qmp"), to("again.qmp")).unwrap();
        directory
    }

    #[tokio::test]
    async fn the_sockets_of_a_directory_are_its_monitors() {
        let directory = directory();
        let real = fs::canonicalize(directory.path()).unwrap();
        let host = HostUri::Directory(directory.path().to_owned());
        let found = host.monitors().await.unwrap();
        let expected = ["a b.qmp", "b.qmp", "elsewhere/linked"];
        assert_eq!(found, expected.map(|name| GuestUri::local(real.join(name))));

        let none = HostUri::Directory(directory.path().join("missing"));
        let said = none.monitors().await.unwrap_err().to_string();
        assert!(
            said.contains("missing") && said.contains("cannot be read"),
            "{said}"
        );
    }

    #[test]
    fn a_shell_lists_the_same() {
        let directory = directory();
        let list = |path: &Path| {
            let script = format!("echo Welcome; {LIST}");
            let mut command = std::process::Command::new("sh");
            command.args(["-c", &script, "sh"]).arg(path);
            command.output().unwrap()
        };
        let names: Vec<String> = listed(&list(directory.path()).stdout)
            .iter()
            .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
            .collect();
        assert_eq!(names, ["a b.qmp", "again.qmp", "b.qmp", "c.qmp"]);
        let missing = list(&directory.path().join("missing"));
        assert_eq!(missing.status.code(), Some(3));
        let empty = list(
            &directory
                .path()
                .join("elsewhere")
                .join("..")
                .join("elsewhere"),
        );
        assert_eq!(listed(&empty.stdout).len(), 1);
    }
}
