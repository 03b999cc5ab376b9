//! Cheap random numbers: a few instructions a word, since an emulated guest pays for each.

/// xorshift64: never zero, period 2^64 - 1.
#[derive(Clone)]
pub(crate) struct Random(u64);

impl Random {
    /// Numbers of this seed; nearby seeds give unrelated numbers.
    pub(crate) fn new(seed: u64) -> Self {
        // SplitMix64 spreads the seed.
        let mut mixed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Self((mixed ^ (mixed >> 31)).max(1))
    }

    /// The next word, never zero.
    pub(crate) fn word(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `end`, which is below 2^32.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        ((self.word() >> 32) * end) >> 32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreads_evenly() {
        let mut random = Random::new(1);
        let mut counts = [0u32; 10];
        for _ in 0..100_000 {
            counts[random.below(10) as usize] += 1;
        }
        assert!(
            counts.iter().all(|count| count.abs_diff(10_000) < 500),
            "{counts:?}"
        );
    }

    #[test]
    fn seeds_differ_and_repeat() {
        assert_ne!(Random::new(1).word(), Random::new(2).word());
        assert_eq!(Random::new(3).word(), Random::new(3).word());
    }
}
