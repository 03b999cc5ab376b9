//! Wire bytes: what the interface of a route has sent.

use std::fs::{self, File};
use std::net::{IpAddr, ToSocketAddrs};
use std::os::unix::fs::FileExt;

use vmferry_core::{Bytes, StreamUri};

use crate::MeasureError;
use crate::route::{interface_for, plain};

/// The counters of the interface by which a process reaches an address. It goes on counting after
/// the process has ended, for as long as its network exists.
///
/// The counter is the interface's own: all its traffic counts, and with segmentation offload a
/// virtual interface counts the headers of one large packet where the wire would see many.
#[derive(Debug)]
pub struct WireCounter {
    interface: String,
    path: String,
    counters: File,
}

impl WireCounter {
    /// The counters of the interface by which process `pid`, in its network namespace, reaches
    /// `address`.
    ///
    /// # Errors
    /// [`MeasureError::NoRoute`], and [`MeasureError::Kernel`] where the process is gone or the
    /// interface has no counters.
    pub fn open(pid: u32, address: IpAddr) -> Result<Self, MeasureError> {
        let table = |name: &str| {
            let path = format!("/proc/{pid}/net/{name}");
            fs::read_to_string(&path).map_err(MeasureError::kernel(path))
        };
        // Kernels built without a family have no tables of it.
        let optional = |name: &str| table(name).unwrap_or_default();
        let interface = interface_for(
            plain(address),
            &table("route")?,
            &optional("fib_trie"),
            &optional("ipv6_route"),
        )
        .ok_or(MeasureError::NoRoute { pid, address })?;
        let path = format!("/proc/{pid}/net/dev");
        let counters = File::open(&path).map_err(MeasureError::kernel(path.clone()))?;
        let counter = Self {
            interface,
            path,
            counters,
        };
        counter.tx_bytes()?;
        Ok(counter)
    }

    /// The interface, for example `eth0`.
    #[must_use]
    pub fn interface(&self) -> &str {
        &self.interface
    }

    /// Bytes it has sent since it came up.
    ///
    /// # Errors
    /// [`MeasureError::Kernel`] where the interface was removed.
    pub fn tx_bytes(&self) -> Result<Bytes, MeasureError> {
        let mut text = Vec::new();
        let mut part = [0; 4096];
        loop {
            let read = self
                .counters
                .read_at(&mut part, text.len() as u64)
                .map_err(MeasureError::kernel(self.path.clone()))?;
            if read == 0 {
                break;
            }
            text.extend_from_slice(&part[..read]);
        }
        sent(&String::from_utf8_lossy(&text), &self.interface).ok_or_else(|| MeasureError::Kernel {
            path: self.path.clone(),
            source: std::io::Error::other(format!("interface {} is gone", self.interface)),
        })
    }
}

/// The bytes sent, ninth number of the interface's line in `net/dev`.
fn sent(dev: &str, interface: &str) -> Option<Bytes> {
    dev.lines().find_map(|line| {
        let (name, numbers) = line.split_once(':')?;
        if name.trim() != interface {
            return None;
        }
        Some(Bytes(
            numbers.split_ascii_whitespace().nth(8)?.parse().ok()?,
        ))
    })
}

/// The address of a migration stream's destination. Names are looked up on this host; may block.
///
/// # Errors
/// [`MeasureError::Resolve`].
pub fn stream_address(via: &StreamUri) -> Result<IpAddr, MeasureError> {
    let fail = |source| MeasureError::Resolve {
        host: via.host.clone(),
        source,
    };
    (via.host.as_str(), via.port)
        .to_socket_addrs()
        .map_err(fail)?
        .next()
        .map(|address| plain(address.ip()))
        .ok_or_else(|| fail(std::io::ErrorKind::NotFound.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    #[test]
    fn loopback_traffic_is_counted() {
        let counter = WireCounter::open(std::process::id(), "127.0.0.1".parse().unwrap()).unwrap();
        assert_eq!(counter.interface(), "lo");
        let before = counter.tx_bytes().unwrap();
        let here = UdpSocket::bind("127.0.0.1:0").unwrap();
        let there = here.local_addr().unwrap();
        for _ in 0..4 {
            here.send_to(&[0; 10_000], there).unwrap();
        }
        let sent = counter.tx_bytes().unwrap().saturating_sub(before);
        assert!(sent >= Bytes(40_000), "{sent:?}");
    }

    #[test]
    fn reads_the_ninth_number() {
        let dev = "Inter-|   Receive\n face |bytes\n    lo: 1 2 3 4 5 6 7 8 9 10\n  va:11 12 13 14 15 16 17 18 19 20\n";
        assert_eq!(sent(dev, "va"), Some(Bytes(19)));
        assert_eq!(sent(dev, "lo"), Some(Bytes(9)));
        assert_eq!(sent(dev, "eth0"), None);
    }

    #[test]
    fn streams_resolve() {
        let via: StreamUri = "tcp:[::1]:4444".parse().unwrap();
        assert_eq!(stream_address(&via).unwrap().to_string(), "::1");
        let via: StreamUri = "tcp:no-such-host.invalid:4444".parse().unwrap();
        let text = stream_address(&via).unwrap_err().to_string();
        assert!(
            text.contains("no-such-host.invalid has no address"),
            "{text}"
        );
    }
}
