//! A set of units, fast to scan in order.

/// A set of unit positions below a fixed bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitSet {
    words: Vec<u64>,
    units: usize,
    members: usize,
}

impl UnitSet {
    /// The empty set over `units` units.
    pub fn empty(units: usize) -> Self {
        Self {
            words: vec![0; units.div_ceil(64)],
            units,
            members: 0,
        }
    }

    /// Every one of `units` units.
    pub fn full(units: usize) -> Self {
        let mut set = Self::empty(units);
        for unit in 0..units {
            set.insert(unit);
        }
        set
    }

    /// Adds a unit.
    pub fn insert(&mut self, unit: usize) {
        debug_assert!(unit < self.units);
        self.members += usize::from(!self.contains(unit));
        self.words[unit / 64] |= 1 << (unit % 64);
    }

    /// Takes a unit out.
    pub fn remove(&mut self, unit: usize) {
        self.members -= usize::from(self.contains(unit));
        self.words[unit / 64] &= !(1 << (unit % 64));
    }

    /// Whether no unit is in the set.
    pub fn is_empty(&self) -> bool {
        self.members == 0
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
            for unit in &members {
                prop_assert!(!set.is_empty());
                set.insert(*unit);
                set.remove(*unit);
                set.remove(*unit);
            }
            prop_assert!(set.is_empty());
        }
    }
}
