//! Commands on other machines.

use std::process::{ExitStatus, Output};

use vmferry_core::guest_uri::SshDestination;

use super::command::SshCommand;
use super::process::SshProcess;
use crate::HypervisorError;

/// What ssh itself exits with when it fails; a remote command may too.
const SSH_FAILED: i32 = 255;

/// Runs a command on another machine and returns its status and outputs (up to 16 MiB each). The
/// arguments arrive there as given, whatever characters they hold. It gets no input. The command is
/// given up when the future is dropped.
///
/// # Errors
/// Where ssh cannot be started or fails by itself (status 255). A command that fails there is no
/// error: look at the status.
pub async fn run_remote(
    ssh: &SshCommand,
    destination: &SshDestination,
    arguments: &[&str],
) -> Result<Output, HypervisorError> {
    let mut command = ssh.build(destination);
    command.args(["--", &destination.host]);
    let quoted: Vec<String> = arguments.iter().map(|word| quote(word)).collect();
    command.arg(quoted.join(" "));
    let process = SshProcess::start(command).map_err(|source| HypervisorError::SshMissing {
        destination: destination.clone(),
        program: ssh.program(),
        source,
    })?;
    let status: Option<ExitStatus> = process.exited().await;
    let stderr = process.full_stderr().await;
    match status {
        Some(status) if status.code() != Some(SSH_FAILED) => Ok(Output {
            status,
            stdout: process.full_stdout().await,
            stderr,
        }),
        _ => Err(HypervisorError::SshFailed {
            destination: destination.clone(),
            reason: last_line(&stderr).unwrap_or_else(|| "it gave no reason".to_owned()),
        }),
    }
}

fn last_line(text: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(text);
    let line = text.lines().rev().find(|line| !line.trim().is_empty())?;
    Some(line.trim().to_owned())
}

/// One word for any POSIX shell, since ssh hands the login shell a single text.
fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn a_shell_gives_words_back_unchanged(word in "[^\0]{0,20}") {
            let output = std::process::Command::new("sh")
                .args(["-c", &format!("printf %s {}", quote(&word))])
                .output()
                .unwrap();
            prop_assert_eq!(output.stdout, word.as_bytes());
        }
    }

    #[test]
    fn blank_lines_are_no_reason() {
        assert_eq!(last_line(b"a\r\n b \r\n \n").as_deref(), Some("b"));
        assert_eq!(last_line(b" \n"), None);
    }
}
