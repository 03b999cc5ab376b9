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
    ///
    /// Pages known to be written often, `rewritten` by position in growing order, are drawn apart
    /// from the others: they get half of the sample, or all that they need, or as much as in a
    /// plain draw. Small blocks may then get no page of their own.
    pub(crate) fn draw(memory: &GuestMemory, pages: usize, seed: u64, rewritten: &[u64]) -> Self {
        let blocks = memory.blocks();
        let all = blocks.iter().map(|b| b.pages).sum::<u64>();
        if rewritten.is_empty() || pages < 2 || all <= pages as u64 {
            Self::of_blocks(blocks, pages, seed)
        } else {
            Self::of_two_kinds(blocks, pages, seed, rewritten)
        }
    }

    fn of_two_kinds(blocks: &[MemoryBlock], pages: usize, seed: u64, rewritten: &[u64]) -> Self {
        let mut random = SmallRng::seed_from_u64(seed);
        // Ranks among the pages with a known address, in sending order.
        let mut first_rank = 0;
        let mut ranks = Vec::with_capacity(rewritten.len());
        let mut of_block = rewritten.iter().copied().peekable();
        for block in blocks {
            let end = block.first_page + block.pages;
            while let Some(page) = of_block.next_if(|page| *page < end) {
                if page >= block.first_page {
                    ranks.push(first_rank + page - block.first_page);
                }
            }
            first_rank += block.pages;
        }
        let others = first_rank - ranks.len() as u64;
        // Half of the sample, or as much as in a plain draw; what the others do not use as well.
        let (wanted, written) = (pages as u64, ranks.len() as u64);
        let share = (u128::from(wanted) * u128::from(written) / u128::from(first_rank)) as u64;
        let of_others = (wanted - written.min(share.max(wanted / 2))).min(others);
        let of_written = (wanted - of_others).min(written);
        let mut drawn: Vec<(u64, u64)> = Vec::with_capacity(pages);
        for (start, end) in strata(written, of_written) {
            drawn.push((ranks[random.random_range(start..end) as usize], end - start));
        }
        let mut written_before = 0;
        for (start, end) in strata(others, of_others) {
            let other = random.random_range(start..end);
            while ranks
                .get(written_before)
                .is_some_and(|rank| *rank <= other + written_before as u64)
            {
                written_before += 1;
            }
            drawn.push((other + written_before as u64, end - start));
        }
        drawn.sort_unstable();

        let mut sample = Self {
            addresses: Vec::with_capacity(drawn.len()),
            pages: Vec::with_capacity(drawn.len()),
        };
        let mut drawn = drawn.into_iter().peekable();
        let mut first_rank = 0;
        for block in blocks {
            while let Some((rank, weight)) = drawn.next_if(|(r, _)| *r < first_rank + block.pages) {
                let page = rank - first_rank;
                sample.addresses.push(block.address + page * PAGE_SIZE.0);
                sample.pages.push(SampledPage {
                    index: Pages(block.first_page + page),
                    weight: weight as f64,
                    zero: false,
                });
            }
            first_rank += block.pages;
        }
        sample
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
            let count = u64::try_from(share)
                .unwrap_or(u64::MAX)
                .clamp(1, block.pages);
            for (start, end) in strata(block.pages, count) {
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

/// Cuts `0..total` into `count` stretches of equal length, up to one.
fn strata(total: u64, count: u64) -> impl Iterator<Item = (u64, u64)> {
    let bound = move |i: u64| {
        // Fits: the quotient is at most the total.
        (u128::from(total) * u128::from(i) / u128::from(count)) as u64
    };
    (0..count).map(move |i| (bound(i), bound(i + 1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::Rng;

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

    proptest! {
        #[test]
        fn written_pages_are_drawn_apart_and_all_add_up(
            sizes in prop::collection::vec(1u64..3_000, 1..5),
            share in 0f64..0.9,
            wanted in 16usize..500,
            seed: u64,
        ) {
            let blocks = blocks(&sizes);
            let total: u64 = sizes.iter().sum();
            let mut random = SmallRng::seed_from_u64(seed);
            let written: Vec<u64> = (0..total).filter(|_| random.random_bool(share)).collect();
            prop_assume!(total > wanted as u64 && !written.is_empty());
            let sample = Sample::of_two_kinds(&blocks, wanted, seed, &written);
            prop_assert!(sample.len() <= wanted);
            prop_assert!(sample.pages.windows(2).all(|p| p[0].index < p[1].index));
            let of_written: Vec<&SampledPage> = sample
                .pages
                .iter()
                .filter(|page| written.binary_search(&page.index.0).is_ok())
                .collect();
            let sum = |pages: &[&SampledPage]| pages.iter().map(|p| p.weight).sum::<f64>();
            prop_assert_eq!(sum(&of_written), written.len() as f64);
            prop_assert_eq!(sum(&sample.pages.iter().collect::<Vec<_>>()), total as f64);
            prop_assert!(of_written.len() >= written.len().min(wanted / 2));
            prop_assert!(of_written.len() >= wanted * written.len() / total as usize);
            prop_assert!(sample.len() == wanted.min(total as usize));
            for (page, address) in sample.pages.iter().zip(&sample.addresses) {
                let block = blocks.iter().rfind(|b| b.first_page <= page.index.0).unwrap();
                let offset = (page.index.0 - block.first_page) * PAGE_SIZE.0;
                prop_assert_eq!(*address, block.address + offset);
            }
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
