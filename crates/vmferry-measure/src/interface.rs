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
    headers: u64,
}

/// What an interface has sent since it came up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Bytes, with the headers of every packet.
    pub bytes: Bytes,
    /// Packets. One that is cut into several further down, by the hardware or by the other end of a
    /// virtual wire, is one, with one header among the bytes.
    pub packets: u64,
}

/// Headers of a TCP packet behind Linux's usual time stamps: Ethernet 14, TCP 20 and 12 of them.
const HEADERS: u64 = 14 + 20 + 12;
/// That of IP version 4.
const IPV4_HEADER: u64 = 20;
/// That of IP version 6.
const IPV6_HEADER: u64 = 40;

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
            headers: HEADERS
                + match plain(address) {
                    IpAddr::V4(_) => IPV4_HEADER,
                    IpAddr::V6(_) => IPV6_HEADER,
                },
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
        Ok(self.sent()?.bytes)
    }

    /// What TCP carried between two readings, where nothing but connections to the address was sent
    /// meanwhile: the bytes without the headers of every packet (66 each over IPv4).
    ///
    /// Counted too is what is sent a second time; packets without time stamps, as where they are
    /// switched off, have 12 bytes less of headers. Making a connection and asking for its
    /// neighbour's address come out within 100 bytes of nothing: of three migrations of 100 MB by QEMU
    /// over a veth pair this told 8 to 16 bytes more or less than the sender.
    #[must_use]
    pub fn tcp_payload(&self, from: &Sent, to: &Sent) -> Bytes {
        let headers = self.headers * to.packets.saturating_sub(from.packets);
        Bytes(to.bytes.0.saturating_sub(from.bytes.0 + headers))
    }

    /// What it has sent since it came up.
    ///
    /// # Errors
    /// [`MeasureError::Kernel`] where the interface was removed.
    pub fn sent(&self) -> Result<Sent, MeasureError> {
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

/// Bytes and packets sent, ninth and tenth number of the interface's line in `net/dev`.
fn sent(dev: &str, interface: &str) -> Option<Sent> {
    dev.lines().find_map(|line| {
        let (name, numbers) = line.split_once(':')?;
        if name.trim() != interface {
            return None;
        }
        let mut numbers = numbers.split_ascii_whitespace().skip(8);
        Some(Sent {
            bytes: Bytes(numbers.next()?.parse().ok()?),
            packets: numbers.next()?.parse().ok()?,
        })
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
    fn tcp_carries_what_is_left_without_headers() {
        let counter =
            |address: &str| WireCounter::open(std::process::id(), address.parse().unwrap());
        let counter = counter("127.0.0.1").unwrap();
        let sent = |bytes, packets| Sent {
            bytes: Bytes(bytes),
            packets,
        };
        // Two full frames and a packet that hardware cuts into 44.
        let to = sent(1_000 + 2 * 1514 + 63_778, 13);
        assert_eq!(
            counter.tcp_payload(&sent(1_000, 10), &to),
            Bytes(2 * 1448 + 63_712)
        );
        assert_eq!(counter.tcp_payload(&to, &to), Bytes(0));
    }

    #[test]
    fn a_stream_s_payload_is_counted() {
        let counter = WireCounter::open(std::process::id(), "127.0.0.1".parse().unwrap()).unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut here = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut there, _) = listener.accept().unwrap();
        let before = counter.sent().unwrap();
        std::io::Write::write_all(&mut here, &[7; 300_000]).unwrap();
        std::io::Read::read_exact(&mut there, &mut [0; 300_000]).unwrap();
        // Others use the loopback too, with packets of shorter headers perhaps.
        let payload = counter.tcp_payload(&before, &counter.sent().unwrap());
        assert!(payload >= Bytes(299_000), "{payload:?}");
    }

    #[test]
    fn reads_the_ninth_and_tenth_number() {
        let dev = "Inter-|   Receive\n face |bytes\n    lo: 1 2 3 4 5 6 7 8 9 10\n  va:11 12 13 14 15 16 17 18 19 20\n";
        let of = |interface| sent(dev, interface).map(|sent| (sent.bytes.0, sent.packets));
        assert_eq!(of("va"), Some((19, 20)));
        assert_eq!(of("lo"), Some((9, 10)));
        assert_eq!(of("eth0"), None);
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
