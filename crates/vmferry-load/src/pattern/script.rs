//! Runs a real program or a service: a script of the image of programs, `/programs/NAME`, or of a
//! service's image, `/services/NAME`, in a control group of its own, with the image as its root.
//!
//! The script runs for ever and says on its standard output, one a line:
//!
//! | line | meaning |
//! |---|---|
//! | `ready` | its data is made, the load begins; a service answers |
//! | `work N` | so many more units are done |
//! | `total N` | so many units are done since `ready` was said |
//! | `failed TEXT` | it cannot go on |
//!
//! Other lines, of programs it starts, are kept for the message when it ends: an end is a failure,
//! and so is not being ready in time. A service need not tell of any work.

use std::collections::VecDeque;
use std::fs;
use std::io::{self, BufRead, BufReader, PipeReader};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use vmferry_load::spec::{Program, Service};

use super::Run;
use crate::clock::{self, Nanos, SECOND};
use crate::init::root::{self, Root};
use crate::tally::Tally;

/// How many last words of a program are told when it fails.
const LAST_WORDS: usize = 3;

/// How long a script may take until it is ready: a minute is much without KVM. Shorter than hosts
/// wait, so that the script's last words are told.
const PATIENCE: Duration = Duration::from_secs(240);

/// What to run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Script {
    root: Root,
    name: &'static str,
    set: Option<u64>,
    duty: Option<f64>,
}

/// A script that runs.
pub(crate) struct Running {
    script: Script,
    group: PathBuf,
    /// Waits for the script's end, and then ends what it started.
    end: Option<JoinHandle<io::Result<ExitStatus>>>,
    output: Output<BufReader<PipeReader>>,
}

impl Script {
    /// A program that works on so much, with at most so many per cent of a CPU.
    pub(crate) const fn program(program: Program, set: u64, duty: Option<f64>) -> Self {
        Self {
            root: Root::Programs,
            name: program.name(),
            set: Some(set),
            duty,
        }
    }

    /// A service with so much data, where it has any.
    pub(crate) const fn service(service: Service, set: Option<u64>) -> Self {
        Self {
            root: Root::Service,
            name: service.name(),
            set,
            duty: None,
        }
    }

    /// Starts it and waits until it is ready. `seed` tells parts apart.
    ///
    /// # Errors
    /// In words: no image, no such script, or the script's last words.
    pub(crate) fn start(self, seed: u64) -> Result<Running, String> {
        let told = |problem| self.told(problem);
        let root = self.root.mounted().map_err(told)?;
        let group = root::group(&format!("{}-{}-{seed:x}", self.root.kind(), self.name));
        let group = group.map_err(told)?;
        let (child, output) = self
            .spawn(root, &group)
            .map_err(|error| self.told(format!("cannot be started: {error}")))?;
        let (watched, ended_group) = (child, group.clone());
        let end = thread::spawn(move || wait(watched, &ended_group));
        let mut running = Running {
            script: self,
            group,
            end: Some(end),
            output: Output::of(BufReader::new(output)),
        };
        running.become_ready()?;
        // Not before: making the data would take so much longer.
        if let Some(Err(problem)) = self.duty.map(|duty| root::limit(&running.group, duty)) {
            return Err(running.failure(Some(problem)));
        }
        Ok(running)
    }

    fn told(self, problem: String) -> String {
        format!("{} {}: {problem}", self.root.kind(), self.name)
    }

    fn spawn(self, root: &Path, group: &Path) -> io::Result<(Child, PipeReader)> {
        let (output, input) = io::pipe()?;
        let members = fs::OpenOptions::new()
            .write(true)
            .open(group.join("cgroup.procs"))?;
        let root = std::ffi::CString::new(root.as_os_str().as_encoded_bytes())?;
        let mut command = Command::new("/bin/sh");
        command
            .arg(format!("/{}s/{}", self.root.kind(), self.name))
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
            .env("HOME", "/tmp")
            .env("LC_ALL", "C")
            .env("TZ", "UTC")
            .envs(self.set.map(|set| ("VMFERRY_SET", set.to_string())))
            .stdin(Stdio::null())
            .stdout(input.try_clone()?)
            .stderr(input);
        // SAFETY: between fork and exec only the system calls write, chroot and chdir are made,
        // which are async-signal-safe; the closure owns the open file and the string.
        unsafe {
            command.pre_exec(move || {
                let moved = libc::write(members.as_raw_fd(), c"0".as_ptr().cast(), 1);
                if moved == 1
                    && libc::chroot(root.as_ptr()) == 0
                    && libc::chdir(c"/tmp".as_ptr()) == 0
                {
                    Ok(())
                } else {
                    Err(io::Error::last_os_error())
                }
            });
        }
        let child = command.spawn()?;
        // The command holds our ends of the pipe that the child writes to: dropped here, so that the
        // output ends when the programs do.
        Ok((child, output))
    }
}

