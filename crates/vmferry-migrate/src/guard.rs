//! The guard: a process of its own, started before the first change of every
//! move. As long as vmferry lives it only waits. When vmferry dies in any way
//! the pipe between them closes, and the guard puts the hosts back, follows
//! the move to its end and hands over the outcome.
//!
//! ```text
//! vmferry ──pipe──> guard        "done\n": nothing to do, exit
//!                                end of file: vmferry is dead, take over
//! guard ──stdout──> vmferry      "ready\n": the first change may be made
//! ```

use std::fs::OpenOptions;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal};

use crate::error::MigrateError;
use crate::state_dir::{Lock, MoveDir};

/// vmferry's end of the pipe.
#[derive(Debug)]
pub struct GuardHandle {
    child: Child,
    pipe: Option<ChildStdin>,
}

/// What `command` must run: [`Watchman::wait`] in another process.
///
/// # Errors
/// When the guard does not start or does not become ready.
pub fn spawn(mut command: Command, dir: &MoveDir) -> Result<GuardHandle, MigrateError> {
    let mut start = || -> io::Result<GuardHandle> {
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(dir.file("guard.log"))?;
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .current_dir("/");
        let mut child = command.spawn()?;
        let mut answer = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut answer)?;
        }
        if answer.trim() != "ready" {
            let status = child.wait()?;
            let log = std::fs::read_to_string(dir.file("guard.log")).unwrap_or_default();
            let last = log.lines().last().unwrap_or("it said nothing").to_owned();
            return Err(io::Error::other(format!("{last} ({status})")));
        }
        let pipe = child.stdin.take();
        Ok(GuardHandle { child, pipe })
    };
    start().map_err(|source| MigrateError::Guard { source })
}

impl GuardHandle {
    /// The guard's process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether the guard has died; a move goes on without it, with a warning.
    pub fn is_dead(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)) | Err(_))
    }

    /// Tells the guard that everything is undone and recorded, and waits
    /// until it is gone.
    pub fn dismiss(mut self) {
        if let Some(mut pipe) = self.pipe.take() {
            // A guard that is dead already needs no dismissal.
            let _ = pipe.write_all(b"done\n");
        }
        let _ = self.child.wait();
    }
}

/// Takes the lock of a move, which others hold for a moment when they look
/// whether anybody does.
fn take_lock(dir: &MoveDir) -> Result<Option<Lock>, MigrateError> {
    for _ in 0..50 {
        if let Some(lock) = dir.try_lock()? {
            return Ok(Some(lock));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    dir.try_lock()
}

/// The guard's own side.
#[derive(Debug)]
pub struct Watchman {
    _lock: Lock,
}

/// How the wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watch {
    /// vmferry undid and recorded everything itself.
    Dismissed,
    /// vmferry is dead.
    Orphaned,
}

impl Watchman {
    /// Takes the move's lock and tells vmferry that it may begin.
    ///
    /// # Errors
    /// When another guard holds the lock, or vmferry is gone already.
    pub fn ready(dir: &MoveDir) -> Result<Self, MigrateError> {
        // A session of its own, deaf to the signals that end vmferry: Ctrl-C,
        // the end of the terminal, `pkill vmferry`. It lives as long as the
        // move, no longer. Called before any thread is started, so that all
        // inherit the mask.
        let detach = || -> nix::Result<()> {
            nix::unistd::setsid()?;
            SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]).thread_block()?;
            nix::sys::prctl::set_name(c"vmf-guard")
        };
        detach().map_err(|errno| MigrateError::Guard {
            source: errno.into(),
        })?;
        let lock = take_lock(dir)?.ok_or_else(|| MigrateError::Guard {
            source: io::Error::other("the move already has a guard"),
        })?;
        let mut stdout = io::stdout();
        stdout
            .write_all(b"ready\n")
            .and_then(|()| stdout.flush())
            .map_err(|source| MigrateError::Guard { source })?;
        Ok(Self { _lock: lock })
    }

    /// Waits for the pipe to say something or to close.
    pub fn wait(&self) -> Watch {
        let mut said = String::new();
        match io::stdin().lock().read_to_string(&mut said) {
            Ok(_) if said.lines().any(|line| line == "done") => Watch::Dismissed,
            _ => Watch::Orphaned,
        }
    }
}
