//! Why a meter cannot be read, and what to do about it.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

/// Why a meter cannot be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PowerError {
    /// A spec names no meter.
    #[error(
        "`{spec}` names no meter: {problem}; write rapl, hwmon:PATH, ipmi, ipmi:USER@HOST, redfish:URL, prometheus:URL?query=EXPRESSION or csv:FILE"
    )]
    Spec {
        /// The spec.
        spec: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A file cannot be read.
    #[error("{meter}: {} cannot be read: {source}{}", path.display(), remedy(source))]
    File {
        /// The meter.
        meter: String,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no such meter here.
    #[error("{meter}: {problem}")]
    Absent {
        /// The meter.
        meter: String,
        /// What is missing, and what to do.
        problem: String,
    },
    /// The meter answers with something that is no power.
    #[error("{meter} answers with something else than a power: {problem}")]
    NotUnderstood {
        /// The meter.
        meter: String,
        /// What came, and where it can be mended.
        problem: String,
    },
    /// A program that reads the meter cannot be run, or failed.
    #[error("{meter}: `{command}` failed: {problem}")]
    Program {
        /// The meter.
        meter: String,
        /// The command.
        command: String,
        /// Why, in its words.
        problem: String,
    },
    /// A server does not answer.
    #[error("{meter}: {url} cannot be read: {problem}")]
    Server {
        /// The meter.
        meter: String,
        /// The address, without a password.
        url: String,
        /// Why, and what to do.
        problem: String,
    },
    /// No host draws that much, or nothing, or less.
    #[error(
        "{meter} says {watts} W, which no host draws; check the meter (its unit, a counter that was reset, a controller without a sensor)"
    )]
    Nonsense {
        /// The meter.
        meter: String,
        /// What it says.
        watts: f64,
    },
    /// One reading did not come.
    #[error("{meter} did not answer within {} s", waited.as_secs_f32())]
    Timeout {
        /// The meter.
        meter: String,
        /// How long was waited.
        waited: Duration,
    },
    /// The meter told nothing new for long.
    #[error(
        "{meter} stalled: nothing new for {:.0} s{}; see that it works, and measure again",
        silent.as_secs_f64(), last.as_ref().map(|last| format!(" ({last})")).unwrap_or_default()
    )]
    Stalled {
        /// The meter.
        meter: String,
        /// For how long.
        silent: Duration,
        /// What its last reading failed with.
        last: Option<String>,
    },
    /// A log of another program cannot be used.
    #[error("{}: {problem}", path.display())]
    Log {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the line, and what to do.
        problem: String,
    },
}

impl PowerError {
    /// Whether what was asked for is at fault: a spec or a file.
    pub fn is_bad_input(&self) -> bool {
        matches!(self, Self::Spec { .. } | Self::Log { .. })
    }
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "; run vmferry as root, or let its user read that file",
        _ => "",
    }
}
