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
use std::io::{self, Read as _, Write as _};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin};
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use crate::error::MigrateError;
use crate::state_dir::{Lock, MoveDir};

/// How long a guard may take to start, and to leave.
const PATIENCE: Duration = Duration::from_secs(10);

/// vmferry's end of the pipe. Dropped without a word, the guard takes over.
#[derive(Debug)]
pub struct GuardHandle {
    pid: u32,
    pipe: ChildStdin,
    kill: oneshot::Sender<()>,
    ended: watch::Receiver<bool>,
}

/// What `command` must run: [`Watchman::wait`] in another process.
///
/// # Errors
/// When the guard does not start or does not become ready within 10 s; it is
/// gone then.
pub async fn spawn(command: Command, dir: &MoveDir) -> Result<GuardHandle, MigrateError> {
    start(command, dir)
        .await
        .map_err(|source| MigrateError::Guard { source })
}

async fn start(command: Command, dir: &MoveDir) -> io::Result<GuardHandle> {
    let path = dir.file("guard.log");
    let log = OpenOptions::new().create(true).append(true).open(&path)?;
    let mut command = tokio::process::Command::from(command);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(log)
        .current_dir("/");
    let mut child = command.spawn()?;
    let piped = || io::Error::other("no pipe to the guard");
    let pipe = child.stdin.take().ok_or_else(piped)?;
    let mut stdout = BufReader::new(child.stdout.take().ok_or_else(piped)?);
    let mut answer = String::new();
    let read = timeout(PATIENCE, stdout.read_line(&mut answer)).await;
    if answer.trim() != "ready" {
        // One that said something else, or nothing, must not stay.
        child.start_kill()?;
        let status = child.wait().await?;
        read.map_err(|_| io::Error::other(format!("it was not ready within {PATIENCE:?}")))??;
        let log = std::fs::read_to_string(path).unwrap_or_default();
        let last = log.lines().last().unwrap_or("it said nothing").to_owned();
        return Err(io::Error::other(format!("{last} ({status})")));
    }
    let pid = child.id().unwrap_or_default();
    let (kill, killed) = oneshot::channel();
    let (tell, ended) = watch::channel(false);
    tokio::spawn(reap(child, killed, tell));
    Ok(GuardHandle {
        pid,
        pipe,
        kill,
        ended,
    })
}

/// Waits for the end of a guard, whose own or ours.
async fn reap(mut child: Child, killed: oneshot::Receiver<()>, tell: watch::Sender<bool>) {
    tokio::select! {
        _ = child.wait() => {}
        Ok(()) = killed => {
            // It may end at this very moment.
            let _ = child.start_kill();
            let _ = child.wait().await;
        }
    }
    tell.send_replace(true);
}

impl GuardHandle {
    /// The guard's process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether the guard has died; a move goes on without it, with a warning.
    pub fn is_dead(&self) -> bool {
        *self.ended.borrow()
    }

    /// Waits for the guard's death.
    pub fn death(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut ended = self.ended.clone();
        async move {
            // A sender that is dropped is the end of the runtime.
            if ended.wait_for(|ended| *ended).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Tells the guard that everything is undone and recorded, and waits
    /// until it is gone. One that does not go within 10 s is killed.
    pub async fn dismiss(mut self) {
        // A guard that is dead already needs no dismissal.
        let _ = self.pipe.write_all(b"done\n").await;
        drop(self.pipe);
        let mut ended = self.ended;
        if timeout(PATIENCE, ended.wait_for(|ended| *ended))
            .await
            .is_err()
            && self.kill.send(()).is_ok()
        {
            let _ = ended.wait_for(|ended| *ended).await;
        }
    }
}

/// Takes the lock of a move, which others hold for a moment when they look
/// whether anybody does.
fn take_lock(dir: &MoveDir) -> Result<Option<Lock>, MigrateError> {
    for _ in 0..50 {
        if let Some(lock) = dir.try_guard()? {
            return Ok(Some(lock));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    dir.try_guard()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state_dir::StateDir;
    use uuid::Uuid;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[tokio::test]
    async fn a_guard_is_dismissed_or_found_dead() {
        let home = tempfile::tempdir().unwrap();
        let state = StateDir::at(home.path());
        let (dir, _owner) = state.create_move(Uuid::now_v7()).unwrap();
        let log = || std::fs::read_to_string(dir.file("guard.log")).unwrap();

        let guard = spawn(shell("echo ready; read word; echo \"$word\" >&2"), &dir);
        guard.await.unwrap().dismiss().await;
        assert_eq!(log(), "done\n");

        let guard = spawn(shell("echo ready; read word || echo alone >&2"), &dir);
        let guard = guard.await.unwrap();
        let death = guard.death();
        assert!(!guard.is_dead());
        drop(guard);
        death.await;
        assert_eq!(log(), "done\nalone\n");

        let error = spawn(shell("echo no room >&2"), &dir).await.unwrap_err();
        assert!(error.to_string().contains("no room"), "{error}");
    }
}
