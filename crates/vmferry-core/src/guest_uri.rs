//! Where a guest's monitor is: a socket on this machine, or one on another machine reached with
//! the user's own `ssh`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The address of a guest's monitor, as people write it.
///
/// ```
/// use vmferry_core::GuestUri;
/// let near: GuestUri = "qmp:/run/a.qmp".parse()?;
/// let far: GuestUri = "qmp+ssh://root@host-b:2222/run/b.qmp".parse()?;
/// assert!(near.destination().is_none());
/// assert_eq!(far.to_string(), "qmp+ssh://root@host-b:2222/run/b.qmp");
/// # Ok::<(), vmferry_core::guest_uri::GuestUriError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum GuestUri {
    /// `qmp:PATH`: a QMP unix socket on this machine.
    Qmp {
        /// The socket; relative paths are relative to the working directory.
        path: PathBuf,
    },
    /// `qmp+ssh://[user@]host[:port]/PATH`: a QMP unix socket on another machine.
    QmpSsh {
        /// The machine and how to log in there.
        destination: SshDestination,
        /// The socket on that machine, always absolute.
        path: PathBuf,
    },
}

/// A machine to reach with `ssh`; what is not given is left to the user's ssh configuration.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SshDestination {
    /// The user to log in as.
    pub user: Option<String>,
    /// A host name, an alias of the ssh configuration, or an address (IPv6 without brackets).
    pub host: String,
    /// The TCP port of the ssh server.
    pub port: Option<u16>,
}

/// Why a text is not a [`GuestUri`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GuestUriError {
    /// Neither `qmp:` nor `qmp+ssh:`.
    #[error(
        "{uri:?}: unknown scheme; write qmp:/path/to/socket or qmp+ssh://user@host/path/to/socket"
    )]
    UnknownScheme {
        /// The text as given.
        uri: String,
    },
    /// The scheme is known, something after it is wrong.
    #[error("{uri:?}: {problem}")]
    Malformed {
        /// The text as given.
        uri: String,
        /// What is wrong, and what to write instead.
        problem: &'static str,
    },
}

impl GuestUri {
    /// A QMP socket on this machine.
    pub fn local(path: impl Into<PathBuf>) -> Self {
        Self::Qmp { path: path.into() }
    }

    /// The monitor's socket, on whichever machine it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::Qmp { path } | Self::QmpSsh { path, .. } => path,
        }
    }

    /// The other machine, or `None` for a guest on this one.
    #[must_use]
    pub fn destination(&self) -> Option<&SshDestination> {
        match self {
            Self::Qmp { .. } => None,
            Self::QmpSsh { destination, .. } => Some(destination),
        }
    }
}

impl fmt::Display for GuestUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // `qmp://x` would read as a host, so a path with two slashes is written in full form.
            Self::Qmp { path } if path.to_string_lossy().starts_with("//") => {
                write!(f, "qmp://{}", path.display())
            }
            Self::Qmp { path } => write!(f, "qmp:{}", path.display()),
            Self::QmpSsh { destination, path } => {
                write!(f, "qmp+ssh://{destination}{}", path.display())
            }
        }
    }
}

impl fmt::Display for SshDestination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        if self.host.contains(':') {
            write!(f, "[{}]", self.host)?;
        } else {
            f.write_str(&self.host)?;
        }
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

impl FromStr for GuestUri {
    type Err = GuestUriError;

    fn from_str(uri: &str) -> Result<Self, GuestUriError> {
        let malformed = |problem| GuestUriError::Malformed {
            uri: uri.to_owned(),
            problem,
        };
        if uri.chars().any(char::is_control) {
            return Err(malformed("control characters are not allowed"));
        }
        if let Some(rest) = uri.strip_prefix("qmp+ssh:") {
            let rest = rest.strip_prefix("//").ok_or_else(|| {
                malformed("two slashes are missing; write qmp+ssh://user@host/path/to/socket")
            })?;
            let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            if path.len() < 2 {
                return Err(malformed(
                    "the socket's path on that host is missing; write qmp+ssh://user@host/path/to/socket",
                ));
            }
            Ok(Self::QmpSsh {
                destination: parse_destination(authority).map_err(malformed)?,
                path: PathBuf::from(path),
            })
        } else if let Some(rest) = uri.strip_prefix("qmp:") {
            // `qmp:///run/a` names the same socket; `qmp://host/run/a` would be a surprise.
            let path = match rest.strip_prefix("//") {
                Some(absolute) if absolute.starts_with('/') => absolute,
                Some(_) => {
                    return Err(malformed(
                        "qmp: is for sockets of this machine; for another one write qmp+ssh://user@host/path/to/socket",
                    ));
                }
                None => rest,
            };
            if path.is_empty() {
                return Err(malformed(
                    "the socket's path is missing; write qmp:/path/to/socket",
                ));
            }
            Ok(Self::local(path))
        } else {
            Err(GuestUriError::UnknownScheme {
                uri: uri.to_owned(),
            })
        }
    }
}

fn parse_destination(authority: &str) -> Result<SshDestination, &'static str> {
    let (user, address) = match authority.rsplit_once('@') {
        Some((user, address)) => (Some(user), address),
        None => (None, authority),
    };
    let (host, port) = if let Some(bracketed) = address.strip_prefix('[') {
        let (host, rest) = bracketed
            .split_once(']')
            .ok_or("the closing bracket of the IPv6 address is missing")?;
        match rest.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None if rest.is_empty() => (host, None),
            None => return Err("only :PORT may follow an address in brackets"),
        }
    } else {
        match address.split_once(':') {
            Some((_, port)) if port.contains(':') => {
                return Err("write an IPv6 address in brackets: qmp+ssh://[::1]/path/to/socket");
            }
            Some((host, port)) => (host, Some(port)),
            None => (address, None),
        }
    };
    // A leading dash would be read by ssh as an option.
    if host.is_empty() || host.starts_with('-') || host.contains(char::is_whitespace) {
        return Err("the host is missing or not a host name");
    }
    if user.is_some_and(|u| u.is_empty() || u.starts_with('-') || u.contains(char::is_whitespace)) {
        return Err("the user before @ is empty or not a user name");
    }
    let port = match port {
        None => None,
        Some(port) => match port.parse::<u16>() {
            Ok(port) if port > 0 => Some(port),
            _ => return Err("the ssh port must be a number from 1 to 65535"),
        },
    };
    Ok(SshDestination {
        user: user.map(str::to_owned),
        host: host.to_owned(),
        port,
    })
}

