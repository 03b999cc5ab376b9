//! A probe: its thread, and the pace of its questions.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, ppoll};
use nix::sys::time::TimeSpec;
use vmferry_core::Millis;

use super::clock::monotonic_ns;
use super::sample::{ProbeKind, ProbeSample, ProbeSamples};
use super::{connects, echo, requests};
use crate::MeasureError;
use crate::cpu_clock::thread_cpu_time;
use crate::network_namespace;

/// From question to question: `virtlm2011` probes downtimes of 60 ms and more, and 5 ms tell them to
/// a tenth.
pub const USUAL_PACE: Duration = Duration::from_millis(5);

/// The quickest pace: beyond it, probing costs more than it tells.
const QUICKEST: Duration = Duration::from_millis(1);

/// How long answers are still taken after the last question.
pub(super) const GRACE_NS: u64 = 1_000_000_000;

/// Ahead of the guests of a full machine, whose turns would otherwise look like latency. Asking
/// takes some percent of a core, so that nobody waits for it.
const NICE: i32 = -10;

/// Whom to ask, from where, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeTarget {
    /// The guest.
    pub guest: Ipv4Addr,
    /// The network to ask from, as a file (`/run/netns/NAME`, `/proc/PID/ns/net`); `None` for that
    /// of this process. Needs root.
    pub namespace: Option<PathBuf>,
    /// From question to question, 1 ms at least.
    pub pace: Duration,
}

impl ProbeTarget {
    /// A guest, from this network, every 5 ms.
    #[must_use]
    pub fn new(guest: Ipv4Addr) -> Self {
        Self {
            guest,
            namespace: None,
            pace: USUAL_PACE,
        }
    }
}

/// Asks a guest the same again and again, on a thread of its own. Dropping it ends it.
#[derive(Debug)]
pub struct ReachProbe {
    kind: ProbeKind,
    guest: Ipv4Addr,
    progress: Arc<Progress>,
    thread: Option<JoinHandle<io::Result<ProbeSamples>>>,
}

/// What the thread and its owner share.
#[derive(Debug, Default)]
pub(super) struct Progress {
    stop: AtomicBool,
    /// 0 before the first answer.
    answered_ns: AtomicU64,
}

impl Progress {
    pub(super) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    pub(super) fn answered(&self, now_ns: u64) {
        self.answered_ns.store(now_ns, Ordering::Relaxed);
    }
}

impl ReachProbe {
    /// Starts to ask. An absent guest is no error: it is what probes are for.
    ///
    /// # Errors
    /// [`MeasureError::Probe`] when the network cannot be entered or the sockets not be made, as
    /// without root for ICMP; [`MeasureError::BadOption`] for a pace below 1 ms.
    pub fn start(kind: ProbeKind, target: &ProbeTarget) -> Result<Self, MeasureError> {
        if target.pace < QUICKEST {
            return Err(MeasureError::BadOption {
                option: "pace of a probe",
                problem: format!("{:?} is below 1 ms; give at least that", target.pace),
            });
        }
        let progress = Arc::new(Progress::default());
        let (shared, wanted) = (Arc::clone(&progress), target.clone());
        let (ready, opened) = std::sync::mpsc::channel();
        let thread = thread::Builder::new()
            .name(format!("probe-{}", thread_name(kind)))
            .spawn(move || run(kind, &wanted, &shared, &ready))
            .map_err(|source| MeasureError::Thread { source })?;
        let mut probe = Self {
            kind,
            guest: target.guest,
            progress,
            thread: Some(thread),
        };
        // Without a word the thread has failed, and says why itself.
        if opened.recv().is_err() {
            return Err(match probe.join() {
                Err(error) => error,
                Ok(_) => probe.failed(io::Error::other("it ended before it began")),
            });
        }
        Ok(probe)
    }

    /// What is asked.
    #[must_use]
    pub fn kind(&self) -> ProbeKind {
        self.kind
    }

    /// When the last answer came, by `CLOCK_MONOTONIC`; `None` before the first. It may be asked
    /// for at any time: whoever has a client that makes no progress sees here whether the guest
    /// still answers.
    #[must_use]
    pub fn last_answered_ns(&self) -> Option<u64> {
        Some(self.progress.answered_ns.load(Ordering::Relaxed)).filter(|at| *at > 0)
    }

    /// Stops asking, takes answers for one more second where some are missing, and gives all that
    /// was seen.
    ///
    /// # Errors
    /// When the probe failed for a reason other than an absent guest.
    pub fn stop(mut self) -> Result<ProbeSamples, MeasureError> {
        self.join()
    }

    fn join(&mut self) -> Result<ProbeSamples, MeasureError> {
        self.progress.stop.store(true, Ordering::Relaxed);
        let dead = || io::Error::other("its thread died");
        let ended = self.thread.take().map(JoinHandle::join);
        match ended {
            Some(Ok(Ok(samples))) => Ok(samples),
            Some(Ok(Err(error))) => Err(self.failed(error)),
            Some(Err(_)) | None => Err(self.failed(dead())),
        }
    }

    fn failed(&self, source: io::Error) -> MeasureError {
        MeasureError::Probe {
            kind: self.kind,
            guest: self.guest,
            source,
        }
    }
}

impl Drop for ReachProbe {
    fn drop(&mut self) {
        if self.thread.is_some() {
            // Nobody asks for the samples any more.
            let _ = self.join();
        }
    }
}

/// What shows in `top`: 15 bytes with the prefix.
fn thread_name(kind: ProbeKind) -> &'static str {
    match kind {
        ProbeKind::IcmpEcho => "icmp",
        ProbeKind::UdpEcho { .. } => "udp",
        ProbeKind::TcpConnect { .. } | ProbeKind::TcpRefusal { .. } => "tcp",
        ProbeKind::Request { .. } => "request",
    }
}

