//! Numbers without order: what is drawn once and must come out the same again.

/// A number that follows no order in either of two others: for orders and
/// instants that nobody observed, the same in every run. Evenly spread over
/// all of `u64`; the upper bits are the better ones.
pub fn scattered(one: u64, other: u64) -> u64 {
    let hash = one
        .wrapping_add(1)
        .wrapping_mul(0x9E37_79B9_7F4A_7C15)
        .wrapping_add(other.wrapping_add(1).wrapping_mul(0xD6E8_FEB8_6659_FD93));
    (hash ^ hash >> 29).wrapping_mul(0xBF58_476D_1CE4_E5B9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_spread_evenly() {
        let mut counts = [0u32; 64];
        for one in 0..256 {
            for other in 0..256 {
                counts[(scattered(one, other) >> 58) as usize] += 1;
            }
        }
        // 1024 each; five standard deviations are 160.
        assert!(
            counts.iter().all(|count| count.abs_diff(1024) < 160),
            "{counts:?}"
        );
    }
}
