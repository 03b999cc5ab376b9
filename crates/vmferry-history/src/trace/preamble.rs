//! The first bytes of a trace: the same in every version of the format.

use super::TraceError;

/// Version of the format that is written. Raised when a reader of the version before would
/// misunderstand; kinds of frames that it may skip do not raise it.
pub const FORMAT_VERSION: u32 = 1;

/// Oldest version of the format that can be read.
pub const OLDEST_FORMAT_VERSION: u32 = 1;

/// Not text, and broken by what converts line ends.
const MAGIC: [u8; 8] = *b"\x89VMFT\r\n\x1a";

const TOOL: usize = 32;

/// Magic, version, tool version padded with zeros, checksum of all that.
pub(super) const LENGTH: usize = MAGIC.len() + 4 + TOOL + 4;

/// The preamble of this version.
pub(super) fn encode() -> [u8; LENGTH] {
    of(FORMAT_VERSION, env!("CARGO_PKG_VERSION"))
}

pub(super) fn of(version: u32, tool: &str) -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    let mut at = 0;
    let mut put = |part: &[u8]| {
        bytes[at..at + part.len()].copy_from_slice(part);
        at += part.len();
    };
    put(&MAGIC);
    put(&version.to_le_bytes());
    let mut padded = [0; TOOL];
    for (to, from) in padded.iter_mut().zip(tool.bytes()) {
        *to = from;
    }
    put(&padded);
    let sum = crc32fast::hash(&bytes[..LENGTH - 4]);
    bytes[LENGTH - 4..].copy_from_slice(&sum.to_le_bytes());
    bytes
}

/// What a preamble says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Preamble {
    /// Version of the format.
    pub(super) version: u32,
    /// Version of vmferry that wrote it.
    pub(super) tool: String,
}

/// Reads what was found where a preamble should be, which may be shorter.
pub(super) fn decode(trace: &str, bytes: &[u8]) -> Result<Preamble, TraceError> {
    let trace = trace.to_owned();
    let begun = bytes.len().min(MAGIC.len());
    if bytes[..begun] != MAGIC[..begun] {
        return Err(TraceError::NotATrace { trace });
    }
    let Some((bytes, _)) = bytes.split_first_chunk::<LENGTH>() else {
        return Err(TraceError::CutInHeader {
            trace,
            at_byte: bytes.len() as u64,
        });
    };
    let word = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|i| bytes[at + i]));
    if crc32fast::hash(&bytes[..LENGTH - 4]) != word(LENGTH - 4) {
        return Err(TraceError::Damaged {
            trace,
            at_byte: 0,
            problem: "its checksum does not fit",
            whole_frames: 0,
        });
    }
    let tool = &bytes[MAGIC.len() + 4..LENGTH - 4];
    let tool = String::from_utf8_lossy(tool)
        .trim_end_matches('\0')
        .to_owned();
    match word(MAGIC.len()) {
        found if found > FORMAT_VERSION => Err(TraceError::TooNew {
            trace,
            found,
            known: FORMAT_VERSION,
            tool,
        }),
        found if found < OLDEST_FORMAT_VERSION => Err(TraceError::TooOld {
            trace,
            found,
            known: OLDEST_FORMAT_VERSION,
            tool,
        }),
        version => Ok(Preamble { version, tool }),
    }
}
