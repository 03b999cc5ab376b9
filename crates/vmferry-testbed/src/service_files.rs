//! What services are made of: lists of packages, and scripts.

use vmferry_core::Bytes;
use vmferry_load::spec::Service;

/// What one service is made of.
pub(crate) struct ServiceFiles {
    /// Its Debian packages, with those they need to run as they are used here.
    pub(crate) packages: &'static str,
    /// Files of `/services` in its disk: `start` takes the service's name, `prepare` is run when
    /// the disk is made, the others are read by these.
    pub(crate) scripts: &'static [(&'static str, &'static str)],
    /// A mistaken list would fetch more.
    pub(crate) most_fetched: Bytes,
}

/// The packages and scripts named, from the service's directory.
macro_rules! files {
    ($service:literal, $most:literal, $($script:literal),+) => {
        Some(ServiceFiles {
            packages: include_str!(concat!("services/", $service, "/packages.txt")),
            scripts: &[$(($script, include_str!(concat!("services/", $service, "/", $script)))),+],
            most_fetched: Bytes::from_mib($most),
        })
    };
}

/// What a service is made of; `None` for the one that needs nothing.
pub(crate) const fn of(service: Service) -> Option<ServiceFiles> {
    match service {
        Service::Web => files!("web", 20, "start", "prepare", "nginx.conf"),
        Service::Postgres => files!("postgres", 60, "start", "prepare", "cluster"),
        Service::Mariadb => files!("mariadb", 40, "start", "prepare", "server"),
        Service::Standby => None,
        Service::Cache => files!("cache", 20, "start"),
        Service::File => files!("file", 20, "start"),
        Service::Application => {
            files!("application", 110, "start", "prepare", "jvm", "Server.java")
        }
        Service::Mail => files!(
            "mail",
            50,
            "start",
            "prepare",
            "main.cf",
            "master.cf",
            "dovecot.conf"
        ),
    }
}
