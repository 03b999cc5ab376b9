//! The interface by which a network namespace reaches an address, from the kernel's tables in
//! `/proc/PID/net`. Policy routing is not followed: only the main table is there.

use std::net::{IpAddr, Ipv4Addr};

const UP: u32 = 0x1;
const REJECT: u32 = 0x200;
const LOCAL: u32 = 0x8000_0000;
const LOOPBACK: &str = "lo";

/// The interface for `address`: longest prefix, then lowest metric. `v4` is `net/route`, `trie`
/// is `net/fib_trie`, `v6` is `net/ipv6_route`. `None` without a route.
pub(crate) fn interface_for(address: IpAddr, v4: &str, trie: &str, v6: &str) -> Option<String> {
    if address.is_loopback() {
        return Some(LOOPBACK.to_owned());
    }
    match address {
        IpAddr::V4(address) if is_local(address, trie) => Some(LOOPBACK.to_owned()),
        IpAddr::V4(address) => best(v4.lines().skip(1).filter_map(route_v4), |prefix, length| {
            masked(u128::from(address.to_bits()) << 96, length) == prefix
        }),
        IpAddr::V6(address) => best(v6.lines().filter_map(route_v6), |prefix, length| {
            masked(address.to_bits(), length) == prefix
        }),
    }
}

/// A route; addresses of both families are left-aligned in 128 bits.
struct Route {
    prefix: u128,
    length: u32,
    metric: u32,
    interface: String,
}

fn best(routes: impl Iterator<Item = Route>, covers: impl Fn(u128, u32) -> bool) -> Option<String> {
    routes
        .filter(|route| covers(route.prefix, route.length))
        .min_by_key(|route| (u32::MAX - route.length, route.metric))
        .map(|route| route.interface)
}

fn masked(address: u128, length: u32) -> u128 {
    match length {
        0 => 0,
        length => address & (u128::MAX << (128 - length.min(128))),
    }
}

/// `Iface Destination Gateway Flags RefCnt Use Metric Mask ...`, addresses as native words.
fn route_v4(line: &str) -> Option<Route> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let word = |at: usize| u32::from_str_radix(fields.get(at)?, 16).ok();
    let flags = word(3)?;
    if flags & UP == 0 || flags & REJECT != 0 {
        return None;
    }
    // The words are in network order as they lie in memory.
    let bits = |word: u32| u32::from_be_bytes(word.to_ne_bytes());
    Some(Route {
        prefix: u128::from(bits(word(1)?)) << 96,
        length: bits(word(7)?).leading_ones(),
        metric: fields.get(6)?.parse().ok()?,
        interface: (*fields.first()?).to_owned(),
    })
}

/// `prefix length source length nexthop metric refcnt use flags iface`, all hexadecimal.
fn route_v6(line: &str) -> Option<Route> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let word = |at: usize| u32::from_str_radix(fields.get(at)?, 16).ok();
    let flags = word(8)?;
    if flags & UP == 0 || flags & REJECT != 0 {
        return None;
    }
    let interface = if flags & LOCAL != 0 {
        LOOPBACK
    } else {
        fields.get(9)?
    };
    Some(Route {
        prefix: u128::from_str_radix(fields.first()?, 16).ok()?,
        length: word(1)?,
        metric: word(5)?,
        interface: interface.to_owned(),
    })
}

/// Whether the address is the host's own: `|-- ADDRESS` followed by `/32 host LOCAL`.
fn is_local(address: Ipv4Addr, trie: &str) -> bool {
    let mut lines = trie.lines().peekable();
    while let Some(line) = lines.next() {
        let leaf = line.trim_start().strip_prefix("|-- ");
        if leaf.is_some_and(|text| text.trim().parse() == Ok(address))
            && lines
                .peek()
                .is_some_and(|next| next.trim() == "/32 host LOCAL")
        {
            return true;
        }
    }
    false
}

/// An IPv4 address in IPv6's clothes is IPv4.
pub(crate) fn plain(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address, IpAddr::V4),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv6Addr;

    // Read on a host with a default route, a network and a rejected host route.
    const V4: &str =
        "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t010014AC\t0003\t0\t0\t100\t00000000\t0\t0\t0
wlan0\t00000000\t010014AC\t0003\t0\t0\t600\t00000000\t0\t0\t0
va\t00004D0A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
*\t05004D0A\t00000000\t0205\t0\t0\t0\tFFFFFFFF\t0\t0\t0
";
    const TRIE: &str = "Main:
  +-- 10.77.0.0/24 2 0 2
     |-- 10.77.0.0
        /24 link UNICAST
Local:
     |-- 10.77.0.1
        /32 host LOCAL
     |-- 10.77.0.255
        /32 link BROADCAST
";
    const V6: &str = "\
fd770000000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001       va
00000000000000000000000000000000 00 00000000000000000000000000000000 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003     eth0
fd770000000000000000000000000001 80 00000000000000000000000000000000 00 00000000000000000000000000000000 00000000 00000003 00000000 80200001       va
00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo
";

    #[test]
    fn the_longest_prefix_wins() {
        for (address, interface) in [
            ("10.77.0.2", "va"),
            ("10.77.0.5", "va"),
            ("10.77.0.1", "lo"),
            ("192.0.2.1", "eth0"),
            ("127.0.0.1", "lo"),
            ("fd77::2", "va"),
            ("fd77::1", "lo"),
            ("2001:db8::1", "eth0"),
            ("::1", "lo"),
        ] {
            let found = interface_for(address.parse().unwrap(), V4, TRIE, V6);
            assert_eq!(found.as_deref(), Some(interface), "{address}");
        }
        let nowhere = "192.0.2.1".parse().unwrap();
        assert_eq!(interface_for(nowhere, "header\n", "", ""), None);
    }

    #[test]
    fn mapped_addresses_are_plain() {
        let mapped = IpAddr::V6(Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped());
        assert_eq!(plain(mapped), IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)));
        assert_eq!(plain(IpAddr::V6(Ipv6Addr::LOCALHOST)).to_string(), "::1");
    }
}
