//! Network services that a guest can offer as its load.

use std::fmt;
use std::str::FromStr;

/// A service of a guest, from the Debian packages of its own image. Its clients come from outside;
/// [`File`](Self::File) alone makes its own load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize, schemars::JsonSchema),
    serde(rename_all = "kebab-case")
)]
pub enum Service {
    /// nginx with static pages of several sizes.
    Web,
    /// PostgreSQL with the tables of `pgbench`.
    Postgres,
    /// MariaDB with the tables of sysbench's OLTP benchmark.
    Mariadb,
    /// Nothing but the idle guest.
    Standby,
    /// Redis.
    Cache,
    /// dbench on the guest's own file system; it runs inside the guest.
    File,
    /// Tomcat with a servlet that computes.
    Application,
    /// Postfix (SMTP) and Dovecot (IMAP) with mailboxes of local users.
    Mail,
}

/// There is no service of this name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownService {
    /// The name given.
    pub name: String,
}

impl Service {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Web,
        Self::Postgres,
        Self::Mariadb,
        Self::Standby,
        Self::Cache,
        Self::File,
        Self::Application,
        Self::Mail,
    ];

    /// Its name in a load, in JSON, and below `/services` in its image.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Web => "web",
            Self::Postgres => "postgres",
            Self::Mariadb => "mariadb",
            Self::Standby => "standby",
            Self::Cache => "cache",
            Self::File => "file",
            Self::Application => "application",
            Self::Mail => "mail",
        }
    }

    /// The TCP port its clients connect to; none for those without clients. Mail takes letters in
    /// here, and hands them out on [`IMAP_PORT`](Self::IMAP_PORT).
    #[must_use]
    pub const fn port(self) -> Option<u16> {
        match self {
            Self::Web => Some(80),
            Self::Postgres => Some(5432),
            Self::Mariadb => Some(3306),
            Self::Cache => Some(6379),
            Self::Application => Some(8080),
            Self::Mail => Some(25),
            Self::Standby | Self::File => None,
        }
    }

    /// The port on which the mail service hands out letters.
    pub const IMAP_PORT: u16 = 143;
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Service {
    type Err = UnknownService;

    fn from_str(name: &str) -> Result<Self, UnknownService> {
        let known = Self::ALL.into_iter().find(|service| service.name() == name);
        known.ok_or_else(|| UnknownService {
            name: name.to_owned(),
        })
    }
}

impl fmt::Display for UnknownService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Service::ALL.map(Service::name).join(", ");
        write!(f, "unknown service {:?}; known are {names}", self.name)
    }
}

impl std::error::Error for UnknownService {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for service in Service::ALL {
            assert_eq!(service.to_string().parse(), Ok(service));
        }
        let error = "ftp".parse::<Service>().unwrap_err().to_string();
        assert!(error.contains("\"ftp\"") && error.contains("web, postgres"));
    }
}
