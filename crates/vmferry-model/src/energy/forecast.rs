//! The energy of a move that was not made yet.

use vmferry_core::{Bytes, Interval, Joules};

use super::EnergyFit;

/// What a move will cost in energy on all the hosts that the fits are of
/// (`liu2011` eq. 14 sums source and destination), given the forecast of its
/// traffic. `None` without a fit.
///
/// The interval holds two doubts that have nothing to do with each other: how
/// much will be sent, and what a move of so much costs (the fits' own
/// prediction intervals, where they are widest: at the traffic's ends). Each
/// host scatters by itself, so their squares add up. A move saves no energy:
/// nothing is below zero.
pub fn forecast(fits: &[&EnergyFit], traffic: Interval<Bytes>) -> Option<Interval<Joules>> {
    if fits.is_empty() {
        return None;
    }
    let at = |volume: Bytes| fits.iter().map(|fit| fit.at(volume).0).sum::<f64>();
    let doubt = |volume: Bytes| {
        let squares = fits.iter().map(|fit| fit.half_width(volume).0.powi(2));
        squares.sum::<f64>().sqrt()
    };
    let middle = at(traffic.p50);
    let away = |volume: Bytes| (at(volume) - middle).hypot(doubt(volume));
    let floor = |energy: f64| Joules(energy.max(0.0));
    Some(Interval {
        p5: floor(middle - away(traffic.p5)),
        p50: floor(middle),
        p95: floor(middle + away(traffic.p95)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fit(alpha: f64, beta: f64, scatter: f64) -> EnergyFit {
        let points: Vec<_> = (1..=9)
            .map(|n| {
                let v = f64::from(n) * 200.0;
                let off = scatter * f64::from(n % 3 - 1);
                (Bytes((v * 1e6) as u64), Joules(alpha * v + beta + off))
            })
            .collect();
        EnergyFit::of(&points).unwrap()
    }

    fn traffic(mb: [u64; 3]) -> Interval<Bytes> {
        let [p5, p50, p95] = mb.map(|mb| Bytes(mb * 1_000_000));
        Interval { p5, p50, p95 }
    }

    #[test]
    fn an_exact_line_leaves_the_doubt_of_the_traffic() {
        let found = forecast(&[&fit(0.512, 20.165, 0.0)], traffic([500, 1000, 2000])).unwrap();
        for (found, mb) in [(found.p5, 500.0), (found.p50, 1000.0), (found.p95, 2000.0)] {
            assert!((found.0 - (0.512 * mb + 20.165)).abs() < 1e-6, "{found}");
        }
        assert_eq!(forecast(&[], traffic([1; 3])), None);
    }

    #[test]
    fn both_doubts_add_in_squares() {
        let fit = fit(0.5, 20.0, 10.0);
        let sure = forecast(&[&fit], traffic([1000; 3])).unwrap();
        let own = fit.half_width(Bytes(1_000_000_000)).0;
        assert!((sure.p95.0 - sure.p50.0 - own).abs() < 1e-9 && own > 10.0);
        let both = forecast(&[&fit], traffic([900, 1000, 1200])).unwrap();
        let at = |mb: u64| fit.at(Bytes(mb * 1_000_000)).0;
        let expected = (at(1200) - at(1000)).hypot(fit.half_width(Bytes(1_200_000_000)).0);
        assert!((both.p95.0 - both.p50.0 - expected).abs() < 1e-9);
    }

    #[test]
    fn two_hosts_add_up() {
        // Eq. 14.
        let (source, destination) = (fit(0.3, 12.0, 4.0), fit(0.212, 8.165, 3.0));
        let found = forecast(&[&source, &destination], traffic([1000; 3])).unwrap();
        let gb = Bytes(1_000_000_000);
        let middle = source.at(gb) + destination.at(gb);
        assert!((found.p50.0 - middle.0).abs() < 1e-9);
        let wide = source.half_width(gb).0.hypot(destination.half_width(gb).0);
        assert!((found.p95.0 - found.p50.0 - wide).abs() < 1e-9);
        assert!(
            forecast(&[&fit(0.001, 0.0, 50.0)], traffic([1; 3]))
                .unwrap()
                .p5
                == Joules(0.0)
        );
    }
}
