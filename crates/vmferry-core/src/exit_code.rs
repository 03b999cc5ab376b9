//! The documented exit codes of the `vmferry` command.

/// What the process exits with. Scripts may rely on these numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// Done.
    Done = 0,
    /// A fault of vmferry itself, or the history cannot be used.
    Internal = 1,
    /// The command line or an input file is wrong.
    Usage = 2,
    /// The forecast advises against the move; nothing was moved.
    AdvisedAgainst = 10,
    /// The guest moved, but a promise was missed.
    PromiseMissed = 11,
    /// The move failed; the guest runs at the source.
    FailedSafe = 20,
    /// The move failed and the guest's place could not be established.
    Uncertain = 21,
    /// Cancelled by the operator; the guest runs at the source.
    Cancelled = 22,
    /// A benchmark found a regression.
    Regression = 30,
    /// The hypervisor cannot be reached, or cannot do what was asked.
    Hypervisor = 40,
    /// Too little data for an answer.
    TooLittleData = 50,
}

impl ExitCode {
    /// Every code with its meaning, in numeric order: for help texts.
    pub const ALL: [(Self, &'static str); 11] = [
        (Self::Done, "done"),
        (
            Self::Internal,
            "internal error, or the history cannot be used",
        ),
        (
            Self::Usage,
            "usage: the command line or an input file is wrong",
        ),
        (
            Self::AdvisedAgainst,
            "advised not to migrate; nothing was moved",
        ),
        (Self::PromiseMissed, "moved, but a promise was missed"),
        (Self::FailedSafe, "failed; the guest runs at the source"),
        (Self::Uncertain, "failed; the guest's place is uncertain"),
        (Self::Cancelled, "cancelled; the guest runs at the source"),
        (Self::Regression, "benchmark regression"),
        (Self::Hypervisor, "hypervisor unreachable or unable"),
        (Self::TooLittleData, "too little data"),
    ];
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}
