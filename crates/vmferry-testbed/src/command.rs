//! Other programs: running them to their end, and starting those that outlive us.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use nix::sched::{CloneFlags, setns};

use crate::error::TestbedError;

/// Runs a command to its end and returns what it wrote to stdout. Ctrl-C at a terminal does not reach
/// it, who waits for it decides; our death does.
pub(crate) fn run(command: &mut Command) -> Result<String, TestbedError> {
    end_with_parent(command);
    let output = command
        .process_group(0)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| not_started(command, error))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(TestbedError::Command {
        command: shown(command),
        status: output.status.to_string(),
        stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}

/// Runs a program with arguments; [`run`] in short.
pub(crate) fn call<S: AsRef<OsStr>>(
    program: &str,
    arguments: impl IntoIterator<Item = S>,
) -> Result<String, TestbedError> {
    run(Command::new(program).args(arguments))
}

/// Runs a program with arguments given as one text, split at blanks.
pub(crate) fn call_words(program: &str, arguments: &str) -> Result<String, TestbedError> {
    call(program, arguments.split_whitespace())
}

/// The error for a program that could not be started.
pub(crate) fn not_started(command: &Command, error: io::Error) -> TestbedError {
    if error.kind() == io::ErrorKind::NotFound {
        TestbedError::ProgramMissing {
            program: command.get_program().to_string_lossy().into_owned(),
        }
    } else {
        TestbedError::Io {
            what: format!("start `{}`", shown(command)),
            source: error,
        }
    }
}

fn shown(command: &Command) -> String {
    let mut text = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        text.push(' ');
        text.push_str(&argument.to_string_lossy());
    }
    text
}

/// Makes the command start in a network namespace.
#[expect(
    unsafe_code,
    reason = "a child enters its namespace before it runs its program"
)]
pub(crate) fn enter(command: &mut Command, namespace: File) {
    // SAFETY: between fork and exec only the system call setns is made, which is
    // async-signal-safe; the closure owns the open file.
    unsafe {
        command.pre_exec(move || Ok(setns(&namespace, CloneFlags::CLONE_NEWNET)?));
    }
}

/// Makes the command start in a session of its own, so that signals to our group or terminal do
/// not reach it, and with no open file but the standard three.
#[expect(
    unsafe_code,
    reason = "a child leaves our session before it runs its program"
)]
pub(crate) fn detach(command: &mut Command) {
    // SAFETY: between fork and exec only the system calls setsid and close_range are made, which
    // are async-signal-safe. Files are marked, not closed: std still reports a failed exec
    // through one of them.
    unsafe {
        command.pre_exec(|| {
            nix::unistd::setsid()?;
            let marked = libc::close_range(3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC as _);
            if marked == 0 {
                Ok(())
            } else {
                Err(io::Error::last_os_error())
            }
        });
    }
}

/// Makes the command's process end when the thread that starts it does, however that happens.
#[expect(
    unsafe_code,
    reason = "a child asks for its parent's death before it runs its program"
)]
pub(crate) fn end_with_parent(command: &mut Command) {
    let parent = nix::unistd::Pid::this();
    // SAFETY: between fork and exec only the system calls prctl and getppid are made, which are
    // async-signal-safe.
    unsafe {
        command.pre_exec(move || {
            nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)?;
            // It may have died before that.
            if nix::unistd::getppid() == parent {
                Ok(())
            } else {
                Err(io::ErrorKind::Interrupted.into())
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_carries_the_command_and_its_words() {
        let error = call("sh", ["-c", "echo no luck >&2; exit 3"]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`sh -c echo no luck >&2; exit 3` failed (exit status: 3): no luck"
        );
        let error = call_words("vmferry-no-such-program", "").unwrap_err();
        assert!(
            matches!(error, TestbedError::ProgramMissing { program } if program == "vmferry-no-such-program")
        );
    }

    #[test]
    fn a_terminal_s_signals_do_not_reach_what_is_run() {
        let script = "ps -o pgid= -p $$; echo $$";
        let text = call("sh", ["-c", script]).expect("sh runs");
        let words: Vec<&str> = text.split_whitespace().collect();
        assert_eq!(words.len(), 2, "{words:?}");
        assert_eq!(words[0], words[1], "it leads its group");
    }

    #[test]
    fn a_detached_child_inherits_nothing() {
        use nix::fcntl::{FcntlArg, fcntl};
        let null = File::open("/dev/null").expect("open");
        // A copy of a high number, which children inherit.
        let inherited = fcntl(&null, FcntlArg::F_DUPFD(200)).expect("fcntl");
        let script = "[ -e /proc/$$/fd/$0 ] && echo inherited; ps -o sid= -p $$; echo $$";
        let words = |detached: bool| {
            let mut command = Command::new("sh");
            command.args(["-c", script, &inherited.to_string()]);
            if detached {
                detach(&mut command);
            }
            let output = command.output().expect("sh runs");
            let text = String::from_utf8_lossy(&output.stdout);
            text.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert_eq!(words(false)[0], "inherited");
        let detached = words(true);
        assert_eq!(detached.len(), 2, "{detached:?}");
        assert_eq!(detached[0], detached[1], "it leads its session");
        nix::unistd::close(inherited).expect("close");
    }
}
