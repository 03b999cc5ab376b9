//! A set of units, fast to scan in order.

/// A set of unit positions below a fixed bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitSet {
    words: Vec<u64>,
    units: usize,
    len: usize,
}

impl UnitSet {
    /// The empty set over `units` units.
    pub fn empty(units: usize) -> Self {
        Self {
            words: vec![0; units.div_ceil(64)],
            units,
            len: 0,
        }
    }

    /// Every one of `units` units.
    pub fn full(units: usize) -> Self {
        let mut words = vec![u64::MAX; units.div_ceil(64)];
        if !units.is_multiple_of(64)
            && let Some(last) = words.last_mut()
        {
            *last = (1 << (units % 64)) - 1;
        }
        Self {
            words,
            units,
            len: units,
        }
    }

    /// Number of members.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no member.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds a unit.
    pub fn insert(&mut self, unit: usize) {
        debug_assert!(unit < self.units);
        let (word, bit) = (&mut self.words[unit / 64], 1 << (unit % 64));
        self.len += usize::from(*word & bit == 0);
        *word |= bit;
    }

    /// Takes a unit out.
    pub fn remove(&mut self, unit: usize) {
        let (word, bit) = (&mut self.words[unit / 64], 1 << (unit % 64));
        self.len -= usize::from(*word & bit != 0);
        *word &= !bit;
    }

    /// Adds units 64 at a time, from word `first` on: bit b of word w is unit 64 w + b.
    pub(super) fn merge(&mut self, first: usize, bits: &[u64]) {
        let mut added = 0;
        for (word, bits) in self.words[first..].iter_mut().zip(bits) {
            added += u64::from((bits & !*word).count_ones());
            *word |= bits;
        }
        self.len += added as usize;
    }

    /// Takes out a word whose 64 units are all members.
    pub(super) fn drop_full(&mut self, word: usize) {
        debug_assert_eq!(self.words[word], u64::MAX);
        self.words[word] = 0;
        self.len -= 64;
    }

    /// Takes units out 64 at a time.
    pub(super) fn drop_from(&mut self, word: usize, bits: u64) {
        let old = self.words[word];
        self.len -= (bits & old).count_ones() as usize;
        self.words[word] = old & !bits;
    }

    /// The members, 64 a word.
    pub(super) fn words(&self) -> &[u64] {
        &self.words
    }

    /// Whether a unit is in the set.
    pub fn contains(&self, unit: usize) -> bool {
        self.words[unit / 64] >> (unit % 64) & 1 == 1
    }

    /// The first member at `from` or after it.
    pub fn next_from(&self, from: usize) -> Option<usize> {
        let mut word = from / 64;
        let mut bits = self.words.get(word)? & (u64::MAX << (from % 64));
        while bits == 0 {
            word += 1;
            bits = *self.words.get(word)?;
        }
        Some(word * 64 + bits.trailing_zeros() as usize)
    }

    /// The first member at `from` or after it, going round past the end.
    pub fn next_cyclic(&self, from: usize) -> Option<usize> {
        self.next_from(from).or_else(|| self.next_from(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn scans_like_a_list(members in prop::collection::btree_set(0usize..200, 0..20), from in 0usize..200) {
            let mut set = UnitSet::empty(200);
            for unit in &members {
                set.insert(*unit);
            }
            prop_assert_eq!(set.next_from(from), members.range(from..).next().copied());
            let first = members.first().copied();
            prop_assert_eq!(set.next_cyclic(from), members.range(from..).next().copied().or(first));
            prop_assert_eq!((set.len(), set.is_empty()), (members.len(), members.is_empty()));
            set.merge(1, &[0b101]);
            set.remove(64);
            set.drop_from(0, u64::MAX);
            let kept = members.range(65..).filter(|m| **m != 66).count() + 1;
            prop_assert_eq!(set.len(), kept);
            prop_assert_eq!(UnitSet::full(from).len(), from);
            for unit in &members {
                set.insert(*unit);
                prop_assert!(!set.is_empty());
                set.remove(*unit);
                set.remove(*unit);
            }
            set.remove(66);
            prop_assert!(set.is_empty());
        }
    }
}
