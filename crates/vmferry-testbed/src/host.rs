//! The two hosts.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Which of the two hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// Where guests start.
    Source,
    /// Where guests are awaited.
    Destination,
}

impl Side {
    /// Both, source first.
    pub const BOTH: [Self; 2] = [Self::Source, Self::Destination];

    /// `source` or `destination`: part of the namespace's name, and the host's name for ssh.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Destination => "destination",
        }
    }

    /// Its address on the migration link.
    #[must_use]
    pub const fn address(self) -> &'static str {
        match self {
            Self::Source => "10.77.0.1",
            Self::Destination => "10.77.0.2",
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
