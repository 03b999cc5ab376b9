//! Running other programs, cargo above all.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::{Outcome, fail};

/// The root of the workspace.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask lies in a folder of the workspace")
}

/// The folder that `cargo build` writes to.
pub(crate) fn target_dir() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => root().join(dir),
        None => root().join("target"),
    }
}

/// A cargo command at the root of the workspace.
pub(crate) fn cargo<I, S>(args: I) -> Command
where
    I: IntoIterator<Item = S>,
    S: AsRef<OsStr>,
{
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args).current_dir(root());
    // `cargo run` describes xtask in these variables. Build scripts that watch them would see
    // a change between `cargo xtask test` and a plain `cargo test`, and build again.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&*name);
        }
    }
    command
}

/// The command as one would type it, for messages.
pub(crate) fn shown(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| {
            let word = word.to_string_lossy();
            if word.contains([' ', '"', '*', '$']) {
                format!("'{word}'")
            } else {
                word.into_owned()
            }
        })
        .collect::<Vec<_>>()
        .join(" ")
}

/// Runs the command with our own output; anything but exit code 0 is a failure.
pub(crate) fn run(command: &mut Command) -> Outcome {
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => fail(format!("`{}` failed: {status}", shown(command))),
        Err(error) => fail(format!("cannot start `{}`: {error}", shown(command))),
    }
}

/// Runs the command and returns its standard output; standard error stays ours.
pub(crate) fn output(command: &mut Command) -> Outcome<String> {
    let output = match command.stderr(Stdio::inherit()).output() {
        Ok(output) => output,
        Err(error) => return fail(format!("cannot start `{}`: {error}", shown(command))),
    };
    if !output.status.success() {
        return fail(format!("`{}` failed: {}", shown(command), output.status));
    }
    String::from_utf8(output.stdout)
        .or_else(|_| fail(format!("`{}` did not print UTF-8", shown(command))))
}

/// Which of a program's two streams is read along.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

/// What a program printed on one stream, and whether it ended well.
pub(crate) struct Heard {
    pub(crate) lines: Vec<String>,
    pub(crate) succeeded: bool,
}

/// Runs the command, shows everything it prints and keeps the lines of one stream.
pub(crate) fn listen(command: &mut Command, stream: Stream) -> Outcome<Heard> {
    let piped = match stream {
        Stream::Stdout => command.stdout(Stdio::piped()),
        Stream::Stderr => command.stderr(Stdio::piped()),
    };
    let mut child = match piped.spawn() {
        Ok(child) => child,
        Err(error) => return fail(format!("cannot start `{}`: {error}", shown(command))),
    };
    let lines = match stream {
        Stream::Stdout => child
            .stdout
            .take()
            .map(|pipe| echo(pipe, std::io::stdout())),
        Stream::Stderr => child
            .stderr
            .take()
            .map(|pipe| echo(pipe, std::io::stderr())),
    };
    match child.wait() {
        Ok(status) => Ok(Heard {
            lines: lines.unwrap_or_default(),
            succeeded: status.success(),
        }),
        Err(error) => fail(format!("cannot wait for `{}`: {error}", shown(command))),
    }
}

/// Copies a stream line by line and returns the lines.
fn echo(from: impl std::io::Read, mut to: impl Write) -> Vec<String> {
    let mut reader = BufReader::new(from);
    let mut lines = Vec::new();
    let mut line = Vec::new();
    // A stream that breaks or a terminal that went away ends the copy; the exit status of the
    // program still tells how it went.
    while reader
        .read_until(b'\n', &mut line)
        .is_ok_and(|read| read > 0)
    {
        if to.write_all(&line).and_then(|()| to.flush()).is_err() {
            break;
        }
        lines.push(String::from_utf8_lossy(&line).trim_end().to_owned());
        line.clear();
    }
    lines
}

/// The path of a program, looked for where an administrator would find it: `PATH` and the
/// `sbin` folders, which ordinary users often lack.
pub(crate) fn which(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin", "/usr/local/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// Whether we run as root.
pub(crate) fn is_root() -> bool {
    std::fs::read_to_string("/proc/self/status")
        .is_ok_and(|status| effective_user(&status) == Some(0))
}

fn effective_user(status: &str) -> Option<u32> {
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_typed() {
        let mut command = Command::new("cargo");
        command.args(["build", "--config", "a=[\"b\"]"]);
        assert_eq!(shown(&command), "cargo build --config 'a=[\"b\"]'");
    }

    #[test]
    fn listening_keeps_the_lines_and_the_verdict() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo one >&2; printf two >&2; exit 3"]);
        let heard = listen(&mut command, Stream::Stderr).expect("sh starts");
        assert_eq!(heard.lines, ["one", "two"]);
        assert!(!heard.succeeded);
    }

    #[test]
    fn the_effective_user_counts() {
        assert_eq!(effective_user("Name:\tx\nUid:\t1000\t0\t0\t0\n"), Some(0));
        assert_eq!(effective_user("Uid:\t0\t1000\t0\t0\n"), Some(1000));
        assert_eq!(effective_user("Name:\tx\n"), None);
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = run(&mut Command::new("/no/such/program")).expect_err("cannot start");
        assert!(error.to_string().contains("/no/such/program"), "{error}");
    }
}
