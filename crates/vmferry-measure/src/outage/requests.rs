//! A service's own requests: one after the other, over one connection that stays.

use std::io;
use std::net::SocketAddrV4;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, SockaddrIn, connect, getsockopt, recv, send,
    setsockopt, socket, sockopt,
};

use super::clock::monotonic_ns;
use super::dialogue::{Dialogue, Turn};
use super::echo::fault;
use super::probe::{GRACE_NS, Progress, Ticks, wait};
use super::sample::{ProbeError, ProbeSample, Protocol};

/// How long a request may hang before it is given up: longer than any blackout that is worth
/// measuring. A connection's own retransmissions go on for 15 minutes.
const PATIENCE_NS: u64 = 60_000_000_000;

/// How long making a connection may take. The kernel tries again after 1 s and 3 s; a new attempt
/// finds a guest that is back sooner.
const CONNECT_PATIENCE_NS: u64 = 3_000_000_000;

/// How often a hanging request looks whether it is to stop.
const NOTICE_NS: u64 = 100_000_000;

/// Room for what a service sends at once.
const ROOM: usize = 16 << 10;

/// Asks until told to stop. Where there is no connection, making one is part of the question.
pub(super) fn ask(
    server: SocketAddrV4,
    protocol: Protocol,
    mut ticks: Ticks,
    progress: &Progress,
) -> io::Result<Vec<ProbeSample>> {
    let mut samples = Vec::new();
    let mut connection = None;
    while !progress.is_stopped() {
        let now = monotonic_ns();
        if !ticks.is_due(now) {
            wait(&mut [], ticks.next_ns())?;
            continue;
        }
        let mut question = Question {
            until_ns: now + PATIENCE_NS,
            stop_ns: None,
            progress,
        };
        let mut sample = ProbeSample::open(now);
        match question.answered(&mut connection, server, protocol) {
            Ok(()) => {
                let now = monotonic_ns();
                sample.answer(now);
                progress.answered(now);
            }
            Err(End::Stopped) => {
                samples.push(sample);
                break;
            }
            Err(End::Failed(error)) => {
                connection = None;
                sample.error = Some(error);
            }
            Err(End::Broken(error)) => return Err(error),
        }
        samples.push(sample);
        if connection.as_ref().is_some_and(Connection::is_worn) {
            connection = None;
        }
    }
    Ok(samples)
}

/// A connection that has been greeted.
struct Connection {
    socket: OwnedFd,
    dialogue: Dialogue,
    /// The service closes it.
    closing: bool,
    made_ns: u64,
    requests: u32,
}

impl Connection {
    /// Whether the service would not take much more over it.
    fn is_worn(&self) -> bool {
        let age = monotonic_ns().saturating_sub(self.made_ns);
        self.closing || self.dialogue.is_worn(self.requests, age)
    }

    /// Whether the service has closed it while nothing was asked.
    fn is_gone(&self) -> bool {
        let mut byte = [0];
        let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
        !matches!(
            recv(self.socket.as_raw_fd(), &mut byte, flags),
            Err(Errno::EAGAIN | Errno::EINTR)
        )
    }
}

/// Why a question ended without an answer.
enum End {
    Failed(ProbeError),
    /// The probe is to end.
    Stopped,
    /// The probe itself failed.
    Broken(io::Error),
}

impl From<Errno> for End {
    fn from(errno: Errno) -> Self {
        match fault(errno) {
            Ok(error) => Self::Failed(error),
            Err(error) => Self::Broken(error),
        }
    }
}

struct Question<'a> {
    until_ns: u64,
    /// When it ends because the probe does.
    stop_ns: Option<u64>,
    progress: &'a Progress,
}

