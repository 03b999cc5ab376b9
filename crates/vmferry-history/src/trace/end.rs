//! How a trace ends.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vmferry_core::{Millis, Ratio};

/// Why a recording ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// It lasted as long as was asked.
    Complete,
    /// Somebody ended it early.
    Stopped,
    /// The guest exited.
    GuestExited,
    /// Reading the guest's memory failed; the notes say why.
    Failed,
}

/// The last frame of a trace that was ended in order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TraceFooter {
    /// Why the recording ended.
    pub reason: EndReason,
    /// Processor time that recording took, as a share of one core over its length.
    pub cpu: Ratio,
    /// What the reader should know, each a sentence.
    pub notes: Vec<String>,
}

/// How a trace ends: in order, or not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum TraceEnd {
    /// The recording was ended in order.
    Ended {
        /// Its last frame.
        #[serde(flatten)]
        footer: TraceFooter,
    },
    /// The file ends before the recording did: the recorder was killed, the disk full, or the
    /// copy partial. What was read is sound.
    CutOff {
        /// Length of the file.
        at_byte: u64,
        /// End of the last whole frame.
        whole_bytes: u64,
    },
    /// The file is damaged. What was read before the damage is sound, and what follows unknown.
    Damaged {
        /// Start of the damaged frame.
        at_byte: u64,
        /// Instant of the last sound interval, from the start of the recording.
        sound_until_ms: Millis,
        /// What is wrong.
        problem: String,
    },
}
