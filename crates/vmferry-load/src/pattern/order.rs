//! Which page comes next.

use crate::random::Random;

/// An order of pages.
pub(crate) enum Order {
    /// One after the other, again and again.
    Sequential {
        /// The next page.
        next: u64,
    },
    /// Each equally likely.
    Uniform(Random),
    /// The page of rank r in proportion to `r^-skew`.
    Zipf {
        /// For each rank, the share of it and all before, of 2^32.
        shares: Vec<u32>,
        /// Rank to page: times this, modulo the number of pages; prime to it, so that hot pages lie scattered.
        stride: u64,
        /// Where the choice comes from.
        random: Random,
    },
}

impl Order {
    pub(crate) fn sequential() -> Self {
        Self::Sequential { next: 0 }
    }

    pub(crate) fn uniform(seed: u64) -> Self {
        Self::Uniform(Random::new(seed ^ 0x0bde))
    }

    pub(crate) fn zipf(pages: u64, skew: f64, seed: u64) -> Self {
        let weight = |rank: u64| (rank as f64).powf(-skew);
        let total: f64 = (1..=pages).map(weight).sum();
        let mut sum = 0.0;
        let shares = (1..=pages)
            .map(|rank| {
                sum += weight(rank);
                (sum / total * f64::from(u32::MAX)) as u32
            })
            .collect();
        Self::Zipf {
            shares,
            stride: stride(pages),
            random: Random::new(seed ^ 0x21bf),
        }
    }

    /// The next of `pages` pages.
    pub(crate) fn next(&mut self, pages: u64) -> u64 {
        match self {
            Self::Sequential { next } => {
                let page = *next % pages;
                *next = page + 1;
                page
            }
            Self::Uniform(random) => random.below(pages),
            Self::Zipf {
                shares,
                stride,
                random,
            } => {
                let choice = (random.word() >> 32) as u32;
                let rank = shares.partition_point(|share| *share < choice) as u64;
                rank.min(pages - 1) * *stride % pages
            }
        }
    }
}

/// About the golden section of `pages`, prime to it.
fn stride(pages: u64) -> u64 {
    let from = (pages as f64 * 0.618) as u64;
    (from.max(1)..)
        .find(|stride| divisor(*stride, pages) == 1)
        .unwrap_or(1)
}

fn divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(order: &mut Order, pages: u64, draws: usize) -> Vec<u64> {
        let mut counts = vec![0; pages as usize];
        for _ in 0..draws {
            counts[order.next(pages) as usize] += 1;
        }
        counts
    }

    #[test]
    fn sequential_goes_round() {
        let mut order = Order::sequential();
        let pages: Vec<u64> = (0..7).map(|_| order.next(3)).collect();
        assert_eq!(pages, [0, 1, 2, 0, 1, 2, 0]);
    }

    #[test]
    fn uniform_reaches_all_alike() {
        let counts = counts(&mut Order::uniform(1), 100, 100_000);
        assert!(
            counts.iter().all(|count| (850..1150).contains(count)),
            "{counts:?}"
        );
    }

    #[test]
    fn zipf_follows_its_law() {
        let draws = 200_000;
        let mut counts = counts(&mut Order::zipf(1000, 1.0, 1), 1000, draws);
        counts.sort_unstable_by(|a, b| b.cmp(a));
        let harmonic: f64 = (1..=1000).map(|rank| 1.0 / f64::from(rank)).sum();
        for rank in [1, 2, 10] {
            let expected = draws as f64 / f64::from(rank) / harmonic;
            let found = counts[rank as usize - 1] as f64;
            assert!(
                (found / expected - 1.0).abs() < 0.1,
                "rank {rank}: {found} of {expected}"
            );
        }
    }

    #[test]
    fn zipf_scatters_ranks_over_all_pages() {
        for pages in [1, 2, 3, 16, 1000, 16_384, 16_385] {
            let stride = stride(pages);
            let mut seen = vec![false; pages as usize];
            for rank in 0..pages {
                seen[(rank * stride % pages) as usize] = true;
            }
            assert!(seen.into_iter().all(|seen| seen), "{pages}");
        }
    }
}
