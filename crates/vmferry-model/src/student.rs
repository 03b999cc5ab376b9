//! Percentiles of means and lines of few values.

/// 95th percentile of the normal distribution.
pub(crate) const Z95: f64 = 1.644_853_627;

/// 95th percentile of Student's t: exact for few degrees of freedom, beyond by
/// its expansion around the normal (within half a percent).
pub(crate) fn t95(freedom: usize) -> f64 {
    const FEW: [f64; 4] = [6.314, 2.920, 2.353, 2.132];
    let n = freedom.max(1);
    FEW.get(n - 1).copied().unwrap_or_else(|| {
        let (z, n) = (Z95, n as f64);
        let first = (z.powi(3) + z) / 4.0;
        let second = (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / 96.0;
        z + first / n + second / (n * n)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn student_by_the_tables() {
        for (freedom, table) in [(1, 6.314), (4, 2.132), (5, 2.015), (9, 1.833), (30, 1.697)] {
            let got = t95(freedom);
            assert!((got / table - 1.0).abs() < 0.005, "{freedom}: {got}");
        }
    }
}
