//! Which pages are watched: a sample stratified by address.

use rand::Rng;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use vmferry_core::{PAGE_SIZE, Pages, SampledPage};

use crate::memory::{GuestMemory, MemoryBlock};

/// The pages to watch: every block is cut into equal strata, and of each stratum one page, drawn
/// at random, stands for all. Stratifying makes the estimates of a guest's memory, whose use is
/// clustered, several times sharper than a simple random sample of the same size.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sample {
    /// Addresses in the guest's process, in sending order.
    pub(crate) addresses: Vec<u64>,
    pages: Vec<SampledPage>,
}

impl Sample {
    /// About `pages` pages of a guest's memory: as many as its blocks' sizes suggest, at least one
    /// of each block, and all pages where there are no more than that. The same `seed` draws the
    /// same pages.
    pub(crate) fn draw(memory: &GuestMemory, pages: usize, seed: u64) -> Self {
        Self::of_blocks(memory.blocks(), pages, seed)
    }

    fn of_blocks(blocks: &[MemoryBlock], pages: usize, seed: u64) -> Self {
        let total: u64 = blocks.iter().map(|b| b.pages).sum();
        let mut random = SmallRng::seed_from_u64(seed);
        let mut sample = Self {
            addresses: Vec::with_capacity(pages + blocks.len()),
            pages: Vec::with_capacity(pages + blocks.len()),
        };
        for block in blocks {
            let share = pages as u128 * u128::from(block.pages) / u128::from(total.max(1));
            let strata = u64::try_from(share)
                .unwrap_or(u64::MAX)
                .clamp(1, block.pages);
            let bound = |i: u64| {
                // Fits: the quotient is at most the block's number of pages.
                (u128::from(block.pages) * u128::from(i) / u128::from(strata)) as u64
            };
            for stratum in 0..strata {
                let (start, end) = (bound(stratum), bound(stratum + 1));
                let page = random.random_range(start..end);
                sample.addresses.push(block.address + page * PAGE_SIZE.0);
                sample.pages.push(SampledPage {
                    index: Pages(block.first_page + page),
                    weight: (end - start) as f64,
                    zero: false,
                });
            }
        }
        sample
    }

    /// Number of pages.
    pub(crate) fn len(&self) -> usize {
        self.pages.len()
    }

    /// The pages with what is known of them now: zero or not.
    pub(crate) fn into_pages(mut self, zero: impl Fn(usize) -> bool) -> Vec<SampledPage> {
        for (position, page) in self.pages.iter_mut().enumerate() {
            page.zero = zero(position);
        }
        self.pages
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn blocks(sizes: &[u64]) -> Vec<MemoryBlock> {
        let mut first_page = 0;
        sizes
            .iter()
            .enumerate()
            .map(|(i, pages)| {
                let block = MemoryBlock {
                    name: format!("block{i}"),
                    address: (i as u64 + 1) << 40,
                    pages: *pages,
                    first_page,
                };
                first_page += pages;
                block
            })
            .collect()
    }

    proptest! {
        #[test]
        fn every_block_is_represented_exactly(
            sizes in prop::collection::vec(1u64..100_000, 1..8),
            wanted in 1usize..5000,
            seed: u64,
        ) {
            let blocks = blocks(&sizes);
            let sample = Sample::of_blocks(&blocks, wanted, seed);
            prop_assert!(sample.len() <= wanted + blocks.len());
            for block in &blocks {
                let inside = block.first_page..block.first_page + block.pages;
                let (mut weight, mut at_their_address) = (0.0, true);
                for (page, address) in sample.pages.iter().zip(&sample.addresses) {
                    if inside.contains(&page.index.0) {
                        weight += page.weight;
                        let offset = (page.index.0 - block.first_page) * PAGE_SIZE.0;
                        at_their_address &= *address == block.address + offset;
                    }
                }
                prop_assert_eq!(weight, block.pages as f64);
                prop_assert!(at_their_address);
            }
            prop_assert!(sample.pages.windows(2).all(|p| p[0].index < p[1].index));
        }
    }

    #[test]
    fn small_guests_are_watched_whole_and_seeds_repeat() {
        let small = blocks(&[300, 5]);
        let all = Sample::of_blocks(&small, 4096, 1);
        assert!(all.pages.iter().all(|p| p.weight == 1.0) && all.len() == 305);
        let large = blocks(&[1 << 20, 16]);
        let first = Sample::of_blocks(&large, 4096, 7);
        assert_eq!(first, Sample::of_blocks(&large, 4096, 7));
        assert_ne!(first, Sample::of_blocks(&large, 4096, 8));
    }
}
