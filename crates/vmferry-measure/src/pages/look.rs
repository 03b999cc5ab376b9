//! One look at every sampled page.

use xxhash_rust::xxh3::xxh3_64;

use crate::MeasureError;
use crate::memory::{BATCH, GuestMemory, PAGE, PageBuffer, is_zero};

/// The hash that stands for a zero page.
pub(crate) const ZERO: u64 = 0;

/// Two contents of 4 KiB collide with a chance of 2^-64: a missed change in 10^14 years.
pub(crate) fn hash(page: &[u8; PAGE]) -> u64 {
    if is_zero(page) {
        ZERO
    } else {
        xxh3_64(page).max(1)
    }
}

/// What the pages held at the last look.
#[derive(Debug)]
pub(crate) struct Looker {
    hashes: Vec<u64>,
    buffer: PageBuffer,
}

impl Looker {
    pub(crate) fn new(pages: usize) -> Self {
        Self {
            hashes: vec![ZERO; pages],
            buffer: PageBuffer::new(BATCH),
        }
    }

    /// Looks at every page, gives each to `seen` with its position, and returns the positions of
    /// those that changed since the last look.
    pub(crate) fn look(
        &mut self,
        memory: &GuestMemory,
        addresses: &[u64],
        mut seen: impl FnMut(usize, &[u8; PAGE]),
    ) -> Result<Vec<usize>, MeasureError> {
        let mut changed = Vec::new();
        for (batch, addresses) in addresses.chunks(BATCH).enumerate() {
            memory.read(addresses, &mut self.buffer)?;
            for (within, page) in self.buffer.pages()[..addresses.len()].iter().enumerate() {
                let position = batch * BATCH + within;
                let hash = hash(page);
                if hash != self.hashes[position] {
                    self.hashes[position] = hash;
                    changed.push(position);
                }
                seen(position, page);
            }
        }
        // The reads went by PID: had the process ended, they could have met another one.
        if memory.process().is_alive() {
            Ok(changed)
        } else {
            Err(memory.process().exited())
        }
    }

    pub(crate) fn hashes(&self) -> &[u64] {
        &self.hashes
    }
}
