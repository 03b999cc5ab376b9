//! Where the monitors of a host's guests are.

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;
use vmferry_core::GuestUri;
use vmferry_core::guest_uri::SshDestination;

/// A host as people write it: the directory in which its QMP sockets lie.
///
/// ```
/// use vmferry::choosing::HostUri;
/// let near: HostUri = "/run/guests".parse()?;
/// assert_eq!(near.to_string(), "qmp-dir:/run/guests");
/// let far: HostUri = "qmp+ssh://root@host-b/run/guests".parse()?;
/// assert_eq!(far.to_string(), "qmp+ssh://root@host-b/run/guests");
/// # Ok::<(), vmferry::choosing::HostUriError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostUri {
    /// `qmp-dir:PATH`, or the path alone: a directory of this machine.
    Directory(PathBuf),
    /// `qmp+ssh://[user@]host[:port]/PATH`: a directory of another machine.
    Ssh {
        /// The machine and how to log in there.
        destination: SshDestination,
        /// The directory on that machine, always absolute.
        path: PathBuf,
    },
}

/// Why a text is no [`HostUri`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "{uri:?} is no host: {problem}; write qmp-dir:/path/to/sockets or qmp+ssh://user@host/path/to/sockets"
)]
pub struct HostUriError {
    uri: String,
    problem: String,
}

impl HostUri {
    /// The directory, on whichever machine it is.
    pub fn path(&self) -> &Path {
        match self {
            Self::Directory(path) | Self::Ssh { path, .. } => path,
        }
    }

    /// The monitor behind a socket of this host.
    pub(super) fn monitor(&self, socket: PathBuf) -> GuestUri {
        match self {
            Self::Directory(_) => GuestUri::Qmp { path: socket },
            Self::Ssh { destination, .. } => GuestUri::QmpSsh {
                destination: destination.clone(),
                path: socket,
            },
        }
    }
}

impl FromStr for HostUri {
    type Err = HostUriError;

    fn from_str(uri: &str) -> Result<Self, HostUriError> {
        let fail = |problem: &str| HostUriError {
            uri: uri.to_owned(),
            problem: problem.to_owned(),
        };
        if uri.starts_with("qmp+ssh:") {
            return match uri.parse::<GuestUri>() {
                Ok(GuestUri::QmpSsh { destination, path }) => Ok(Self::Ssh { destination, path }),
                Ok(GuestUri::Qmp { .. }) => Err(fail("it names no other machine")),
                Err(error) => Err(fail(&error.to_string())),
            };
        }
        if uri.starts_with("qmp:") {
            return Err(fail("qmp: is one guest, not all of a host"));
        }
        let path = match uri.strip_prefix("qmp-dir:") {
            Some(path) => path,
            None if uri.contains("://") => return Err(fail("the scheme is unknown")),
            None => uri,
        };
        if path.is_empty() {
            return Err(fail("the path is missing"));
        }
        if path.chars().any(char::is_control) {
            return Err(fail("control characters are not allowed"));
        }
        Ok(Self::Directory(PathBuf::from(path)))
    }
}

impl fmt::Display for HostUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => write!(f, "qmp-dir:{}", path.display()),
            Self::Ssh { destination, path } => {
                write!(f, "qmp+ssh://{destination}{}", path.display())
            }
        }
    }
}

impl Serialize for HostUri {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HostUri {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for HostUri {
    fn schema_name() -> Cow<'static, str> {
        "HostUri".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A directory of QMP sockets: qmp-dir:PATH or qmp+ssh://[user@]host[:port]/PATH",
            "pattern": "^qmp(-dir:|\\+ssh://)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_say_what_to_write() {
        let said: Vec<String> = [
            "",
            "qmp-dir:",
            "qmp:/run/a.qmp",
            "qemu:///system",
            "qmp+ssh://host",
            "qmp+ssh:/run",
            "/run/\n",
        ]
        .into_iter()
        .map(|uri| uri.parse::<HostUri>().unwrap_err().to_string())
        .map(|text| {
            text.replace(
                "; write qmp-dir:/path/to/sockets or qmp+ssh://user@host/path/to/sockets",
                "",
            )
        })
        .collect();
        insta::assert_snapshot!(said.join("\n"), @r#"
        "" is no host: the path is missing
        "qmp-dir:" is no host: the path is missing
        "qmp:/run/a.qmp" is no host: qmp: is one guest, not all of a host
        "qemu:///system" is no host: the scheme is unknown
        "qmp+ssh://host" is no host: "qmp+ssh://host": the socket's path on that host is missing; write qmp+ssh://user@host/path/to/socket
        "qmp+ssh:/run" is no host: "qmp+ssh:/run": two slashes are missing; write qmp+ssh://user@host/path/to/socket
        "/run/\n" is no host: control characters are not allowed
        "#);
    }

    #[test]
    fn json_is_the_same_text() {
        for text in ["qmp-dir:/run/a b", "qmp+ssh://root@[::1]:2222/run"] {
            let host: HostUri = text.parse().unwrap();
            let json = serde_json::to_string(&host).unwrap();
            assert_eq!(serde_json::from_str::<HostUri>(&json).unwrap(), host);
            assert_eq!(host.to_string(), text);
        }
    }
}