fn run(
    kind: ProbeKind,
    target: &ProbeTarget,
    progress: &Progress,
    ready: &std::sync::mpsc::Sender<()>,
) -> io::Result<ProbeSamples> {
    if let Some(namespace) = &target.namespace {
        network_namespace::enter_file(namespace)?;
    }
    hurry();
    let before = thread_cpu_time();
    let ticks = Ticks::every(target.pace);
    let at = |port| SocketAddrV4::new(target.guest, port);
    // The owner may be gone already.
    let begin = || {
        let _ = ready.send(());
    };
    let samples = match kind {
        ProbeKind::IcmpEcho => {
            let socket = echo::icmp(target.guest)?;
            begin();
            echo::ask(&socket, ticks, progress)
        }
        ProbeKind::UdpEcho { port } => {
            let socket = echo::udp(at(port))?;
            begin();
            echo::ask(&socket, ticks, progress)
        }
        ProbeKind::TcpConnect { port } => {
            begin();
            connects::ask(at(port), false, ticks, progress)
        }
        ProbeKind::TcpRefusal { port } => {
            begin();
            connects::ask(at(port), true, ticks, progress)
        }
        ProbeKind::Request { protocol, port } => {
            begin();
            requests::ask(at(port), protocol, ticks, progress)
        }
    }?;
    Ok(ProbeSamples {
        kind,
        pace_ms: target.pace.into(),
        cpu_ms: Millis::from(thread_cpu_time().saturating_sub(before)),
        samples,
    })
}

/// Raises this thread, and no other, above ordinary ones; without the right to, it stays as it is.
#[expect(
    unsafe_code,
    reason = "neither std nor nix changes a thread's niceness"
)]
fn hurry() {
    // SAFETY: a plain system call without pointers; 0 means the calling thread.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICE) };
}

/// Says when the next question is due.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticks {
    pace_ns: u64,
    next_ns: u64,
}

impl Ticks {
    fn every(pace: Duration) -> Self {
        Self {
            pace_ns: u64::try_from(pace.as_nanos()).unwrap_or(u64::MAX / 2),
            next_ns: monotonic_ns(),
        }
    }

    /// Whether a question is due; if so, the next comes a pace later. Those that were missed are
    /// not made up for: a burst would measure itself.
    pub(super) fn is_due(&mut self, now_ns: u64) -> bool {
        if now_ns < self.next_ns {
            return false;
        }
        self.next_ns += self.pace_ns;
        if self.next_ns <= now_ns {
            self.next_ns = now_ns + self.pace_ns;
        }
        true
    }

    /// When the next question is due.
    pub(super) fn next_ns(&self) -> u64 {
        self.next_ns
    }
}

/// After the end of asking: until when answers are taken.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ending(Option<u64>);

impl Ending {
    /// Whether it is over: a grace has passed, or none of the last questions is open.
    pub(super) fn is_over(&mut self, now_ns: u64, samples: &[ProbeSample]) -> bool {
        let until = *self.0.get_or_insert(now_ns + GRACE_NS);
        let open = |one: &ProbeSample| one.latency_ms.is_none() && one.error.is_none();
        let last = samples.iter().rev();
        now_ns >= until
            || !last
                .take_while(|one| one.asked_ns + 2 * GRACE_NS > until)
                .any(open)
    }
}

/// Waits for one of the files, or until a moment.
pub(super) fn wait(files: &mut [PollFd<'_>], until_ns: u64) -> io::Result<()> {
    let left = until_ns.saturating_sub(monotonic_ns());
    match ppoll(
        files,
        Some(TimeSpec::from_duration(Duration::from_nanos(left))),
        None,
    ) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_come_at_the_pace_and_never_in_bursts() {
        let mut ticks = Ticks {
            pace_ns: 5,
            next_ns: 100,
        };
        let due: Vec<u64> = (98..130)
            .filter(|now| !(112..121).contains(now))
            .filter(|now| ticks.is_due(*now))
            .collect();
        assert_eq!(due, [100, 105, 110, 121, 126]);
    }

    #[test]
    fn a_pace_that_burns_a_core_is_refused() {
        let target = ProbeTarget {
            pace: Duration::from_micros(10),
            ..ProbeTarget::new(Ipv4Addr::LOCALHOST)
        };
        let error = ReachProbe::start(ProbeKind::IcmpEcho, &target).unwrap_err();
        assert!(error.to_string().contains("1 ms"), "{error}");
    }

    #[test]
    fn a_network_that_is_not_there_is_an_error() {
        let target = ProbeTarget {
            namespace: Some("/run/netns/vmferry-none".into()),
            ..ProbeTarget::new(Ipv4Addr::LOCALHOST)
        };
        let kind = ProbeKind::TcpConnect { port: 9 };
        let error = ReachProbe::start(kind, &target).unwrap_err().to_string();
        assert!(error.contains("TCP connect, port 9"), "{error}");
        assert!(error.contains("127.0.0.1"), "{error}");
    }

    #[test]
    fn the_end_waits_for_open_questions_alone() {
        let second = GRACE_NS;
        let mut open = ProbeSample::open(10 * second);
        assert!(!Ending::default().is_over(10 * second, &[open]));
        let mut ending = Ending::default();
        assert!(!ending.is_over(10 * second, &[open]));
        assert!(ending.is_over(11 * second, &[open]), "the grace is over");
        open.answer(10 * second + 5);
        assert_eq!(open.latency_ms, Some(Millis(5e-6)));
        assert!(Ending::default().is_over(10 * second, &[open]));
        let lost = ProbeSample::open(2 * second);
        assert!(Ending::default().is_over(10 * second, &[lost, open]));
    }
}
