//! A `vmferry` with a history of its own.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// A directory that goes away, with a history in it.
pub(crate) struct Place(TempDir);

/// How a run ended.
pub(crate) struct Ended {
    code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

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

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("text");
        Self {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}

impl Ended {
    /// It exited with this code, and its messages hold all these words.
    #[track_caller]
    pub(crate) fn expect(self, code: i32, words: &[&str]) -> Self {
        let said = format!(
            "exit {:?}\nstdout: {}\nstderr: {}",
            self.code, self.stdout, self.stderr
        );
        assert_eq!(self.code, Some(code), "{said}");
        for word in words {
            assert!(self.stderr.contains(word), "not said: {word}\n{said}");
        }
        assert!(!self.stderr.contains("panicked"), "{said}");
        self
    }

    /// The answer, a document of this name.
    #[track_caller]
    pub(crate) fn document(&self, name: &str) -> Value {
        let document: Value = serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", self.stdout));
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../schemas/{name}.json"));
        let schema = std::fs::read_to_string(path).expect("a schema");
        let schema = serde_json::from_str(&schema).expect("JSON");
        let problem = jsonschema::validator_for(&schema)
            .expect("a schema")
            .validate(&document)
            .err();
        assert!(problem.is_none(), "{problem:?}");
        document
    }
}
