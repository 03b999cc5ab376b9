//! Student's distribution.

/// 95th percentiles for 1 to 30 degrees of freedom.
const T_95: [f64; 30] = [
    6.314, 2.920, 2.353, 2.132, 2.015, 1.943, 1.895, 1.860, 1.833, 1.812, 1.796, 1.782, 1.771,
    1.761, 1.753, 1.746, 1.740, 1.734, 1.729, 1.725, 1.721, 1.717, 1.714, 1.711, 1.708, 1.706,
    1.703, 1.701, 1.699, 1.697,
];

/// Its 95th percentile, with which a two-sided interval holds 90 %; `None`
/// without a degree of freedom. Beyond the table within 0.002 of it.
pub(crate) fn t_95(freedom: u32) -> Option<f64> {
    let nth = usize::try_from(freedom).ok()?.checked_sub(1)?;
    Some(
        T_95.get(nth)
            .copied()
            .unwrap_or(1.6449 + 1.524 / f64::from(freedom)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_tables_print_it() {
        assert_eq!(t_95(0), None);
        assert_eq!(t_95(1), Some(6.314));
        assert_eq!(t_95(8), Some(1.860));
        for (freedom, printed) in [(40, 1.684), (60, 1.671), (120, 1.658)] {
            assert!((t_95(freedom).unwrap() - printed).abs() < 2e-3, "{freedom}");
        }
    }
}
