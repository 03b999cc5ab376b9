//! Addresses of network interfaces, by the old ioctls: they need no further crate.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsRawFd;

/// Brings up an interface, with an IPv4 address if given.
pub(crate) fn bring_up(name: &str, address: Option<(Ipv4Addr, u8)>) -> Result<(), String> {
    let told = |what: &str, error: io::Error| format!("cannot {what} of {name}: {error}");
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))
        .map_err(|error| told("reach the settings", error))?;
    if let Some((address, prefix)) = address {
        let mut request = request(name);
        request.ifr_ifru.ifru_addr = socket_address(address);
        control(&socket, libc::SIOCSIFADDR, &mut request)
            .map_err(|error| told("set the address", error))?;
        request.ifr_ifru.ifru_netmask = socket_address(mask(prefix));
        control(&socket, libc::SIOCSIFNETMASK, &mut request)
            .map_err(|error| told("set the netmask", error))?;
    }
    let mut request = request(name);
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    control(&socket, libc::SIOCSIFFLAGS, &mut request)
        .map_err(|error| told("change the state", error))
}

/// Sends everything without another route through a gateway.
pub(crate) fn route_through(gateway: Ipv4Addr) -> Result<(), String> {
    let told = |error: io::Error| format!("cannot set the gateway {gateway}: {error}");
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).map_err(told)?;
    // SAFETY: all zero is a valid `rtentry`: no device, no metric, no addresses.
    let mut route: libc::rtentry = unsafe { std::mem::zeroed() };
    route.rt_dst = socket_address(Ipv4Addr::UNSPECIFIED);
    route.rt_genmask = socket_address(Ipv4Addr::UNSPECIFIED);
    route.rt_gateway = socket_address(gateway);
    route.rt_flags = libc::RTF_UP | libc::RTF_GATEWAY;
    control(&socket, libc::SIOCADDRT, &mut route).map_err(told)
}

/// Name of the first Ethernet card, by the kernel's numbering.
pub(crate) fn first_ethernet() -> Option<String> {
    const ETHERNET: &str = "1";
    let read = |name: &str, file: &str| {
        fs::read_to_string(format!("/sys/class/net/{name}/{file}"))
            .map(|text| text.trim().to_owned())
    };
    fs::read_dir("/sys/class/net")
        .ok()?
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| read(name, "type").is_ok_and(|kind| kind == ETHERNET))
        .min_by_key(|name| {
            read(name, "ifindex")
                .ok()
                .and_then(|index| index.parse::<u32>().ok())
        })
}

fn request(name: &str) -> libc::ifreq {
    // SAFETY: all zero is a valid `ifreq`: an empty name and a zero address.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (place, byte) in request
        .ifr_name
        .iter_mut()
        .zip(name.bytes().take(libc::IFNAMSIZ - 1))
    {
        *place = byte as libc::c_char;
    }
    request
}

fn socket_address(address: Ipv4Addr) -> libc::sockaddr {
    // A `sockaddr_in` by its bytes: two of port, then the address.
    let mut data = [0; 14];
    for (place, byte) in data[2..6].iter_mut().zip(address.octets()) {
        *place = byte as libc::c_char;
    }
    libc::sockaddr {
        sa_family: libc::AF_INET as libc::sa_family_t,
        sa_data: data,
    }
}

fn mask(prefix: u8) -> Ipv4Addr {
    Ipv4Addr::from(u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0))
}

fn control<T>(socket: &UdpSocket, call: libc::c_ulong, argument: &mut T) -> io::Result<()> {
    // SAFETY: callers pass the structure that this call reads, `ifreq` or `rtentry`.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), call as _, &raw mut *argument) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks() {
        assert_eq!(mask(24), Ipv4Addr::new(255, 255, 255, 0));
        assert_eq!(mask(32), Ipv4Addr::BROADCAST);
        assert_eq!(mask(0), Ipv4Addr::UNSPECIFIED);
    }
}
