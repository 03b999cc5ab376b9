//! The first line of a QMP monitor, and the version it carries.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

use super::field;

/// A QEMU version. For display and records: features are read from the schema instead.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct QemuVersion {
    /// `10` of 10.0.2.
    pub major: Option<u64>,
    /// `0` of 10.0.2.
    pub minor: Option<u64>,
    /// `2` of 10.0.2.
    pub micro: Option<u64>,
    /// The vendor's package, for example `Debian 1:10.0.2+ds-2`.
    pub package: Option<String>,
}

impl QemuVersion {
    /// Reads the object that the greeting and `query-version` share.
    pub(crate) fn from_value(value: &Value) -> Self {
        Self {
            major: field::number(value, &["qemu", "major"]),
            minor: field::number(value, &["qemu", "minor"]),
            micro: field::number(value, &["qemu", "micro"]),
            package: field::text(value, &["package"]).filter(|p| !p.is_empty()),
        }
    }

    /// `10.0.2`, or `None` where QEMU did not say.
    #[must_use]
    pub fn number(&self) -> Option<String> {
        let (major, minor) = (self.major?, self.minor?);
        Some(match self.micro {
            Some(micro) => format!("{major}.{minor}.{micro}"),
            None => format!("{major}.{minor}"),
        })
    }
}

impl fmt::Display for QemuVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.number().as_deref().unwrap_or("unknown"))?;
        match &self.package {
            Some(package) => write!(f, " ({package})"),
            None => Ok(()),
        }
    }
}

/// What a QMP monitor says of itself when a client connects.
#[derive(Debug, Clone, PartialEq)]
pub struct Greeting {
    /// The version of QEMU.
    pub version: QemuVersion,
    /// Capabilities of the protocol, for example `oob`, which vmferry turns on
    /// where it is offered.
    pub capabilities: Vec<String>,
    /// The line as it came.
    pub raw: Value,
}

impl Greeting {
    /// Reads a line with a `QMP` member; `None` for any other.
    pub(crate) fn from_value(raw: &Value) -> Option<Self> {
        let greeting = raw.get("QMP")?;
        Some(Self {
            version: QemuVersion::from_value(greeting.get("version").unwrap_or(&Value::Null)),
            capabilities: field::list(greeting, &["capabilities"])
                .iter()
                // QEMU < 3 gave numbers here.
                .filter_map(|c| c.as_str().map(str::to_owned))
                .collect(),
            raw: raw.clone(),
        })
    }
}
