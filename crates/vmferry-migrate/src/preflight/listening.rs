//! Where the destination is to listen: an address it does not have fails the
//! move at its start, and one of no use at its first byte.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use vmferry_core::Plan;

use super::{Check, EndFacts, verdict};

/// The addresses of a network namespace, each with the length of its prefix:
/// 32 or 128 for one address, 8 for all of 127.0.0.0/8.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalAddresses(Vec<(IpAddr, u8)>);

impl LocalAddresses {
    /// Those of the namespace of a process; `None` where they cannot be read.
    pub fn of(pid: u32) -> Option<Self> {
        let v4 = fs::read_to_string(format!("/proc/{pid}/net/fib_trie")).ok()?;
        // Missing where IPv6 is off.
        let v6 = fs::read_to_string(format!("/proc/{pid}/net/if_inet6")).unwrap_or_default();
        Some(Self(
            local_v4(&v4).into_iter().chain(local_v6(&v6)).collect(),
        ))
    }

    fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|(local, prefix)| match (local, address) {
            (IpAddr::V4(local), IpAddr::V4(address)) => {
                let differing = local.to_bits() ^ address.to_bits();
                differing.leading_zeros() >= u32::from(*prefix)
            }
            (IpAddr::V6(local), IpAddr::V6(address)) => *local == address,
            _ => false,
        })
    }

    /// The addresses that another host could reach, for a message.
    fn shown(&self) -> String {
        let mut shown: Vec<_> = self
            .0
            .iter()
            .map(|(address, _)| *address)
            .filter(|address| !address.is_loopback())
            .map(|address| address.to_string())
            .collect();
        shown.dedup();
        if shown.is_empty() {
            "only loopback addresses".to_owned()
        } else {
            shown.join(", ")
        }
    }
}

/// `fib_trie` has an address as `|-- ADDRESS`, and below it a line for each of
/// its routes: `/PREFIX host LOCAL` says that it is our own. The table `Local`
/// may be merged into `Main`, so both are read.
fn local_v4(trie: &str) -> Vec<(IpAddr, u8)> {
    let mut found: Vec<(IpAddr, u8)> = Vec::new();
    let mut leaf: Option<Ipv4Addr> = None;
    for line in trie.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            leaf = address.parse().ok();
        } else if let Some(route) = line.strip_suffix(" host LOCAL")
            && let (Some(address), Some(prefix)) =
                (leaf, route.strip_prefix('/').and_then(|p| p.parse().ok()))
            && !found.contains(&(address.into(), prefix))
        {
            found.push((address.into(), prefix));
        }
    }
    found
}

/// `if_inet6` begins each line with an address of 32 hexadecimal digits.
fn local_v6(table: &str) -> Vec<(IpAddr, u8)> {
    table
        .lines()
        .filter_map(|line| u128::from_str_radix(line.split_whitespace().next()?, 16).ok())
        .map(|bits| (Ipv6Addr::from_bits(bits).into(), 128))
        .collect()
}

/// What `host` stands for, as this machine resolves it; empty where it cannot.
pub(crate) async fn resolve(host: &str, port: u16) -> Vec<IpAddr> {
    let found = tokio::net::lookup_host((host, port)).await;
    found.map_or_else(
        |_| Vec::new(),
        |addresses| addresses.map(|address| address.ip()).collect(),
    )
}

pub(super) fn stream_address(plan: &Plan, destination: &EndFacts) -> Check {
    let name = "stream address";
    let host = &plan.via.host;
    let wanted = &destination.via_addresses;
    if wanted.iter().any(IpAddr::is_unspecified) {
        return verdict(name, false, "", || {
            let own = destination.local_addresses.as_ref();
            format!(
                "{host} is every address of the destination, and none that the source can send to; give --via the destination's address as the source reaches it{}",
                own.map_or_else(String::new, |own| format!(" (it has {})", own.shown()))
            )
        });
    }
    let Some(own) = &destination.local_addresses else {
        return verdict(
            name,
            true,
            "asked when the destination starts to listen",
            String::new,
        );
    };
    verdict(
        name,
        wanted.iter().any(|address| own.contains(*address)),
        format!("{host} is the destination's"),
        || {
            if wanted.is_empty() {
                format!(
                    "{host} cannot be resolved; give --via an address of the destination, which has {}",
                    own.shown()
                )
            } else {
                format!(
                    "{host} is no address of the destination, which has {}; give --via one of them that the source reaches",
                    own.shown()
                )
            }
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_tables_are_read() {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     +-- 127.0.0.0/31 1 0 0\n        |-- 127.0.0.0\n           /8 host LOCAL\n        |-- 10.77.0.2\n           /24 link UNICAST\n           /32 host LOCAL\n        |-- 10.77.0.255\n           /32 link BROADCAST\n";
        let inet6 = "fe80000000000000000000fffe000001 04 40 20 80     eth0\n00000000000000000000000000000001 01 80 10 80       lo\n";
        let own = LocalAddresses(local_v4(trie).into_iter().chain(local_v6(inet6)).collect());
        let has = |text: &str| own.contains(text.parse().unwrap());
        assert!(has("10.77.0.2") && has("127.0.0.1") && has("127.9.9.9") && has("::1"));
        for other in [
            "10.77.0.3",
            "10.77.0.255",
            "0.0.0.0",
            "192.0.2.1",
            "::2",
            "128.0.0.1",
        ] {
            assert!(!has(other), "{other}");
        }
    }

    #[test]
    fn this_machine_has_a_loopback() {
        let own = LocalAddresses::of(std::process::id()).unwrap();
        assert!(own.contains("127.0.0.1".parse().unwrap()));
        assert!(!own.contains("198.51.100.7".parse().unwrap()));
    }
}
