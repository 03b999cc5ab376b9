//! Connections, made and reset again, without waiting for each other.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddrV4;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrIn, connect, getsockopt, setsockopt, socket, sockopt,
};

use super::clock::monotonic_ns;
use super::echo::fault;
use super::probe::{Ending, Progress, Ticks, wait};
use super::sample::{ProbeError, ProbeSample};

/// Attempts that may hang at once: 1.3 s of them at 5 ms, more than the second after which the
/// kernel tries an attempt again. Beyond that the oldest is given up, so that asking goes on.
const MOST_HANGING: usize = 256;

/// An attempt that hangs.
struct Attempt {
    socket: OwnedFd,
    sample: usize,
}

/// Connects until told to stop. Where `refusal` answers, the port is expected to be closed.
pub(super) fn ask(
    server: SocketAddrV4,
    refusal: bool,
    mut ticks: Ticks,
    progress: &Progress,
) -> io::Result<Vec<ProbeSample>> {
    let mut samples: Vec<ProbeSample> = Vec::new();
    let mut hanging: VecDeque<Attempt> = VecDeque::new();
    let mut ending = Ending::default();
    let settle = |sample: &mut ProbeSample, outcome: Result<(), Errno>| -> io::Result<()> {
        let answered = match outcome {
            Ok(()) => true,
            Err(errno) => {
                let error = fault(errno)?;
                sample.error = Some(error);
                refusal && error == ProbeError::Refused
            }
        };
        if answered {
            let now = monotonic_ns();
            sample.answer(now);
            progress.answered(now);
        }
        Ok(())
    };
    loop {
        let now = monotonic_ns();
        if progress.is_stopped() {
            if ending.is_over(now, &samples) {
                return Ok(samples);
            }
            ticks.is_due(now);
        } else if ticks.is_due(now) {
            if hanging.len() == MOST_HANGING
                && let Some(oldest) = hanging.pop_front()
            {
                samples[oldest.sample].error = Some(ProbeError::GivenUp);
            }
            let mut sample = ProbeSample::open(now);
            match begin(server) {
                Ok((socket, Err(Errno::EINPROGRESS))) => hanging.push_back(Attempt {
                    socket,
                    sample: samples.len(),
                }),
                Ok((_socket, outcome)) => settle(&mut sample, outcome)?,
                Err(errno) => settle(&mut sample, Err(errno))?,
            }
            samples.push(sample);
        }
        let mut files: Vec<PollFd<'_>> = hanging
            .iter()
            .map(|attempt| PollFd::new(attempt.socket.as_fd(), PollFlags::POLLOUT))
            .collect();
        wait(&mut files, ticks.next_ns())?;
        let ready: Vec<bool> = files.iter().map(|file| file.any() == Some(true)).collect();
        for (place, _) in ready.iter().enumerate().rev().filter(|(_, ready)| **ready) {
            if let Some(attempt) = hanging.remove(place) {
                let outcome = match getsockopt(&attempt.socket, sockopt::SocketError) {
                    Ok(0) => Ok(()),
                    Ok(errno) => Err(Errno::from_raw(errno)),
                    Err(errno) => Err(errno),
                };
                settle(&mut samples[attempt.sample], outcome)?;
            }
        }
    }
}

/// Begins to connect. Closing the socket resets the connection: nothing waits for the last packets
/// of thousands of connections.
fn begin(server: SocketAddrV4) -> Result<(OwnedFd, Result<(), Errno>), Errno> {
    let socket = socket(
        AddressFamily::Inet,
        SockType::Stream,
        SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    let reset = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    setsockopt(&socket, sockopt::Linger, &reset)?;
    let outcome = connect(socket.as_raw_fd(), &SockaddrIn::from(server));
    Ok((socket, outcome))
}
