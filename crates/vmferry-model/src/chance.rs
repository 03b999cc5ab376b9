//! Probabilities of Student's t and of F, for any degrees of freedom.
//!
//! Both are regularised incomplete beta functions (Abramowitz and Stegun 26.7.1, 26.6.2), computed
//! by the continued fraction of 26.5.8. Exact to about ten digits.

/// Terms of the continued fraction at most; tens are needed for tens of degrees of freedom.
const MOST_TERMS: u32 = 20_000;

/// 95th percentile of the normal distribution.
pub const Z95: f64 = 1.644_853_627;

/// 95th percentile of Student's t, with which a two-sided interval holds 90 %; `None` without a
/// degree of freedom.
pub fn t95(freedom: usize) -> Option<f64> {
    (freedom > 0).then(|| t_with_above(0.05, freedom as f64))
}

/// Probability of a t above `t`, which is 0 or more; 0 of an infinite one. `freedom` is above 0.
pub fn above_t(t: f64, freedom: f64) -> f64 {
    if t.is_infinite() {
        return 0.0;
    }
    beta(freedom / (freedom + t * t), freedom / 2.0, 0.5) / 2.0
}

/// The t above which lies `share` of the distribution, 0 < share <= 0.5; `freedom` is above 0.
pub fn t_with_above(share: f64, freedom: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    while above_t(high, freedom) > share && high < 1e12 {
        (low, high) = (high, high * 2.0);
    }
    // Twice as exact at each step: to the last bits of a double.
    for _ in 0..52 {
        let middle = (low + high) / 2.0;
        if above_t(middle, freedom) > share {
            low = middle;
        } else {
            high = middle;
        }
    }
    (low + high) / 2.0
}

/// Probability of an F above `f`, which is 0 or more, of so many degrees of freedom (above 0)
/// `between` and `within`.
pub fn above_f(f: f64, between: f64, within: f64) -> f64 {
    if f.is_infinite() {
        return 0.0;
    }
    beta(within / (within + between * f), within / 2.0, between / 2.0)
}

/// I_x(a, b), 0 <= x <= 1, a and b above 0.
fn beta(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return 1.0;
    }
    // The fraction converges quickly below the mean; beyond it, by symmetry.
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - beta_below(1.0 - x, b, a);
    }
    beta_below(x, a, b)
}

fn beta_below(x: f64, a: f64, b: f64) -> f64 {
    let front = a * x.ln() + b * (1.0 - x).ln() + ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b);
    (front.exp() / a * fraction(x, a, b)).clamp(0.0, 1.0)
}

/// The continued fraction, by Lentz's method.
fn fraction(x: f64, a: f64, b: f64) -> f64 {
    let away_from_zero = |value: f64| if value.abs() < 1e-300 { 1e-300 } else { value };
    let (mut c, mut d) = (1.0, 1.0 / away_from_zero(1.0 - (a + b) * x / (a + 1.0)));
    let mut product = d;
    for term in 1..=MOST_TERMS {
        let m = f64::from(term);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let mut last = 1.0;
        for coefficient in [even, odd] {
            d = 1.0 / away_from_zero(1.0 + coefficient * d);
            c = away_from_zero(1.0 + coefficient / c);
            last = c * d;
            product *= last;
        }
        if (last - 1.0_f64).abs() < 1e-14 {
            break;
        }
    }
    product
}

/// Logarithm of the gamma function of what is above 0, by Stirling's series from 10 on (A&S 6.1.41).
fn ln_gamma(x: f64) -> f64 {
    let (mut x, mut shift) = (x, 0.0);
    while x < 10.0 {
        shift -= x.ln();
        x += 1.0;
    }
    let inverse = 1.0 / (x * x);
    let series = 1.0 / 12.0 - inverse * (1.0 / 360.0 - inverse * (1.0 / 1260.0 - inverse / 1680.0));
    shift + (x - 0.5) * x.ln() - x + (2.0 * std::f64::consts::PI).ln() / 2.0 + series / x
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn student_as_tables_print_it() {
        for (freedom, share, printed) in [
            (1.0, 0.025, 12.706),
            (2.0, 0.025, 4.303),
            (5.0, 0.05, 2.015),
            (10.0, 0.005, 3.169),
            (30.0, 0.025, 2.042),
            (120.0, 0.025, 1.980),
            (5000.0, 0.025, 1.960),
        ] {
            let found = t_with_above(share, freedom);
            assert!((found - printed).abs() < 6e-4, "{freedom} {share}: {found}");
        }
    }

    #[test]
    fn ninety_five_per_cent_as_tables_print_them() {
        assert_eq!(t95(0), None);
        for (freedom, printed) in [
            (1, 6.314),
            (2, 2.920),
            (4, 2.132),
            (8, 1.860),
            (30, 1.697),
            (120, 1.658),
        ] {
            let found = t95(freedom).unwrap();
            assert!((found - printed).abs() < 6e-4, "{freedom}: {found}");
        }
        // Beyond many degrees the logarithms of gamma take digits.
        assert!((t95(10_000).unwrap() - Z95).abs() < 3e-4);
    }

    #[test]
    fn f_as_tables_print_it() {
        for (between, within, share, printed) in [
            (1.0, 1.0, 0.05, 161.448),
            (2.0, 4.0, 0.05, 6.944),
            (3.0, 10.0, 0.01, 6.552),
        ] {
            let found = above_f(printed, between, within);
            assert!((found - share).abs() < 1e-5, "{between} {within}: {found}");
        }
    }

    #[test]
    fn gamma_of_whole_and_half_numbers() {
        assert!((ln_gamma(5.0) - 24f64.ln()).abs() < 1e-10);
        assert!((ln_gamma(0.5) - std::f64::consts::PI.sqrt().ln()).abs() < 1e-10);
    }

    proptest! {
        #[test]
        fn quantiles_undo_probabilities(share in 1e-6f64..0.5, freedom in 0.5f64..500.0) {
            let back = above_t(t_with_above(share, freedom), freedom);
            prop_assert!((back / share - 1.0).abs() < 1e-6, "{}", back);
        }

        #[test]
        fn larger_is_less_probable(t in 0f64..50.0, more in 0.01f64..5.0, freedom in 0.5f64..1e4) {
            let (p, less) = (above_t(t, freedom), above_t(t + more, freedom));
            prop_assert!(less <= p && (0.0..=0.5 + 1e-12).contains(&p));
        }
    }
}