impl Running {
    fn become_ready(&mut self) -> Result<(), String> {
        let (ready, waiting) = mpsc::channel::<()>();
        let group = self.group.clone();
        // Its output, for which we wait below, ends with it.
        let late = thread::spawn(move || {
            let late = waiting.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout);
            late && kill(&group).is_ok()
        });
        let said = loop {
            match self.output.next() {
                Some(Line::Ready) => break Ok(()),
                Some(Line::Failed(problem)) => break Err(Some(problem)),
                Some(_) => {}
                None => break Err(None),
            }
        };
        drop(ready);
        let late = late.join().unwrap_or(false);
        said.map_err(|problem| {
            let late = late.then(|| format!("not ready after {} s", PATIENCE.as_secs()));
            self.failure(late.or(problem))
        })
    }

    /// Ends all that the program started, and says why it did not go on.
    fn failure(&mut self, problem: Option<String>) -> String {
        let killed = kill(&self.group);
        let ended = self.end.take().map(JoinHandle::join);
        let end = match (problem, killed, ended) {
            (Some(problem), ..) => problem,
            (None, Err(error), _) => format!("ended, and cannot be cleaned up: {error}"),
            (None, Ok(()), Some(Ok(Ok(status)))) => format!("ended ({status})"),
            (None, Ok(()), _) => "ended".to_owned(),
        };
        self.script
            .told(format!("{end}{}", self.output.last_words()))
    }
}

/// Waits for the end of a script, and then ends what it has started: as long as any of that runs,
/// the script's output does not end.
fn wait(mut script: Child, group: &Path) -> io::Result<ExitStatus> {
    let status = script.wait();
    kill(group)?;
    status
}

/// Ends all programs of a control group.
fn kill(group: &Path) -> io::Result<()> {
    fs::write(group.join("cgroup.kill"), "1")
}

impl Run for Running {
    /// Runs for ever: a script is never a phase.
    fn run(&mut self, _: Option<Nanos>, tally: &Tally) {
        // Nothing is counted in bytes, so no rate is aimed at.
        tally.set_aim(None);
        let mut done = 0;
        let problem = loop {
            match self.output.next() {
                Some(Line::Work(units)) => {
                    tally.add(units, 0);
                    done += units;
                }
                Some(Line::Total(units)) => {
                    tally.add(units.saturating_sub(done), 0);
                    done = done.max(units);
                }
                Some(Line::Ready) => {}
                Some(Line::Failed(problem)) => break Some(problem),
                None => break None,
            }
        };
        tally.fail(self.failure(problem));
        loop {
            clock::sleep_until(clock::now() + 3600 * SECOND);
        }
    }
}

/// What a script says.
#[derive(Debug, PartialEq, Eq)]
enum Line {
    Ready,
    Work(u64),
    Total(u64),
    Failed(String),
}

impl Line {
    fn read(text: &str) -> Option<Self> {
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        let number = || rest.trim().parse().ok();
        match word {
            "ready" if rest.is_empty() => Some(Self::Ready),
            "work" => number().map(Self::Work),
            "total" => number().map(Self::Total),
            "failed" => Some(Self::Failed(rest.to_owned())),
            _ => None,
        }
    }
}

/// Lines of a script, and the last of the others.
struct Output<R> {
    lines: R,
    others: VecDeque<String>,
}

impl<R: BufRead> Output<R> {
    fn of(lines: R) -> Self {
        Self {
            lines,
            others: VecDeque::new(),
        }
    }

    /// The next line that is for us; none when the output has ended.
    fn next(&mut self) -> Option<Line> {
        loop {
            let mut line = Vec::new();
            match self.lines.read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
            let text = String::from_utf8_lossy(&line);
            let text = text.trim();
            match Line::read(text) {
                Some(line) => return Some(line),
                None if text.is_empty() => {}
                None => {
                    self.others.push_back(text.chars().take(160).collect());
                    if self.others.len() > LAST_WORDS {
                        self.others.pop_front();
                    }
                }
            }
        }
    }

    fn last_words(&self) -> String {
        let words = self.others.iter().map(|line| format!("; {line}"));
        words.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_for_us_are_told_from_others() {
        let text = b"starting\nready\nwork 12\nwork well\nprogress: 3\n\ntotal 40\nworkers 3\nfailed no \xff\n";
        let mut output = Output::of(&text[..]);
        let lines: Vec<Line> = std::iter::from_fn(|| output.next()).collect();
        assert_eq!(
            lines,
            [
                Line::Ready,
                Line::Work(12),
                Line::Total(40),
                Line::Failed("no \u{fffd}".to_owned())
            ]
        );
        assert_eq!(
            output.last_words(),
            "; work well; progress: 3; workers 3",
            "only the last"
        );
    }

    #[test]
    fn outside_of_a_guest_nothing_runs() {
        for (script, begin) in [
            (
                Script::program(Program::Redis, 1 << 20, None),
                "program redis: ",
            ),
            (Script::service(Service::Web, None), "service web: "),
        ] {
            let error = script.start(1).err().unwrap();
            assert!(
                error.starts_with(begin) && error.contains("only in a guest"),
                "{error}"
            );
        }
    }
}
