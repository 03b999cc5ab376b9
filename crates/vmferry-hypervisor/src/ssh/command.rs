//! How ssh is called.

use std::ffi::OsString;
use std::io::IsTerminal;

use vmferry_core::guest_uri::SshDestination;

/// The ssh program and the arguments that come before all others.
///
/// ```
/// use vmferry_hypervisor::ssh::SshCommand;
/// assert_eq!(SshCommand::parse(" ssh -F /tmp/config ").unwrap().to_string(), "ssh -F /tmp/config");
/// assert!(SshCommand::parse("  ").is_none());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshCommand {
    program: OsString,
    arguments: Vec<OsString>,
}

impl SshCommand {
    /// The variable that replaces `ssh`, as `GIT_SSH_COMMAND` does for git.
    pub const VARIABLE: &'static str = "VMFERRY_SSH";

    /// Splits a command at spaces; `None` for a blank one. There is no quoting.
    #[must_use]
    pub fn parse(command: &str) -> Option<Self> {
        let mut words = command.split_whitespace().map(OsString::from);
        Some(Self {
            program: words.next()?,
            arguments: words.collect(),
        })
    }

    /// The command of `VMFERRY_SSH`, or plain `ssh` where that is unset or blank.
    #[must_use]
    pub fn from_env() -> Self {
        std::env::var(Self::VARIABLE)
            .ok()
            .and_then(|command| Self::parse(&command))
            .unwrap_or_else(|| Self {
                program: "ssh".into(),
                arguments: Vec::new(),
            })
    }

    /// The same, but failing where it would ask for a password.
    pub(crate) fn without_questions(mut self) -> Self {
        self.arguments.push("-oBatchMode=yes".into());
        self
    }

    /// The program's name, for messages.
    pub(crate) fn program(&self) -> String {
        self.program.to_string_lossy().into_owned()
    }

    /// A command for `destination` with the options common to all uses. Options of ours come
    /// before the user's configuration, so they hold only what a use without a person needs.
    pub(crate) fn build(&self, destination: &SshDestination) -> std::process::Command {
        let mut command = std::process::Command::new(&self.program);
        command.args(&self.arguments);
        // No shared connection: a master that outlives us would keep the forwarded socket open,
        // and a master that goes away would end a migration's monitor.
        command.args([
            "-T",
            "-x",
            "-a",
            "-o",
            "ControlMaster=no",
            "-o",
            "ControlPath=none",
        ]);
        // A dead link is noticed within about 15 s.
        command.args(["-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3"]);
        if !std::io::stdin().is_terminal() {
            command.args(["-o", "BatchMode=yes"]);
        }
        if let Some(port) = destination.port {
            command.args(["-p", &port.to_string()]);
        }
        if let Some(user) = &destination.user {
            command.args(["-l", user]);
        }
        command
    }
}

impl std::fmt::Display for SshCommand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.program())?;
        for argument in &self.arguments {
            write!(f, " {}", argument.to_string_lossy())?;
        }
        Ok(())
    }
}
