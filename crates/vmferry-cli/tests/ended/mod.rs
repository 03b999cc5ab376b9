//! How a run of `vmferry` ended.

use std::process::Output;

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
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
}
