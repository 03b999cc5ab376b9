//! The transfer: a sender in the source's network, a receiver in the destination's.

use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, recv};
use rand::rngs::SmallRng;
use rand::{RngCore, SeedableRng};

use super::LinkOptions;
use super::acknowledged::acknowledged;
use crate::MeasureError;
use crate::network_namespace;

/// How soon both threads notice that they are to stop.
const NOTICE: Duration = Duration::from_millis(100);

/// What a step of a thread fails with.
type Failure = (&'static str, io::Error);

/// A transfer under way; dropping it ends it.
#[derive(Debug)]
pub(super) struct Transfer {
    stream: TcpStream,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Result<(), Failure>>>,
}

impl Transfer {
    /// Connects and begins to send.
    pub(super) fn start(
        source: u32,
        destination: u32,
        address: IpAddr,
        options: &LinkOptions,
    ) -> Result<Self, MeasureError> {
        let fail = |(step, source)| MeasureError::Link {
            address,
            step,
            source,
        };
        let listener = within(destination, move || {
            TcpListener::bind((address, 0)).map_err(|e| ("listening at the destination", e))
        })
        .map_err(fail)?;
        let port = listener
            .local_addr()
            .map_err(|e| fail(("listening at the destination", e)))?
            .port();
        let timeout = options.connect_timeout;
        // The connection stands as soon as the kernel has it, before anybody accepts it.
        let stream = within(source, move || {
            TcpStream::connect_timeout(&SocketAddr::new(address, port), timeout)
                .map_err(|e| ("connecting from the source", e))
        })
        .map_err(fail)?;
        let sender = stream.try_clone().map_err(|e| fail(("sending", e)))?;
        let stop = Arc::new(AtomicBool::new(false));
        let mut transfer = Self {
            stream,
            stop: Arc::clone(&stop),
            threads: Vec::new(),
        };
        let until = Arc::clone(&stop);
        transfer.spawn("link receiver", move || receive(&listener, timeout, &until))?;
        let limit = options.limit.0;
        transfer.spawn("link sender", move || send(sender, limit, &stop))?;
        Ok(transfer)
    }

    /// Payload that has arrived.
    pub(super) fn arrived(&self) -> io::Result<u64> {
        acknowledged(&self.stream)
    }

    /// Whether the receiver has stopped by itself, because the connection is lost.
    pub(super) fn has_ended(&self) -> bool {
        self.threads.first().is_some_and(JoinHandle::is_finished)
    }

    /// Stops both ends.
    pub(super) fn finish(mut self, address: IpAddr) -> Result<(), MeasureError> {
        self.stop().map_err(|(step, source)| MeasureError::Link {
            address,
            step,
            source,
        })
    }

    fn stop(&mut self) -> Result<(), Failure> {
        self.stop.store(true, Ordering::Relaxed);
        let mut result = Ok(());
        for thread in self.threads.drain(..) {
            let ended = thread
                .join()
                .unwrap_or_else(|_| Err(("transferring", io::Error::other("a thread died"))));
            result = result.and(ended);
        }
        result
    }

    fn spawn(
        &mut self,
        name: &str,
        work: impl FnOnce() -> Result<(), Failure> + Send + 'static,
    ) -> Result<(), MeasureError> {
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .spawn(work)
            .map_err(|source| MeasureError::Thread { source })?;
        self.threads.push(thread);
        Ok(())
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        if let Err((step, error)) = self.stop() {
            tracing::debug!(step, %error, "the link's transfer ended");
        }
    }
}

/// Runs `open` on a thread in the network of process `pid`: a socket belongs to the network it was
/// opened in, whoever uses it.
fn within<T: Send + 'static>(
    pid: u32,
    open: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let entering = |error| ("entering the network of a guest (needs root)", error);
    thread::Builder::new()
        .spawn(move || {
            network_namespace::enter(pid).map_err(entering)?;
            open()
        })
        .map_err(entering)?
        .join()
        .unwrap_or_else(|_| Err(entering(io::Error::other("a thread died"))))
}

fn receive(listener: &TcpListener, timeout: Duration, stop: &AtomicBool) -> Result<(), Failure> {
    let failed = |error| ("receiving at the destination", error);
    let start = Instant::now();
    while !is_ready(listener).map_err(failed)? {
        if stop.load(Ordering::Relaxed) {
            return Ok(());
        }
        if start.elapsed() > timeout {
            return Err(failed(io::ErrorKind::TimedOut.into()));
        }
    }
    let (stream, _) = listener.accept().map_err(failed)?;
    stream.set_read_timeout(Some(NOTICE)).map_err(failed)?;
    let mut room = vec![0; 1 << 20];
    loop {
        // Truncating to nothing takes the data out of the socket without copying it.
        match recv(stream.as_raw_fd(), &mut room, MsgFlags::MSG_TRUNC) {
            // The sender has gone.
            Ok(0) | Err(Errno::ECONNRESET) => return Ok(()),
            Ok(_) | Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(errno) => return Err(failed(errno.into())),
        }
        if stop.load(Ordering::Relaxed) {
            return Ok(());
        }
    }
}

fn is_ready(listener: &TcpListener) -> io::Result<bool> {
    let mut wait = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
    let limit = PollTimeout::try_from(NOTICE).map_err(io::Error::other)?;
    match poll(&mut wait, limit) {
        Ok(ready) => Ok(ready > 0),
        Err(Errno::EINTR) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

fn send(mut stream: TcpStream, limit: u64, stop: &AtomicBool) -> Result<(), Failure> {
    let failed = |error| ("sending from the source", error);
    stream.set_write_timeout(Some(NOTICE)).map_err(failed)?;
    // Noise, so that nothing on the way can compress it.
    let mut noise = vec![0; 1 << 17];
    SmallRng::seed_from_u64(limit).fill_bytes(&mut noise);
    let mut sent = 0;
    while sent < limit && !stop.load(Ordering::Relaxed) {
        match stream.write(&noise) {
            Ok(bytes) => sent += bytes as u64,
            Err(error) if is_patient(&error) => {}
            // The receiver closes first when time is up.
            Err(_) if stop.load(Ordering::Relaxed) => break,
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(())
}

fn is_patient(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
    )
}
