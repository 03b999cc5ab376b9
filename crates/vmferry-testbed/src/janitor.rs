//! Removing a testbed, also when its owner cannot any more.
//!
//! A small shell process of its own session waits for the end of a pipe that only we hold. So the
//! ordinary end, a panic and kill -9 take the same way.

use std::io::{self, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};

use crate::command::{detach, not_started};
use crate::error::TestbedError;
use crate::network::Network;

const SCRIPT: &str = include_str!("janitor.sh");

/// Waits for us to end, then removes the testbed.
#[derive(Debug)]
pub(crate) struct Janitor {
    child: Child,
    pipe: Option<ChildStdin>,
}

impl Janitor {
    /// Starts before there is anything to remove.
    pub(crate) fn start(directory: &Path, network: &Network) -> Result<Self, TestbedError> {
        let mut command = command(directory, network);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        detach(&mut command);
        let mut child = command
            .spawn()
            .map_err(|error| not_started(&command, error))?;
        let pipe = child.stdin.take();
        Ok(Self { child, pipe })
    }

    /// Lets the testbed live on.
    pub(crate) fn release(self) {
        // A janitor that was killed does nothing any more: just as wanted.
        let _ = self.tell("release");
    }

    /// Has the testbed removed and waits for it; false if the janitor could not.
    pub(crate) fn clean(self) -> bool {
        self.tell("remove").is_ok_and(|status| status.success())
    }

    /// Gives the last word and waits for the janitor's end.
    fn tell(mut self, word: &str) -> io::Result<ExitStatus> {
        if let Some(mut pipe) = self.pipe.take() {
            // One that was killed has closed its end; its status says so below.
            let _ = writeln!(pipe, "{word}");
        }
        self.child.wait()
    }
}

/// Removes a testbed now; nothing happens where there is none.
pub(crate) fn remove(name: &str, directory: &Path, network: &Network) -> Result<(), TestbedError> {
    let mut command = command(directory, network);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let output = command
        .spawn()
        .and_then(|mut child| {
            if let Some(mut pipe) = child.stdin.take() {
                writeln!(pipe, "remove")?;
            }
            child.wait_with_output()
        })
        .map_err(|error| not_started(&command, error))?;
    if output.status.success() {
        return Ok(());
    }
    Err(TestbedError::NotRemoved {
        name: name.to_owned(),
        problem: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}

fn command(directory: &Path, network: &Network) -> Command {
    let mut command = Command::new("sh");
    // The third word is the process's name in `ps`.
    command
        .args(["-c", SCRIPT, "vmferry-testbed-janitor"])
        .arg(directory);
    command.args(network.all().map(|namespace| namespace.name()));
    command.current_dir("/");
    command
}
