//! Echoes: questions that do not wait for each other's answers.
//!
//! Answers are fetched when the next question is due, and carry the time at which the kernel
//! received them: a thread that woke up for each would take twice the processor time, and would
//! count its own waking up as latency.

use std::io::{self, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn,
    connect, recvmsg, send, setsockopt, socket, sockopt,
};
use nix::sys::time::TimeSpec;

use super::clock::{ClockPair, monotonic_ns};
use super::icmp;
use super::probe::{Ending, Progress, Ticks, wait};
use super::sample::{ProbeError, ProbeSample};

/// Longer than any of our answers, and those of others we may see.
const ROOM: usize = 256;
/// Room of the kernel for answers until they are fetched: those of some seconds of blackout may
/// come all at once, each in a buffer of about a KiB.
const BACKLOG: usize = 4 << 20;

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
        setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
        if setsockopt(&socket, sockopt::RcvBufForce, &BACKLOG).is_err() {
            // Without root as much as everybody may have; what is lost then was late anyway.
            setsockopt(&socket, sockopt::RcvBuf, &BACKLOG)?;
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

    /// The next packet that lies ready.
    fn receive(&self, control: &mut [u8]) -> Result<Packet, Errno> {
        let mut room = [0; ROOM];
        let mut parts = [IoSliceMut::new(&mut room)];
        let flags = MsgFlags::MSG_DONTWAIT;
        let message =
            recvmsg::<SockaddrIn>(self.socket.as_raw_fd(), &mut parts, Some(control), flags)?;
        let stamp = message.cmsgs()?.find_map(|control| match control {
            ControlMessageOwned::ScmTimestampns(time) => Some(time),
            _ => None,
        });
        let length = message.bytes;
        let packet = &room[..length.min(ROOM)];
        Ok(Packet {
            number: match self.form {
                Form::Icmp { header } => icmp::answered(packet, header, self.nonce),
                Form::Udp => datagram(packet, self.nonce),
            },
            realtime_ns: stamp.and_then(nanoseconds),
        })
    }

    /// Fetches all that came in.
    fn fetch(
        &self,
        samples: &mut [ProbeSample],
        control: &mut [u8],
        progress: &Progress,
    ) -> io::Result<()> {
        let mut clocks = None;
        loop {
            match self.receive(control) {
                Ok(Packet {
                    number: Some(number),
                    realtime_ns,
                }) => {
                    let now = *clocks.get_or_insert_with(ClockPair::now);
                    let number = usize::try_from(number).unwrap_or(usize::MAX);
                    if let Some(sample) = samples.get_mut(number) {
                        let at = received_ns(&now, realtime_ns);
                        sample.answer(at);
                        progress.answered(at);
                    }
                }
                Ok(Packet { number: None, .. }) | Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Ok(()),
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
}

/// What was received.
struct Packet {
    /// The number of the question that it answers; `None` for a packet that is not for us.
    number: Option<u64>,
    /// When the kernel had it, since 1970.
    realtime_ns: Option<u64>,
}

fn nanoseconds(time: TimeSpec) -> Option<u64> {
    let seconds = u64::try_from(time.tv_sec()).ok()?;
    Some(seconds * 1_000_000_000 + u64::try_from(time.tv_nsec()).ok()?)
}

/// The monotonic time of a packet that was received at most a pace before now. A clock on the wall
/// that was set in between makes it now at the latest.
fn received_ns(now: &ClockPair, realtime_ns: Option<u64>) -> u64 {
    let ago = realtime_ns.map_or(0, |at| now.realtime_ns.saturating_sub(at));
    now.monotonic_ns.saturating_sub(ago)
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
    let mut control = nix::cmsg_space!(TimeSpec);
    loop {
        let now = monotonic_ns();
        if !ticks.is_due(now) {
            wait(&mut [], ticks.next_ns())?;
            continue;
        }
        // Before the next is asked: the error of an earlier question would keep it from being sent.
        echo.fetch(&mut samples, &mut control, progress)?;
        if progress.is_stopped() {
            if ending.is_over(now, &samples) {
                return Ok(samples);
            }
            continue;
        }
        let mut sample = ProbeSample::open(monotonic_ns());
        sample.error = match echo.send(samples.len() as u64) {
            Ok(()) => None,
            Err(errno) => Some(fault(errno)?),
        };
        samples.push(sample);
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
    fn answers_are_as_old_as_the_kernel_says() {
        let now = ClockPair {
            monotonic_ns: 10_000,
            realtime_ns: 90_000,
            uncertainty_ns: 0,
        };
        assert_eq!(received_ns(&now, Some(86_000)), 6_000);
        assert_eq!(received_ns(&now, None), 10_000);
        assert_eq!(received_ns(&now, Some(95_000)), 10_000, "set back since");
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
