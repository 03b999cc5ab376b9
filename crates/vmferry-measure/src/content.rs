//! What pages hold: duplicates and compressibility of a sample.

use std::collections::HashMap;

use vmferry_core::Ratio;

use crate::memory::{PAGE, is_zero};

/// Non-zero pages whose compressibility is estimated: enough for 1 % of standard error, at about
/// 10 us each.
const COMPRESSED_PAGES: usize = 1024;

/// What the non-zero pages of a sample hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Content {
    nonzero: usize,
    duplicates: usize,
    compressed_pages: usize,
    compressed_bytes: usize,
}

impl Content {
    /// Takes one page into account. Every fourth is compressed, so that a sample of 4096 is
    /// covered from end to end.
    pub(crate) fn add(&mut self, page: &[u8; PAGE]) {
        if is_zero(page) {
            return;
        }
        self.nonzero += 1;
        if self.nonzero % 4 == 1 && self.compressed_pages < COMPRESSED_PAGES {
            self.compressed_pages += 1;
            self.compressed_bytes += compressed_size(page);
        }
    }

    /// Counts the pages whose hash equals another one's; hash 0 is the zero page.
    pub(crate) fn set_hashes(&mut self, hashes: &[u64]) {
        let mut count: HashMap<u64, usize> = HashMap::new();
        for hash in hashes.iter().filter(|hash| **hash != 0) {
            *count.entry(*hash).or_default() += 1;
        }
        self.nonzero = count.values().sum();
        self.duplicates = count.values().filter(|n| **n > 1).sum();
    }

    /// Share of non-zero pages whose content equals another sampled page's; `None` of none. A
    /// sample meets few of a page's copies, so this is a lower bound for the guest.
    #[must_use]
    pub fn duplicate(&self) -> Option<Ratio> {
        (self.nonzero > 0).then(|| Ratio(self.duplicates as f64 / self.nonzero as f64))
    }

    /// Mean size after a fast compression over mean size; `None` of no pages.
    #[must_use]
    pub fn compressed(&self) -> Option<Ratio> {
        let whole = self.compressed_pages * PAGE;
        (whole > 0).then(|| Ratio(self.compressed_bytes as f64 / whole as f64))
    }
}

/// Size of a page as a compressor of LZ4's kind would write it: greedy matches of 4 bytes or more
/// found through a table of last positions, 3 bytes a match and 1 a literal. Estimates within some
/// percent what multifd's fast methods reach, without writing anything.
fn compressed_size(page: &[u8; PAGE]) -> usize {
    const TABLE_BITS: u32 = 10;
    let mut last = [u16::MAX; 1 << TABLE_BITS];
    let word = |at: usize| u32::from_le_bytes([page[at], page[at + 1], page[at + 2], page[at + 3]]);
    let (mut at, mut size) = (0, 1);
    while at + 4 <= PAGE {
        let here = word(at);
        let slot = (here.wrapping_mul(2_654_435_761) >> (32 - TABLE_BITS)) as usize;
        let candidate = usize::from(last[slot]);
        last[slot] = at as u16;
        if candidate < at && word(candidate) == here {
            let length = page[at..]
                .iter()
                .zip(&page[candidate..])
                .take_while(|(a, b)| a == b)
                .count();
            size += 3 + length / 255;
            at += length;
        } else {
            size += 1;
            at += 1;
        }
    }
    (size + PAGE - at.min(PAGE)).min(PAGE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngCore, SeedableRng, rngs::SmallRng};

    #[test]
    fn noise_stays_and_repetition_shrinks() {
        let mut noise = [0; PAGE];
        SmallRng::seed_from_u64(1).fill_bytes(&mut noise);
        assert!(compressed_size(&noise) > PAGE * 98 / 100);
        assert!(compressed_size(&[7; PAGE]) < PAGE / 100);
        let mut half = noise;
        half[PAGE / 2..].fill(0);
        let size = compressed_size(&half);
        assert!((PAGE * 48 / 100..PAGE * 53 / 100).contains(&size), "{size}");
    }

    #[test]
    fn copies_count_on_both_sides() {
        let mut content = Content::default();
        assert_eq!((content.duplicate(), content.compressed()), (None, None));
        content.set_hashes(&[0, 0, 5, 6, 5, 7]);
        assert_eq!(content.duplicate(), Some(Ratio(0.5)));
    }
}
