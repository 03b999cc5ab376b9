//! The route of a move: between which hosts, and over which address.

use std::fmt;

use vmferry_core::{GuestUri, HostInfo, MoveRecord, StreamUri};

/// A route over which the link's rate may be learned. The stream's host is
/// part of it because two hosts may share several networks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Route {
    /// Name of the source host.
    pub source_host: String,
    /// Name of the destination host.
    pub destination_host: String,
    /// Where the source sends the stream.
    pub stream_host: String,
}

impl Route {
    /// The route between two hosts. A host without a known name is called
    /// like the machine its monitor is reached on.
    pub fn new(
        source: (&HostInfo, &GuestUri),
        destination: (&HostInfo, &GuestUri),
        via: &StreamUri,
    ) -> Self {
        Self {
            source_host: host_name(source.0, source.1),
            destination_host: host_name(destination.0, destination.1),
            stream_host: via.host.clone(),
        }
    }

    /// The route that a recorded move took.
    pub fn of(record: &MoveRecord) -> Self {
        Self::new(
            (&record.source_host, &record.plan.source),
            (&record.destination_host, &record.plan.destination),
            &record.plan.via,
        )
    }
}

/// What a host is called in the history: by its name, else like the machine
/// its monitor is reached on.
pub fn host_name(host: &HostInfo, uri: &GuestUri) -> String {
    host.hostname.clone().unwrap_or_else(|| {
        uri.destination()
            .map_or_else(|| "localhost".to_owned(), |ssh| ssh.host.clone())
    })
}

/// Also the key in the database.
impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} > {} via {}",
            self.source_host, self.destination_host, self.stream_host
        )
    }
}
