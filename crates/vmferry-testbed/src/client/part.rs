//! A tool that runs.

use std::io::{self, PipeReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::series::now_ns;
use super::tally::Tally;
use super::tool::{Output, Run};
use super::work::PartWork;
use crate::command::{end_with_parent, not_started};
use crate::error::TestbedError;
use crate::process::Process;

/// How long a tool may take to end when it is asked to: it may wait for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often a tool that is to end is looked at.
const POLL: Duration = Duration::from_millis(10);

/// The longest line that is taken; more is cut into several.
const LONGEST_LINE: usize = 4096;

/// A part of a service's clients: a tool, or our own.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) tally: Arc<Tally>,
    name: &'static str,
    version: String,
    stop: Arc<AtomicBool>,
    /// The process of a tool, and what asks it to end.
    process: Option<(Process, nix::sys::signal::Signal)>,
    thread: Option<JoinHandle<()>>,
}

impl Part {
    /// Starts a tool.
    pub(super) fn tool(run: Run, version: String, command: Command) -> Result<Self, TestbedError> {
        let tally = Arc::new(Tally::default());
        let stop = Arc::new(AtomicBool::new(false));
        let (started, starting) = mpsc::channel();
        let shared = (Arc::clone(&tally), Arc::clone(&stop));
        let mut output = run.output;
        // The process ends with the thread that started it, so this one stays until then.
        let work = move || {
            let (tally, stop) = shared;
            let (child, said) = match spawn(command) {
                Ok(spawned) => spawned,
                Err(error) => {
                    let _ = started.send(Err(error));
                    return;
                }
            };
            let _ = started.send(Ok(Process::of(child.id())));
            attend(child, said, output.as_mut(), &tally, &stop);
        };
        let thread = spawn_thread(run.name, work)?;
        let process = starting
            .recv()
            .unwrap_or_else(|_| Err(died(run.name)))?
            .map(|process| (process, run.end));
        Ok(Self {
            tally,
            name: run.name,
            version,
            stop,
            process,
            thread: Some(thread),
        })
    }

    /// Starts a client of our own, which looks at the flag now and then.
    pub(super) fn own(
        name: &'static str,
        work: impl FnOnce(&Tally, &AtomicBool) + Send + 'static,
    ) -> Result<Self, TestbedError> {
        let tally = Arc::new(Tally::default());
        let stop = Arc::new(AtomicBool::new(false));
        let shared = (Arc::clone(&tally), Arc::clone(&stop));
        let thread = spawn_thread(name, move || work(&shared.0, &shared.1))?;
        Ok(Self {
            tally,
            name,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            stop,
            process: None,
            thread: Some(thread),
        })
    }

    /// Asks it to end; it says its last words meanwhile.
    pub(super) fn ask_to_end(&self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some((process, signal)) = self.process {
            process.signal(signal);
        }
    }

    /// Waits until it has ended, and kills it if it does not.
    pub(super) fn end(&mut self) {
        self.ask_to_end();
        let Some(thread) = self.thread.take() else {
            return;
        };
        let start = Instant::now();
        while !thread.is_finished() && start.elapsed() < PATIENCE {
            thread::sleep(POLL);
        }
        if let Some((process, _)) = self.process {
            process.signal(nix::sys::signal::Signal::SIGKILL);
        }
        if thread.join().is_err() {
            self.tally.lock().fault = Some("its thread died".to_owned());
        }
    }

    /// What it has done so far.
    pub(super) fn work(&self) -> PartWork {
        let counts = self.tally.lock();
        PartWork {
            tool: self.name.to_owned(),
            version: self.version.clone(),
            operations: counts.operations,
            errors: counts.errors,
            latency: counts.latency,
            fault: counts.fault.clone(),
        }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if let Some((process, _)) = self.process.filter(|_| self.thread.is_some()) {
            process.signal(nix::sys::signal::Signal::SIGKILL);
        }
        self.end();
    }
}

