//! Where the migration stream goes: `tcp:HOST:PORT`.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The address at which the destination listens for the migration stream, as
/// the source reaches it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct StreamUri {
    /// Host name or address; IPv6 without brackets.
    pub host: String,
    /// TCP port, 1..65535.
    pub port: u16,
}

/// Why a text is no [`StreamUri`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "`{text}` is no migration address: {reason}; write tcp:HOST:PORT, for example tcp:10.77.0.2:4444"
)]
pub struct StreamUriError {
    text: String,
    reason: &'static str,
}

impl FromStr for StreamUri {
    type Err = StreamUriError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fail = |reason| StreamUriError {
            text: text.to_owned(),
            reason,
        };
        let rest = text
            .strip_prefix("tcp:")
            .ok_or_else(|| fail("it must start with tcp:"))?;
        let (host, port) = rest
            .rsplit_once(':')
            .ok_or_else(|| fail("the port is missing"))?;
        let host = match host.strip_prefix('[') {
            Some(inner) => inner
                .strip_suffix(']')
                .ok_or_else(|| fail("the bracket is not closed"))?,
            None if host.contains(':') => return Err(fail("an IPv6 address needs brackets")),
            None => host,
        };
        if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c == ',' || c == '/') {
            return Err(fail("the host is missing or malformed"));
        }
        let port = port
            .parse()
            .ok()
            .filter(|p| *p != 0)
            .ok_or_else(|| fail("the port must be 1..65535"))?;
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}

impl TryFrom<String> for StreamUri {
    type Error = StreamUriError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<StreamUri> for String {
    fn from(uri: StreamUri) -> Self {
        uri.to_string()
    }
}

impl fmt::Display for StreamUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "tcp:[{}]:{}", self.host, self.port)
        } else {
            write!(f, "tcp:{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        for text in [
            "tcp:10.77.0.2:4444",
            "tcp:[::1]:1",
            "tcp:host.example:65535",
        ] {
            assert_eq!(text.parse::<StreamUri>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn says_what_is_wrong() {
        for text in [
            "",
            "10.0.0.1:1",
            "tcp:10.0.0.1",
            "tcp::1",
            "tcp:a:0",
            "tcp:a:65536",
            "tcp:::1:5",
            "tcp:[::1:5",
            "tcp:a b:1",
        ] {
            let message = text.parse::<StreamUri>().unwrap_err().to_string();
            assert!(message.contains("write tcp:HOST:PORT"), "{message}");
        }
    }
}