impl Question<'_> {
    fn answered(
        &mut self,
        connection: &mut Option<Connection>,
        server: SocketAddrV4,
        protocol: Protocol,
    ) -> Result<(), End> {
        if connection.as_ref().is_some_and(Connection::is_gone) {
            *connection = None;
        }
        let connection = match connection {
            Some(connection) => connection,
            None => connection.insert(self.connected(server, protocol)?),
        };
        let request = connection.dialogue.request();
        self.send(&connection.socket, &request)?;
        match self.turn(connection)? {
            Turn::Answered { closing } => {
                connection.requests += 1;
                connection.closing = closing;
                Ok(())
            }
            _ => Err(End::Failed(ProbeError::NotUnderstood)),
        }
    }

    fn connected(&mut self, server: SocketAddrV4, protocol: Protocol) -> Result<Connection, End> {
        let socket = socket(
            AddressFamily::Inet,
            SockType::Stream,
            SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC,
            None,
        )?;
        setsockopt(&socket, sockopt::TcpNoDelay, &true)?;
        match connect(socket.as_raw_fd(), &SockaddrIn::from(server)) {
            Ok(()) => {}
            Err(Errno::EINPROGRESS) => {
                let patient = self.until_ns;
                self.until_ns = patient.min(monotonic_ns() + CONNECT_PATIENCE_NS);
                self.until(&socket, PollFlags::POLLOUT)?;
                self.until_ns = patient;
                match getsockopt(&socket, sockopt::SocketError)? {
                    0 => {}
                    errno => return Err(Errno::from_raw(errno).into()),
                }
            }
            Err(errno) => return Err(errno.into()),
        }
        let mut connection = Connection {
            socket,
            dialogue: Dialogue::in_protocol(protocol),
            closing: false,
            made_ns: monotonic_ns(),
            requests: 0,
        };
        let opening = connection.dialogue.opening();
        self.send(&connection.socket, &opening)?;
        while !connection.dialogue.is_ready() {
            match self.turn(&mut connection)? {
                Turn::Say(words) => self.send(&connection.socket, &words)?,
                Turn::Ready => break,
                Turn::More | Turn::Answered { .. } => {
                    return Err(End::Failed(ProbeError::NotUnderstood));
                }
            }
        }
        Ok(connection)
    }

    /// Takes what the service sends until that means something.
    fn turn(&mut self, connection: &mut Connection) -> Result<Turn, End> {
        let mut room = [0; ROOM];
        // What came behind an earlier turn may mean something already.
        let mut received: &[u8] = &[];
        loop {
            match connection.dialogue.take(received).map_err(End::Failed)? {
                Turn::More => {}
                turn => return Ok(turn),
            }
            self.until(&connection.socket, PollFlags::POLLIN)?;
            received = match recv(connection.socket.as_raw_fd(), &mut room, MsgFlags::empty()) {
                Ok(0) => return Err(End::Failed(ProbeError::ConnectionLost)),
                Ok(length) => &room[..length.min(ROOM)],
                Err(Errno::EAGAIN | Errno::EINTR) => &[],
                Err(errno) => return Err(errno.into()),
            };
        }
    }

    fn send(&mut self, socket: &OwnedFd, mut words: &[u8]) -> Result<(), End> {
        while !words.is_empty() {
            match send(socket.as_raw_fd(), words, MsgFlags::MSG_NOSIGNAL) {
                Ok(sent) => words = words.get(sent..).unwrap_or_default(),
                Err(Errno::EAGAIN) => self.until(socket, PollFlags::POLLOUT)?,
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }

    /// Waits for the socket.
    fn until(&mut self, socket: &OwnedFd, what: PollFlags) -> Result<(), End> {
        loop {
            let now = monotonic_ns();
            if now >= self.until_ns {
                return Err(End::Failed(ProbeError::GivenUp));
            }
            if self.progress.is_stopped() && now >= *self.stop_ns.get_or_insert(now + GRACE_NS) {
                return Err(End::Stopped);
            }
            let mut file = [PollFd::new(socket.as_fd(), what)];
            wait(&mut file, self.until_ns.min(now + NOTICE_NS)).map_err(End::Broken)?;
            if file[0].any() == Some(true) {
                return Ok(());
            }
        }
    }
}