impl Serialize for GuestUri {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for GuestUri {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for GuestUri {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "GuestUri".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A guest's monitor: qmp:PATH or qmp+ssh://[user@]host[:port]/PATH",
            "pattern": "^qmp(:|\\+ssh://)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(uri: &str) -> Result<GuestUri, String> {
        uri.parse().map_err(|e: GuestUriError| e.to_string())
    }

    #[test]
    fn local_and_remote_guests_are_told_apart() {
        assert_eq!(
            parse("qmp:/run/a.qmp").unwrap(),
            GuestUri::local("/run/a.qmp")
        );
        assert_eq!(
            parse("qmp:///run/a.qmp").unwrap(),
            GuestUri::local("/run/a.qmp")
        );
        assert_eq!(parse("qmp:a.qmp").unwrap().path(), Path::new("a.qmp"));
        let far = parse("qmp+ssh://root@[fe80::1]:2222/run/b.qmp").unwrap();
        assert_eq!(
            far.destination().unwrap(),
            &SshDestination {
                user: Some("root".into()),
                host: "fe80::1".into(),
                port: Some(2222)
            }
        );
        assert_eq!(far.path(), Path::new("/run/b.qmp"));
    }

    #[test]
    fn errors_say_what_to_write() {
        let answers: Vec<String> = [
            "",
            "/run/a.qmp",
            "qemu:///system",
            "qmp:",
            "qmp://host/run/a.qmp",
            "qmp+ssh:host/run/a.qmp",
            "qmp+ssh://host",
            "qmp+ssh://host/",
            "qmp+ssh:///run/a.qmp",
            "qmp+ssh://-oProxyCommand=x/run/a",
            "qmp+ssh://@host/run/a",
            "qmp+ssh://host:0/run/a",
            "qmp+ssh://host:70000/run/a",
            "qmp+ssh://::1/run/a",
            "qmp:/run/a\n",
        ]
        .into_iter()
        .map(|uri| parse(uri).unwrap_err())
        .collect();
        insta::assert_snapshot!(answers.join("\n"), @r#"
        "": unknown scheme; write qmp:/path/to/socket or qmp+ssh://user@host/path/to/socket
        "/run/a.qmp": unknown scheme; write qmp:/path/to/socket or qmp+ssh://user@host/path/to/socket
        "qemu:///system": unknown scheme; write qmp:/path/to/socket or qmp+ssh://user@host/path/to/socket
        "qmp:": the socket's path is missing; write qmp:/path/to/socket
        "qmp://host/run/a.qmp": qmp: is for sockets of this machine; for another one write qmp+ssh://user@host/path/to/socket
        "qmp+ssh:host/run/a.qmp": two slashes are missing; write qmp+ssh://user@host/path/to/socket
        "qmp+ssh://host": the socket's path on that host is missing; write qmp+ssh://user@host/path/to/socket
        "qmp+ssh://host/": the socket's path on that host is missing; write qmp+ssh://user@host/path/to/socket
        "qmp+ssh:///run/a.qmp": the host is missing or not a host name
        "qmp+ssh://-oProxyCommand=x/run/a": the host is missing or not a host name
        "qmp+ssh://@host/run/a": the user before @ is empty or not a user name
        "qmp+ssh://host:0/run/a": the ssh port must be a number from 1 to 65535
        "qmp+ssh://host:70000/run/a": the ssh port must be a number from 1 to 65535
        "qmp+ssh://::1/run/a": write an IPv6 address in brackets: qmp+ssh://[::1]/path/to/socket
        "qmp:/run/a\n": control characters are not allowed
        "#);
    }

    #[test]
    fn json_is_the_same_text() {
        let uri: GuestUri = "qmp+ssh://host-b/run/b.qmp".parse().unwrap();
        let json = serde_json::to_string(&uri).unwrap();
        assert_eq!(json, "\"qmp+ssh://host-b/run/b.qmp\"");
        assert_eq!(serde_json::from_str::<GuestUri>(&json).unwrap(), uri);
        assert!(serde_json::from_str::<GuestUri>("\"ssh://x\"").is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(
            user in proptest::option::of("[a-z_][a-z0-9_-]{0,8}"),
            host in "[a-z0-9][a-z0-9.-]{0,12}|[0-9a-f]{1,4}::[0-9a-f]{1,4}",
            port in proptest::option::of(1u16..),
            path in "/[a-zA-Z0-9 :@/%._-]{1,30}",
        ) {
            let local = GuestUri::local(&path);
            prop_assert_eq!(&local.to_string().parse::<GuestUri>().unwrap(), &local);
            let remote = GuestUri::QmpSsh {
                destination: SshDestination { user, host, port },
                path: path.into(),
            };
            prop_assert_eq!(&remote.to_string().parse::<GuestUri>().unwrap(), &remote);
        }

        #[test]
        fn any_text_is_answered_without_panic(text in "\\PC*") {
            let _ = text.parse::<GuestUri>();
            let _ = format!("qmp+ssh://{text}").parse::<GuestUri>();
        }
    }
}
