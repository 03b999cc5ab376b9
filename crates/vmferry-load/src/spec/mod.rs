//! The load as one word of text: patterns, their keys, and how they are read.

mod error;
mod keys;
mod parse;
mod program;
mod service;
mod value;

use std::net::SocketAddrV4;
use std::time::Duration;

pub use error::SpecError;
pub use program::Program;
pub use service::{Service, UnknownService};

/// The grammar, as `vmferry-load --help` prints it.
pub const GRAMMAR: &str = include_str!("grammar.txt");

/// Bytes of a page, the unit in which hypervisors track writes.
pub const PAGE: u64 = 4096;

/// Serial number of the disk of programs, by which guests find it.
pub const PROGRAMS_SERIAL: &str = "vmferry-programs";

/// Names of all patterns.
pub const PATTERN_NAMES: [&str; 12] = [
    "idle",
    "sequential",
    "uniform",
    "zipf",
    "hotcold",
    "phases",
    "growing",
    "compute",
    "read",
    "disk",
    "network",
    "program",
];

/// A whole load: parts that run at once, each in its own thread. Read it with `str::parse`.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// At least one part, in the order given.
    pub parts: Vec<Part>,
}

/// One pattern with what is common to all.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// What the thread does.
    pub pattern: Pattern,
    /// Further memory, bytes, written once with random content.
    pub fill: u64,
    /// Begin of the random numbers.
    pub seed: u64,
}

/// What a thread does.
#[derive(Debug, Clone, PartialEq)]
pub enum Pattern {
    /// Nothing.
    Idle,
    /// Rewrites its set page after page.
    Sequential(Writing),
    /// Rewrites pages chosen evenly.
    Uniform(Writing),
    /// Rewrites pages with skew: the page of rank r is chosen in proportion to `r^-skew`.
    Zipf {
        /// How it writes.
        writing: Writing,
        /// Exponent, 0.1 to 5.
        skew: f64,
    },
    /// Two sets side by side, both uniform.
    HotCold {
        /// How it writes the hot set.
        hot: Writing,
        /// Bytes of the cold set, which follows the hot one in memory.
        cold_set: u64,
        /// Rate on the cold set.
        cold_rate: Rate,
    },
    /// Phases in turn, again and again.
    Phases(Vec<Phase>),
    /// Uniform on a set that grows.
    Growing {
        /// How it writes; `set` is the first size.
        writing: Writing,
        /// Size at which it stops growing, bytes.
        limit: u64,
        /// Growth.
        grow: Rate,
    },
    /// CPU only.
    Compute {
        /// Per cent of one CPU, 0 to 100.
        duty: f64,
    },
    /// Reads its set page after page. `writing.grain` says how much of a page is read.
    Read(Writing),
    /// Reads a disk from begin to end, again and again.
    Disk {
        /// Name below `/dev`.
        device: String,
        /// Rate of reading.
        rate: Rate,
        /// Bytes in one read, a multiple of a page.
        block: u64,
    },
    /// Sends or answers.
    Network(Network),
    /// Runs a real program.
    Program {
        /// Which.
        program: Program,
        /// What it works on, bytes.
        set: u64,
        /// At most so many per cent of one CPU, 5 to 400; none: as much as it gets.
        duty: Option<f64>,
    },
}

/// How a memory pattern touches its set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Writing {
    /// Where the set begins in the part's memory, bytes.
    pub at: u64,
    /// Working set, bytes, whole pages.
    pub set: u64,
    /// Rate; a page touched counts 4096 bytes.
    pub rate: Rate,
    /// How much of a page is touched.
    pub grain: Grain,
    /// Share of a page that is zeros, 0 to 1.
    pub compress: f64,
}

/// How fast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rate {
    /// As fast as it goes.
    Unlimited,
    /// Bytes a second, at least 1.
    BytesPerSecond(u64),
}

/// How much of a page is touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grain {
    /// All its words.
    Page,
    /// Its first word.
    Word,
}

/// One phase of a cycle.
#[derive(Debug, Clone, PartialEq)]
pub struct Phase {
    /// How long it lasts.
    pub time: Duration,
    /// What is done; not `Phases`, `Growing`, `Network` or `Program`.
    pub pattern: Pattern,
}

/// Network use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// Who sends, who answers.
    pub role: Role,
    /// UDP or TCP.
    pub protocol: Protocol,
    /// Bytes of one message.
    pub size: u64,
    /// Rate of sending.
    pub rate: Rate,
}

/// Who sends, who answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Sends to a peer.
    Send(SocketAddrV4),
    /// Sends to a peer and waits for the echo of each message.
    Exchange(SocketAddrV4),
    /// Throws away what arrives on this port.
    Sink(u16),
    /// Sends back what arrives on this port.
    Echo(u16),
}

/// Transport protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
}

impl Spec {
    /// Whether a part runs a real program, for which a guest needs the image of programs.
    #[must_use]
    pub fn runs_programs(&self) -> bool {
        let is_program = |part: &Part| matches!(part.pattern, Pattern::Program { .. });
        self.parts.iter().any(is_program)
    }

    /// Memory the load needs in the end, bytes: sets at their largest and fills, without the program itself.
    #[must_use]
    pub fn memory(&self) -> u64 {
        self.parts
            .iter()
            .map(|part| part.fill + part.pattern.memory())
            .sum()
    }
}

impl Pattern {
    /// Bytes of memory the pattern needs, at its largest, programs it starts included.
    #[must_use]
    pub fn memory(&self) -> u64 {
        match self {
            Self::Program { program, set, .. } => program.memory(*set),
            pattern => pattern.span(),
        }
    }

    /// Bytes of memory the pattern itself works on, at its largest.
    #[must_use]
    pub fn span(&self) -> u64 {
        match self {
            Self::Idle
            | Self::Compute { .. }
            | Self::Disk { .. }
            | Self::Network(_)
            | Self::Program { .. } => 0,
            Self::Sequential(writing)
            | Self::Uniform(writing)
            | Self::Zipf { writing, .. }
            | Self::Read(writing) => writing.at + writing.set,
            Self::HotCold { hot, cold_set, .. } => hot.at + hot.set + cold_set,
            Self::Growing { limit, .. } => *limit,
            Self::Phases(phases) => phases
                .iter()
                .map(|phase| phase.pattern.span())
                .max()
                .unwrap_or(0),
        }
    }
}

impl Rate {
    /// Bytes a second; none where unlimited.
    #[must_use]
    pub fn limit(self) -> Option<u64> {
        match self {
            Self::Unlimited => None,
            Self::BytesPerSecond(rate) => Some(rate),
        }
    }
}