fn spawn_thread(
    name: &str,
    work: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, TestbedError> {
    thread::Builder::new()
        .name("client".to_owned())
        .spawn(work)
        .map_err(TestbedError::io(format!("start a thread for {name}")))
}

fn died(name: &str) -> TestbedError {
    TestbedError::Io {
        what: format!("start {name}"),
        source: io::Error::other("its thread died"),
    }
}

/// Starts a tool that writes all it says into one pipe.
fn spawn(mut command: Command) -> Result<(Child, PipeReader), TestbedError> {
    let piping = || TestbedError::io("make a pipe");
    let (said, pipe) = io::pipe().map_err(piping())?;
    command
        .stdin(Stdio::null())
        .stdout(pipe.try_clone().map_err(piping())?)
        .stderr(pipe);
    end_with_parent(&mut command);
    // Ctrl-C at a terminal is for us: the clients are ended in order.
    command.process_group(0);
    let child = command
        .spawn()
        .map_err(|error| not_started(&command, error))?;
    // Our copies of the pipe's writing end go with the command.
    Ok((child, said))
}

/// Reads what a tool says until it ends.
fn attend(
    mut child: Child,
    mut said: PipeReader,
    output: &mut dyn Output,
    tally: &Tally,
    stop: &AtomicBool,
) {
    let mut room = [0; 4096];
    let mut lines = Lines::default();
    let mut last = String::new();
    // The pipe breaks with the process.
    while let Ok(length @ 1..) = said.read(&mut room) {
        let now = now_ns();
        lines.take(&room[..length], |line| {
            output.line(line, now, &mut tally.lock());
            if !line.trim().is_empty() {
                last = line.trim().to_owned();
            }
        });
    }
    let ended = child.wait();
    if !stop.load(Ordering::Relaxed) {
        let how = ended.map_or_else(
            |error| error.to_string(),
            |status: ExitStatus| status.to_string(),
        );
        let fault = format!("it ended by itself ({how}): {last}");
        tracing::warn!(fault, "a client is gone");
        tally.lock().fault = Some(fault);
    }
}

/// Cuts bytes into lines; a carriage return ends one as well.
#[derive(Default)]
struct Lines {
    begun: Vec<u8>,
}

impl Lines {
    fn take(&mut self, bytes: &[u8], mut whole: impl FnMut(&str)) {
        for byte in bytes {
            let ends = matches!(byte, b'\n' | b'\r');
            if !ends {
                self.begun.push(*byte);
            }
            if ends || self.begun.len() == LONGEST_LINE {
                whole(&String::from_utf8_lossy(&self.begun));
                self.begun.clear();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::tally::Counts;

    #[test]
    fn lines_are_cut_at_both_ends_of_line_and_bounded() {
        let mut lines = Lines::default();
        let mut heard = Vec::new();
        for piece in ["one\rtw", "o\r\nthr"] {
            lines.take(piece.as_bytes(), |line| heard.push(line.to_owned()));
        }
        assert_eq!(heard, ["one", "two", ""]);
        let endless = vec![b'x'; 3 * LONGEST_LINE];
        lines.take(&endless, |line| assert_eq!(line.len(), LONGEST_LINE));
        assert!(lines.begun.len() < LONGEST_LINE);
    }

    struct Counting;

    impl Output for Counting {
        fn line(&mut self, line: &str, at_ns: u64, counts: &mut Counts) {
            if let Ok(number) = line.parse() {
                counts.done(at_ns, number);
            }
        }
    }

    fn shell(script: &str) -> Part {
        let run = Run {
            name: "a script",
            package: "dash",
            program: "sh",
            arguments: Vec::new(),
            environment: Vec::new(),
            end: nix::sys::signal::Signal::SIGTERM,
            output: Box::new(Counting),
        };
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Part::tool(run, "1".to_owned(), command).expect("it starts")
    }

    #[test]
    fn a_tool_is_read_and_asked_to_end() {
        let mut part = shell("trap 'echo 9; exit 0' TERM; echo 5; while :; do sleep 0.01; done");
        let start = Instant::now();
        while part.tally.lock().operations < 5 {
            assert!(start.elapsed() < Duration::from_secs(60));
            thread::yield_now();
        }
        part.end();
        let work = part.work();
        assert_eq!((work.operations, work.fault), (9, None));
    }

    #[test]
    fn a_tool_that_ends_by_itself_says_why() {
        let mut part = shell("echo 2; echo 'no such host' >&2; exit 3");
        let start = Instant::now();
        while part.tally.lock().fault.is_none() {
            assert!(start.elapsed() < Duration::from_secs(60));
            thread::yield_now();
        }
        part.end();
        let work = part.work();
        assert_eq!(work.operations, 2);
        let fault = work.fault.expect("said");
        assert_eq!(fault, "it ended by itself (exit status: 3): no such host");
    }

    #[test]
    fn a_tool_goes_with_its_owner_s_interest() {
        let part = shell("trap '' TERM; exec sleep 1000");
        let (process, _) = part.process.expect("it runs");
        assert!(process.is_alive());
        drop(part);
        assert!(!process.is_alive());
    }

    #[test]
    fn a_tool_is_out_of_reach_of_a_terminal_s_signals() {
        let part = shell("exec sleep 1000");
        let (process, _) = part.process.expect("it runs");
        let group = |pid: u32| {
            let pid = nix::unistd::Pid::from_raw(i32::try_from(pid).expect("a number"));
            nix::unistd::getpgid(Some(pid)).expect("it runs").as_raw()
        };
        assert_eq!(u32::try_from(group(process.pid)), Ok(process.pid));
        assert_ne!(group(process.pid), group(std::process::id()));
    }

    #[test]
    fn a_tool_that_is_missing_is_an_error() {
        let run = Run {
            name: "nothing",
            package: "none",
            program: "none",
            arguments: Vec::new(),
            environment: Vec::new(),
            end: nix::sys::signal::Signal::SIGTERM,
            output: Box::new(Counting),
        };
        let error = Part::tool(run, String::new(), Command::new("/nonexistent/tool")).unwrap_err();
        assert!(
            matches!(error, TestbedError::ProgramMissing { .. }),
            "{error}"
        );
    }
}
