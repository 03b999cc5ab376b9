//! Echoes: questions that do not wait for each other's answers.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, connect, recv, send,
    socket,
};

use super::clock::monotonic_ns;
use super::icmp;
use super::probe::{Ending, Progress, Ticks, wait};
use super::sample::{ProbeError, ProbeSample};

/// Longer than any of our answers, and those of others we may see.
const ROOM: usize = 256;

/// A socket to one guest.
pub(super) struct Echo {
    socket: OwnedFd,
    form: Form,
    /// Tells our packets from those of others.
    nonce: u64,
}

#[derive(Clone, Copy)]
enum Form {
    /// A raw socket gives packets with the header of IP, an unprivileged one without.
    Icmp {
        header: bool,
    },
    Udp,
}

/// A socket for ICMP: a raw one, or the kernel's unprivileged kind where `ping_group_range` allows
/// that.
pub(super) fn icmp(guest: Ipv4Addr) -> io::Result<Echo> {
    let open = |kind| {
        socket(
            AddressFamily::Inet,
            kind,
            SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC,
            SockProtocol::Icmp,
        )
    };
    let (socket, header) = match open(SockType::Raw) {
        Err(Errno::EPERM | Errno::EACCES) => (open(SockType::Datagram)?, false),
        opened => (opened?, true),
    };
    Echo::connected(socket, SocketAddrV4::new(guest, 0), Form::Icmp { header })
}

/// A socket for datagrams.
pub(super) fn udp(server: SocketAddrV4) -> io::Result<Echo> {
    let socket = socket(
        AddressFamily::Inet,
        SockType::Datagram,
        SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    Echo::connected(socket, server, Form::Udp)
}

impl Echo {
    fn connected(socket: OwnedFd, guest: SocketAddrV4, form: Form) -> io::Result<Self> {
        // Only what the guest sends is received from here on.
        match connect(socket.as_raw_fd(), &SockaddrIn::from(guest)) {
            Ok(()) => {}
            Err(errno) => return Err(errno.into()),
        }
        // No two probes of a machine begin in the same nanosecond of the same process.
        let nonce = monotonic_ns() ^ (u64::from(std::process::id()) << 40);
        Ok(Self {
            socket,
            form,
            nonce,
        })
    }

    fn send(&self, number: u64) -> Result<(), Errno> {
        let mut datagram = [0; 16];
        let icmp;
        let bytes: &[u8] = match self.form {
            Form::Icmp { .. } => {
                icmp = icmp::request(self.nonce, number);
                &icmp
            }
            Form::Udp => {
                datagram[..8].copy_from_slice(&self.nonce.to_be_bytes());
                datagram[8..].copy_from_slice(&number.to_be_bytes());
                &datagram
            }
        };
        send(self.socket.as_raw_fd(), bytes, MsgFlags::empty()).map(drop)
    }

    /// The next answer that lies ready: the number of its question, or `None` for a packet that is
    /// not for us.
    fn receive(&self) -> Result<Option<u64>, Errno> {
        let mut room = [0; ROOM];
        let length = recv(self.socket.as_raw_fd(), &mut room, MsgFlags::empty())?;
        let packet = &room[..length.min(ROOM)];
        Ok(match self.form {
            Form::Icmp { header } => icmp::answered(packet, header, self.nonce),
            Form::Udp => datagram(packet, self.nonce),
        })
    }
}

fn datagram(packet: &[u8], nonce: u64) -> Option<u64> {
    let (ours, number) = packet.split_at_checked(8)?;
    (ours == nonce.to_be_bytes())
        .then(|| number.try_into().ok().map(u64::from_be_bytes))
        .flatten()
}

/// Asks until told to stop.
pub(super) fn ask(
    echo: &Echo,
    mut ticks: Ticks,
    progress: &Progress,
) -> io::Result<Vec<ProbeSample>> {
    let mut samples: Vec<ProbeSample> = Vec::new();
    let mut ending = Ending::default();
    loop {
        let now = monotonic_ns();
        if progress.is_stopped() {
            if ending.is_over(now, &samples) {
                return Ok(samples);
            }
            ticks.is_due(now);
        } else if ticks.is_due(now) {
            let mut sample = ProbeSample::open(now);
            sample.error = match echo.send(samples.len() as u64) {
                Ok(()) => None,
                Err(errno) => Some(fault(errno)?),
            };
            samples.push(sample);
        }
        let mut file = [PollFd::new(echo.socket.as_fd(), PollFlags::POLLIN)];
        wait(&mut file, ticks.next_ns())?;
        if file[0].any() != Some(true) {
            continue;
        }
        match echo.receive() {
            Ok(Some(number)) => {
                let now = monotonic_ns();
                let number = usize::try_from(number).unwrap_or(usize::MAX);
                if let Some(sample) = samples.get_mut(number) {
                    sample.answer(now);
                    progress.answered(now);
                }
            }
            Ok(None) | Err(Errno::EAGAIN | Errno::EINTR) => {}
            // The answer to an earlier question: nobody is there.
            Err(errno) => {
                let error = fault(errno)?;
                if let Some(last) = samples.last_mut().filter(|one| one.latency_ms.is_none()) {
                    last.error = Some(error);
                }
            }
        }
    }
}

/// An absent guest is what is looked for; anything else ends the probe.
pub(super) fn fault(errno: Errno) -> io::Result<ProbeError> {
    match errno {
        Errno::ECONNREFUSED => Ok(ProbeError::Refused),
        Errno::EHOSTUNREACH | Errno::ENETUNREACH | Errno::EHOSTDOWN | Errno::ENETDOWN => {
            Ok(ProbeError::Unreachable)
        }
        Errno::ECONNRESET | Errno::EPIPE | Errno::ECONNABORTED | Errno::ENOTCONN => {
            Ok(ProbeError::ConnectionLost)
        }
        Errno::ETIMEDOUT => Ok(ProbeError::GivenUp),
        Errno::ENOBUFS
        | Errno::ENOMEM
        | Errno::EMFILE
        | Errno::ENFILE
        | Errno::EADDRNOTAVAIL
        | Errno::EAGAIN
        | Errno::EINTR => Ok(ProbeError::NotAsked),
        _ => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_of_others_are_not_answers() {
        let mut bytes = 9u64.to_be_bytes().to_vec();
        bytes.extend(3u64.to_be_bytes());
        assert_eq!(datagram(&bytes, 9), Some(3));
        assert_eq!(datagram(&bytes, 8), None);
        assert_eq!(datagram(&bytes[..15], 9), None);
        assert_eq!(datagram(&bytes[..3], 9), None);
    }

    #[test]
    fn absence_is_told_from_failure() {
        assert_eq!(
            fault(Errno::EHOSTUNREACH).ok(),
            Some(ProbeError::Unreachable)
        );
        assert_eq!(fault(Errno::ECONNREFUSED).ok(), Some(ProbeError::Refused));
        assert!(fault(Errno::EBADF).is_err());
    }
}
