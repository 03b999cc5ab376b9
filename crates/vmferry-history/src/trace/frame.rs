//! Frames: a head with lengths and checksums, then a payload compressed with zstd. Each stands
//! alone.

use std::io::{self, Read, Write};

use zstd::bulk::{Compressor, Decompressor};

/// What a frame holds. Readers skip kinds that they do not know.
pub(super) const HEADER: u8 = 1;
pub(super) const PAGES: u8 = 2;
pub(super) const INTERVALS: u8 = 3;
pub(super) const END: u8 = 4;

/// Kind, stored length, plain length, checksum of the stored payload, checksum of this head.
pub(super) const HEAD: usize = 1 + 4 + 4 + 4 + 4;

/// Longest payload before compression: bounds the memory of a reader. Above a bitmap of
/// [`super::MAX_PAGES`] bits.
pub(super) const MAX_PLAIN: usize = 64 << 20;

/// Longest payload after compression: zstd grows what cannot be compressed by less than this.
const MAX_STORED: usize = MAX_PLAIN + (1 << 20);

/// Fast, and within some percent of the slower levels on these payloads, which are packed already.
const LEVEL: i32 = 1;

/// Compresses payloads and writes frames, each with one call so that a frame is on its way whole.
pub(super) struct FrameWriter<W> {
    output: W,
    compressor: Compressor<'static>,
    bytes: Vec<u8>,
}

impl<W: Write> FrameWriter<W> {
    pub(super) fn new(output: W) -> io::Result<Self> {
        Ok(Self {
            output,
            compressor: Compressor::new(LEVEL)?,
            bytes: Vec::new(),
        })
    }

    pub(super) fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.output.write_all(bytes)
    }

    pub(super) fn write(&mut self, kind: u8, plain: &[u8]) -> io::Result<()> {
        if plain.len() > MAX_PLAIN {
            return Err(io::Error::other("a frame is too long"));
        }
        let stored = self.compressor.compress(plain)?;
        let mut head = [0; HEAD];
        head[0] = kind;
        for (at, word) in [
            (1, stored.len() as u32),
            (5, plain.len() as u32),
            (9, crc32fast::hash(&stored)),
        ] {
            head[at..at + 4].copy_from_slice(&word.to_le_bytes());
        }
        let sum = crc32fast::hash(&head[..HEAD - 4]);
        head[HEAD - 4..].copy_from_slice(&sum.to_le_bytes());
        self.bytes.clear();
        self.bytes.extend_from_slice(&head);
        self.bytes.extend_from_slice(&stored);
        self.output.write_all(&self.bytes)
    }

    pub(super) fn into_output(mut self) -> io::Result<W> {
        self.output.flush()?;
        Ok(self.output)
    }
}

/// What stands where a frame should be.
pub(super) enum Found {
    Frame { kind: u8, plain: Vec<u8> },
    CutOff,
    Damaged(&'static str),
}

/// Reads frames, and counts bytes.
pub(super) struct FrameReader<R> {
    input: R,
    decompressor: Decompressor<'static>,
    /// Bytes read so far.
    pub(super) at: u64,
}

impl<R: Read> FrameReader<R> {
    pub(super) fn new(input: R) -> io::Result<Self> {
        Ok(Self {
            input,
            decompressor: Decompressor::new()?,
            at: 0,
        })
    }

    /// At most `length` bytes; fewer only at the end of the file. Memory grows with what is there,
    /// not with what a length promises.
    pub(super) fn take(&mut self, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let read = (&mut self.input)
            .take(length as u64)
            .read_to_end(&mut bytes)?;
        self.at += read as u64;
        Ok(bytes)
    }

    pub(super) fn next(&mut self) -> io::Result<Found> {
        let head = self.take(HEAD)?;
        let Some(head) = head.first_chunk::<HEAD>() else {
            return Ok(Found::CutOff);
        };
        let word = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|i| head[at + i]));
        if crc32fast::hash(&head[..HEAD - 4]) != word(HEAD - 4) {
            return Ok(Found::Damaged(
                "the checksum of a frame's head does not fit",
            ));
        }
        let (stored_length, plain_length) = (word(1) as usize, word(5) as usize);
        if stored_length > MAX_STORED || plain_length > MAX_PLAIN {
            return Ok(Found::Damaged("a frame is too long"));
        }
        let stored = self.take(stored_length)?;
        if stored.len() < stored_length {
            return Ok(Found::CutOff);
        }
        if crc32fast::hash(&stored) != word(9) {
            return Ok(Found::Damaged("the checksum of a frame does not fit"));
        }
        match self.decompressor.decompress(&stored, plain_length) {
            Ok(plain) if plain.len() == plain_length => Ok(Found::Frame {
                kind: head[0],
                plain,
            }),
            _ => Ok(Found::Damaged("a frame cannot be decompressed")),
        }
    }
}
