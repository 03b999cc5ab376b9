//! A client of a guest: asks for an echo again and again, and notes when none comes.

use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::error::TestbedError;
use crate::netns::Namespace;

/// The echo service of the program inside guests.
const ECHO_PORT: u16 = 7;

/// How long after the last question answers are still taken.
const GRACE: Duration = Duration::from_millis(300);

/// A client that asks a guest for an echo (UDP, port 7) at a steady pace. Dropping it ends it.
#[derive(Debug)]
pub struct Probe {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<io::Result<ProbeReport>>>,
}

/// What a client has seen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProbeReport {
    /// Questions asked.
    pub sent: usize,
    /// Questions answered.
    pub answered: usize,
    /// Every series of unanswered questions, in order.
    pub outages: Vec<Outage>,
}

/// A series of unanswered questions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outage {
    /// When the last answered question before it was asked.
    pub from: Instant,
    /// When the first answered question after it was asked; `None` if the guest did not come back.
    pub to: Option<Instant>,
}

impl Outage {
    /// How long the guest was away, to one pace more; `None` if it did not come back.
    #[must_use]
    pub fn duration(&self) -> Option<Duration> {
        self.to.map(|to| to - self.from)
    }
}

impl ProbeReport {
    /// The longest outage that ended; zero where there was none.
    #[must_use]
    pub fn longest_outage(&self) -> Duration {
        self.outages
            .iter()
            .filter_map(Outage::duration)
            .max()
            .unwrap_or_default()
    }

    /// Whether the last questions were answered.
    #[must_use]
    pub fn ends_reachable(&self) -> bool {
        self.answered > 0 && self.outages.last().is_none_or(|outage| outage.to.is_some())
    }

    /// From the times of the questions and which of them were answered.
    fn of(asked: &[Instant], answered: &[bool]) -> Self {
        let mut report = Self {
            sent: asked.len(),
            ..Self::default()
        };
        let mut last_answered = None;
        let mut missing = false;
        for (at, answered) in asked.iter().zip(answered) {
            match (answered, last_answered) {
                (true, Some(from)) if missing => {
                    report.outages.push(Outage {
                        from,
                        to: Some(*at),
                    });
                }
                _ => {}
            }
            if *answered {
                report.answered += 1;
                last_answered = Some(*at);
                missing = false;
            } else {
                missing = true;
            }
        }
        if let (true, Some(from)) = (missing, last_answered.or(asked.first().copied())) {
            report.outages.push(Outage { from, to: None });
        }
        report
    }
}

impl Probe {
    pub(crate) fn start(
        client: &Namespace,
        guest: Ipv4Addr,
        every: Duration,
    ) -> Result<Self, TestbedError> {
        // A socket stays in the namespace in which it was made.
        let socket = client
            .inside(|| {
                let socket = UdpSocket::bind("0.0.0.0:0")?;
                socket.connect((guest, ECHO_PORT))?;
                Ok(socket)
            })?
            .map_err(TestbedError::io(format!("open a socket to {guest}")))?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || ask(&socket, every, &stopped));
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }

    /// Ends the questions and says what was seen.
    ///
    /// # Errors
    /// When the socket failed for a reason other than an absent guest.
    pub fn finish(mut self) -> Result<ProbeReport, TestbedError> {
        self.stop.store(true, Ordering::Relaxed);
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(report)) => report.map_err(TestbedError::io("ask the guest for an echo")),
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            None => Ok(ProbeReport::default()),
        }
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // Nobody asks for the report any more.
            let _ = thread.join();
        }
    }
}

fn ask(socket: &UdpSocket, every: Duration, stop: &AtomicBool) -> io::Result<ProbeReport> {
    let mut asked: Vec<Instant> = Vec::new();
    let mut answered: Vec<bool> = Vec::new();
    let mut next = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        tolerate(socket.send(&(asked.len() as u64).to_be_bytes()))?;
        asked.push(Instant::now());
        answered.push(false);
        next += every;
        listen(socket, next, &mut answered)?;
    }
    listen(socket, Instant::now() + GRACE, &mut answered)?;
    Ok(ProbeReport::of(&asked, &answered))
}

/// Takes answers until a moment.
fn listen(socket: &UdpSocket, until: Instant, answered: &mut [bool]) -> io::Result<()> {
    let mut bytes = [0; 8];
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        socket.set_read_timeout(Some(left))?;
        if tolerate(socket.recv(&mut bytes))? == Some(bytes.len())
            && let Ok(number) = usize::try_from(u64::from_be_bytes(bytes))
            && let Some(answered) = answered.get_mut(number)
        {
            *answered = true;
        }
    }
}

/// An absent guest is what is looked for, not an error: its host answers for it, or nobody does.
fn tolerate(result: io::Result<usize>) -> io::Result<Option<usize>> {
    match result {
        Ok(length) => Ok(Some(length)),
        Err(error) => match error.kind() {
            io::ErrorKind::WouldBlock
            | io::ErrorKind::TimedOut
            | io::ErrorKind::Interrupted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable => Ok(None),
            _ => Err(error),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(pattern: &str) -> (ProbeReport, impl Fn(u64) -> Instant) {
        let zero = Instant::now();
        let at = move |n: u64| zero + Duration::from_millis(10 * n);
        let asked: Vec<Instant> = (0..pattern.len() as u64).map(at).collect();
        let answered: Vec<bool> = pattern.chars().map(|c| c == '+').collect();
        (ProbeReport::of(&asked, &answered), at)
    }

    #[test]
    fn outages_reach_from_answer_to_answer() {
        let (report, at) = report("+++--+-+");
        assert_eq!((report.sent, report.answered), (8, 5));
        assert_eq!(
            report.outages,
            [
                Outage {
                    from: at(2),
                    to: Some(at(5))
                },
                Outage {
                    from: at(5),
                    to: Some(at(7))
                },
            ]
        );
        assert_eq!(report.longest_outage(), Duration::from_millis(30));
        assert!(report.ends_reachable());
    }

    #[test]
    fn a_guest_that_does_not_come_back_is_away() {
        let (gone, at) = report("++--");
        assert_eq!(
            gone.outages,
            [Outage {
                from: at(1),
                to: None
            }]
        );
        assert!(!gone.ends_reachable());
        let (never, _) = report("--");
        assert!(!never.ends_reachable());
        assert_eq!(never.outages.len(), 1);
        assert!(!ProbeReport::default().ends_reachable());
    }

    #[test]
    fn a_late_guest_was_not_away_before_it_was_seen() {
        let (report, _) = report("--++");
        assert_eq!(report.outages, []);
    }
}
