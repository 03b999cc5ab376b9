//! One running ssh, which dies with whoever needs it.
//!
//! ssh must not outlive us, not even when we are killed with SIGKILL. `ssh -N` reads no input, so
//! a pipe that closes would not end it; the kernel's parent-death signal does. That signal is tied
//! to the *thread* that forked, so every ssh gets a thread of its own, which lives exactly as long
//! as it waits for ssh to exit.

use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use nix::sys::prctl;
use nix::sys::signal::{self, SaFlags, SigAction, SigHandler, SigSet, Signal};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::{Pid, getppid};
use tokio::sync::watch;
use tokio::time::timeout;

/// How much of each output is kept.
const KEPT_BYTES: usize = 16 << 20;

/// How long the last words of an ssh that has exited are waited for. They may be held up by a
/// proxy command that keeps the pipe open.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A running ssh. Ended when dropped.
#[derive(Debug)]
pub(crate) struct SshProcess {
    /// `None` once it was reaped: its PID must not be signalled any more.
    child: Arc<Mutex<Option<Child>>>,
    exited: watch::Receiver<Option<ExitStatus>>,
    stdout: watch::Receiver<Captured>,
    stderr: watch::Receiver<Captured>,
}

#[derive(Debug, Default)]
struct Captured {
    bytes: Vec<u8>,
    complete: bool,
}

impl SshProcess {
    /// Starts `command` without input and with both outputs captured.
    pub(crate) fn start(mut command: Command) -> io::Result<Self> {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        die_with_this_thread(&mut command);
        let (started, has_started) = mpsc::channel();
        thread::Builder::new()
            .name("vmferry-ssh".to_owned())
            .spawn(move || {
                let mut spawned = match command.spawn() {
                    Ok(spawned) => spawned,
                    Err(error) => return drop(started.send(Err(error))),
                };
                let pid = spawned.id();
                let stdout = capture(spawned.stdout.take());
                let stderr = capture(spawned.stderr.take());
                let child = Arc::new(Mutex::new(Some(spawned)));
                let (exit, exited) = watch::channel(None);
                let process = Self {
                    child: Arc::clone(&child),
                    exited,
                    stdout,
                    stderr,
                };
                // Should nobody take it, dropping it ends ssh.
                drop(started.send(Ok(process)));
                // Leaves the zombie, so that the PID stays ours until the lock is held.
                while let Err(nix::errno::Errno::EINTR) = waitid(
                    Id::Pid(Pid::from_raw(pid.cast_signed())),
                    WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT,
                ) {}
                let reaped = child
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .take()
                    .and_then(|mut child| child.wait().ok());
                exit.send_replace(reaped);
            })?;
        has_started
            .recv()
            .unwrap_or_else(|_| Err(io::Error::other("the thread that starts ssh ended")))
    }

    /// Waits for the end; `None` where the status is unknown. Dropping the future changes nothing.
    pub(crate) async fn exited(&self) -> Option<ExitStatus> {
        let mut exited = self.exited.clone();
        exited
            .wait_for(Option::is_some)
            .await
            .ok()
            .and_then(|status| *status)
    }

    /// Everything on standard output, once ssh has exited.
    pub(crate) async fn full_stdout(&self) -> Vec<u8> {
        wait_for(&self.stdout, LAST_WORDS, |_| false).await
    }

    /// Everything on standard error, once ssh has exited.
    pub(crate) async fn full_stderr(&self) -> Vec<u8> {
        wait_for(&self.stderr, LAST_WORDS, |_| false).await
    }

    /// The lines of standard error, once `found` is true of them or `limit` is over.
    pub(crate) async fn stderr_lines(
        &self,
        limit: Duration,
        found: impl Fn(&str) -> bool,
    ) -> Vec<String> {
        let bytes = wait_for(&self.stderr, limit, |bytes| {
            String::from_utf8_lossy(bytes).lines().any(&found)
        })
        .await;
        String::from_utf8_lossy(&bytes)
            .lines()
            .map(|line| line.trim().to_owned())
            .filter(|line| !line.is_empty())
            .collect()
    }
}

impl Drop for SshProcess {
    fn drop(&mut self) {
        let child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(child) = &*child {
            // Not SIGKILL: ssh may have to give a terminal its echo back.
            let _ = signal::kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM);
        }
    }
}

async fn wait_for(
    captured: &watch::Receiver<Captured>,
    limit: Duration,
    found: impl Fn(&[u8]) -> bool,
) -> Vec<u8> {
    let mut captured = captured.clone();
    let enough = captured.wait_for(|captured| captured.complete || found(&captured.bytes));
    // After the limit, or the reader's end, whatever came is the answer.
    let _ = timeout(limit, enough).await;
    captured.borrow().bytes.clone()
}

fn capture(pipe: Option<impl Read + Send + 'static>) -> watch::Receiver<Captured> {
    let (sender, receiver) = watch::channel(Captured::default());
    let Some(mut pipe) = pipe else {
        return receiver;
    };
    thread::spawn(move || {
        let mut chunk = [0; 4096];
        loop {
            match pipe.read(&mut chunk) {
                Ok(0) => break,
                Ok(length) => sender.send_modify(|captured| {
                    let room = KEPT_BYTES.saturating_sub(captured.bytes.len());
                    captured.bytes.extend_from_slice(&chunk[..length.min(room)]);
                }),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        sender.send_modify(|captured| captured.complete = true);
    });
    receiver
}

#[expect(
    unsafe_code,
    reason = "only between fork and exec can a child ask to die with its parent"
)]
fn die_with_this_thread(command: &mut Command) {
    let parent = Pid::this();
    let prepare = move || {
        prctl::set_pdeathsig(Signal::SIGTERM)?;
        // The parent may have died before the call above.
        if getppid() != parent {
            return Err(io::Error::other("the parent has exited"));
        }
        // Ctrl-C reaches the whole foreground group. vmferry answers it by cancelling a migration,
        // for which it still needs this ssh.
        let ignore = SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty());
        // SAFETY: ignoring a signal installs no handler that could run.
        unsafe { signal::sigaction(Signal::SIGINT, &ignore)? };
        // A parent deaf to SIGTERM, as a guard is, must not make ssh deaf to its own end.
        SigSet::empty().thread_set_mask()?;
        Ok(())
    };
    // SAFETY: the closure runs in the forked child and only makes system calls that are
    // async-signal-safe (prctl, getppid, sigaction, sigprocmask); on success it allocates nothing.
    unsafe {
        command.pre_exec(prepare);
    }
}
