//! A `vmferry` with a history of its own.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::ended::Ended;
use crate::schema::is_valid;

/// A directory that goes away, with a history in it.
pub(crate) struct Place(TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    pub(crate) fn history(&self) -> PathBuf {
        self.0.path().join("history.db")
    }

    /// Writes a file, and names it.
    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path.display().to_string()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vmferry"));
        command
            .args(arguments)
            .env("VMFERRY_DB", self.history())
            .env("VMFERRY_STATE", self.0.path().join("state"))
            .env("NO_COLOR", "1")
            .current_dir(self.0.path())
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        self.command(arguments)
            .output()
            .expect("vmferry starts")
            .into()
    }

    /// The same with something on standard input.
    pub(crate) fn run_with(&self, input: &str, arguments: &[&str]) -> Ended {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("vmferry starts");
        let mut stdin = child.stdin.take().expect("piped");
        stdin.write_all(input.as_bytes()).expect("written");
        drop(stdin);
        child.wait_with_output().expect("its end").into()
    }
}

impl Ended {
    /// The answer, a document of this name.
    #[track_caller]
    pub(crate) fn document(&self, name: &str) -> Value {
        let document: Value = serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", self.stdout));
        is_valid(name, &document);
        document
    }
}
