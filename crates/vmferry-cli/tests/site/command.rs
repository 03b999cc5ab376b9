//! Runs the `vmferry` under test.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::io::AsyncReadExt as _;
use tokio::process::Child;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use vmferry::testbed::Process;

/// No run may take longer: whatever hangs is a fault.
const LIMIT: Duration = Duration::from_secs(90);

/// A `vmferry` about to be run: without terminal, with history and state of
/// its own.
pub(crate) struct Vmferry {
    wrapper: Vec<OsString>,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    dir: PathBuf,
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Finished {
    /// The exit code; `None` after a signal.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// How long it took, from its start.
    pub(crate) took: Duration,
}

/// A run under way. Dropped, it is killed.
pub(crate) struct Running {
    child: Child,
    began: Instant,
    stdout: JoinHandle<String>,
    stderr: JoinHandle<String>,
}

impl Vmferry {
    pub(crate) fn new(dir: &Path) -> Self {
        let set = |name: &str, value: PathBuf| (OsString::from(name), value.into_os_string());
        Self {
            wrapper: Vec::new(),
            arguments: Vec::new(),
            environment: vec![
                set("VMFERRY_DB", dir.join("history.db")),
                set("VMFERRY_STATE", dir.join("state")),
                set("VMFERRY_TEST_SITE", dir.to_owned()),
                // A killed vmferry leaves the directory of its ssh tunnel.
                set("TMPDIR", dir.to_owned()),
            ],
            dir: dir.to_owned(),
        }
    }

    pub(crate) fn args(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(OsString::from));
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.environment
            .push((name.into(), value.as_ref().to_owned()));
        self
    }

    /// Run through another program: `unshare`, `setpriv`, ...
    pub(crate) fn through<W: AsRef<OsStr>>(mut self, wrapper: impl IntoIterator<Item = W>) -> Self {
        self.wrapper = wrapper
            .into_iter()
            .map(|word| word.as_ref().to_owned())
            .collect();
        self
    }

    /// Starts it.
    pub(crate) fn spawn(self) -> Running {
        let mut words = self.wrapper;
        words.push(env!("CARGO_BIN_EXE_vmferry").into());
        words.extend(self.arguments);
        let mut child = tokio::process::Command::new(&words[0])
            .args(&words[1..])
            .env_remove("XDG_STATE_HOME")
            .env("NO_COLOR", "1")
            .envs(self.environment)
            .current_dir(self.dir)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("vmferry starts");
        let stdout = collect(child.stdout.take().expect("piped"));
        let stderr = collect(child.stderr.take().expect("piped"));
        Running {
            child,
            began: Instant::now(),
            stdout,
            stderr,
        }
    }

    /// Runs it to its end.
    pub(crate) async fn run(self) -> Finished {
        self.spawn().finish().await
    }
}

fn collect(mut from: impl tokio::io::AsyncRead + Unpin + Send + 'static) -> JoinHandle<String> {
    tokio::spawn(async move {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes)
            .await
            .expect("a pipe that can be read");
        String::from_utf8(bytes).expect("text")
    })
}

impl Running {
    /// The process; with a wrapper that stays, the wrapper's.
    pub(crate) fn process(&self) -> Process {
        self.child.id().and_then(Process::of).expect("it runs")
    }

    /// Waits for its end.
    pub(crate) async fn finish(mut self) -> Finished {
        let ended = timeout(LIMIT, async {
            let status = self.child.wait().await.expect("its status");
            let took = self.began.elapsed();
            // A guard that inherited a pipe would keep it open.
            let stdout = self.stdout.await.expect("stdout");
            let stderr = self.stderr.await.expect("stderr");
            Finished {
                code: status.code(),
                stdout,
                stderr,
                took,
            }
        });
        ended
            .await
            .unwrap_or_else(|_| panic!("vmferry does not end within {LIMIT:?}"))
    }
}

impl Finished {
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

    /// The guest moved, and the messages hold all these words. Whether its promise
    /// was kept (exit 0) or missed (exit 11) on a loaded machine is another
    /// test's matter.
    #[track_caller]
    pub(crate) fn moved(self, words: &[&str]) -> Self {
        let code = if self.code == Some(11) { 11 } else { 0 };
        self.expect(code, words)
    }

    /// The answer, a JSON document.
    #[track_caller]
    pub(crate) fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| {
            panic!("{error}\nstdout: {}\nstderr: {}", self.stdout, self.stderr)
        })
    }

    /// The answer, a JSON document a line.
    #[track_caller]
    pub(crate) fn lines(&self) -> Vec<Value> {
        let parse =
            |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        self.stdout.lines().map(parse).collect()
    }
}
