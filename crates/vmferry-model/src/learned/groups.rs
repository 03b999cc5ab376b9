//! Parts of a set of moves that are left out together.

use std::collections::HashMap;
use std::hash::Hash;

/// Deals moves out to at most `most` parts so that moves of equal key are in
/// one part, and the parts are about equally large. Gives each move's part
/// and their number. The same keys give the same parts.
pub(crate) fn parts<K: Hash + Eq>(
    keys: impl Iterator<Item = K>,
    most: usize,
) -> (Vec<usize>, usize) {
    let mut number = HashMap::new();
    let mut sizes: Vec<usize> = Vec::new();
    let of: Vec<usize> = keys
        .map(|key| {
            let next = number.len();
            let group = *number.entry(key).or_insert(next);
            if group == sizes.len() {
                sizes.push(0);
            }
            sizes[group] += 1;
            group
        })
        .collect();
    if sizes.len() <= most {
        return (of, sizes.len());
    }
    // The largest first, each to the part that is smallest so far.
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by_key(|group| std::cmp::Reverse(sizes[*group]));
    let mut filled = vec![0; most.max(1)];
    let mut part = vec![0; sizes.len()];
    for group in order {
        let least = (0..filled.len()).min_by_key(|i| filled[*i]).unwrap_or(0);
        filled[least] += sizes[group];
        part[group] = least;
    }
    (
        of.into_iter().map(|group| part[group]).collect(),
        filled.len(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn keys_stay_together(keys in prop::collection::vec(0u8..30, 1..200), most in 1usize..12) {
            let (part, count) = parts(keys.iter(), most);
            let distinct = keys.iter().collect::<std::collections::HashSet<_>>().len();
            prop_assert_eq!(count, distinct.min(most));
            for (i, key) in keys.iter().enumerate() {
                prop_assert!(part[i] < count);
                for (j, other) in keys.iter().enumerate() {
                    prop_assert!(key != other || part[i] == part[j]);
                }
            }
            for wanted in 0..count {
                prop_assert!(part.contains(&wanted));
            }
        }
    }
}
