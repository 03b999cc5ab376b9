//! A process, told apart from a later one of the same number.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

/// How often a process that was killed is looked at.
const POLL: Duration = Duration::from_millis(5);

/// A process by its number and its start time, which together never come again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// When it started: clock ticks since boot (field 22 of `/proc/PID/stat`).
    pub start_time: u64,
}

impl Process {
    /// The process that has this number now; `None` where there is none.
    #[must_use]
    pub fn of(pid: u32) -> Option<Self> {
        let (_, start_time) = stat(pid)?;
        Some(Self { pid, start_time })
    }

    /// This very process.
    pub(crate) fn own() -> Option<Self> {
        Self::of(std::process::id())
    }

    /// Whether it still runs, with any of its threads; one that has ended and is not yet reaped does
    /// not.
    #[must_use]
    pub fn is_alive(self) -> bool {
        stat(self.pid) == Some((true, self.start_time))
    }

    /// Sends it a signal, if it still runs.
    pub fn signal(self, signal: Signal) {
        if self.is_alive()
            && let Ok(pid) = i32::try_from(self.pid)
        {
            // It may end at this very moment.
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }

    /// Kills it and waits until it is gone; false if it is not within `limit`.
    pub fn kill_and_wait(self, limit: Duration) -> bool {
        self.signal(Signal::SIGKILL);
        let deadline = Instant::now() + limit;
        while self.is_alive() {
            if Instant::now() > deadline {
                return false;
            }
            sleep(POLL);
        }
        self.reap();
        true
    }

    /// Takes its exit status, if it is a child of ours and has ended.
    pub(crate) fn reap(self) {
        if let Ok(pid) = i32::try_from(self.pid) {
            // Not our child, or already reaped: both fine.
            let _ = waitpid(Pid::from_raw(pid), Some(WaitPidFlag::WNOHANG));
        }
    }
}

/// Whether a process runs, and its start time.
fn stat(pid: u32) -> Option<(bool, u64)> {
    read(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn read(stat: &str) -> Option<(bool, u64)> {
    // The name, in parentheses, may hold blanks and parentheses.
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    let state = fields.next()?;
    let threads: u64 = fields.nth(16)?.parse().ok()?;
    let start_time = fields.nth(1)?.parse().ok()?;
    // Where the first thread ends before the others, they hold files and their locks for a moment.
    let ended = state == "X" || state == "Z" && threads <= 1;
    Some((!ended, start_time))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_killed_process_is_gone() {
        let mut child = Command::new("sleep").arg("1000").spawn().expect("sleep");
        let process = Process::of(child.id()).expect("it runs");
        assert!(process.is_alive());
        assert!(process.kill_and_wait(Duration::from_secs(10)));
        assert!(!process.is_alive());
        assert_eq!(stat(process.pid), None, "reaped");
        child.wait().expect_err("nothing is left to wait for");
    }

    #[test]
    fn a_process_runs_until_its_last_thread_has_ended() {
        let stat = |state: &str, threads: u32| {
            let text = format!(
                "7 (a) b) {state} 1 7 7 0 -1 4 5 0 0 0 120 30 0 0 20 0 {threads} 0 4711 0 0"
            );
            read(&text)
        };
        assert_eq!(stat("S", 1), Some((true, 4711)));
        assert_eq!(stat("Z", 3), Some((true, 4711)));
        assert_eq!(stat("Z", 1), Some((false, 4711)));
        assert_eq!(read("nothing"), None);
    }

    #[test]
    fn a_later_process_of_the_same_number_is_another() {
        let own = Process::own().expect("we run");
        let earlier = Process {
            start_time: own.start_time - 1,
            ..own
        };
        assert!(own.is_alive());
        assert!(!earlier.is_alive());
        // Were it taken for us, this would end the test.
        earlier.signal(Signal::SIGKILL);
    }
}
