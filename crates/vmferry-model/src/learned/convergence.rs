//! How probable it is that a move converges, by its ratio of dirt to link.

use vmferry_core::Technique;

/// How sharp the edge is believed to be before the first move.
const SLOPE: f64 = -4.0;
/// Dirt over link at which the odds are believed even: where the guest dirties
/// as fast as the link sends, ...
const EDGE: f64 = 1.0;
/// ... and ten times that where QEMU may throttle it to a hundredth.
const THROTTLED_EDGE: f64 = 10.0;
/// Standard deviation of that belief.
const DOUBT: f64 = 2.0;
/// Newton's steps; the error is below any use after six.
const STEPS: usize = 12;

/// Logistic in ln(D / R).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Convergence([f64; 2]);

impl Convergence {
    /// Learns from moves by one technique given as (ln(D / R), whether it
    /// converged).
    pub(super) fn of(technique: Technique, moves: &[(f64, bool)]) -> Self {
        let edge = match technique {
            Technique::AutoConverge => THROTTLED_EDGE,
            _ => EDGE,
        };
        let prior = [-SLOPE * edge.ln(), SLOPE];
        let mut found = Self(prior);
        for _ in 0..STEPS {
            let tightness = 1.0 / (DOUBT * DOUBT);
            let mut pull = [0, 1].map(|k| (prior[k] - found.0[k]) * tightness);
            let (mut a, mut b, mut c) = (tightness, 0.0, tightness);
            for (log_ratio, converged) in moves {
                let p = found.probability(*log_ratio);
                let miss = f64::from(u8::from(*converged)) - p;
                let weight = p * (1.0 - p);
                pull[0] += miss;
                pull[1] += miss * log_ratio;
                a += weight;
                b += weight * log_ratio;
                c += weight * log_ratio * log_ratio;
            }
            // The prior makes it positive definite.
            let determinant = a * c - b * b;
            let step = [
                (c * pull[0] - b * pull[1]) / determinant,
                (a * pull[1] - b * pull[0]) / determinant,
            ];
            // Far from the optimum a whole step overshoots.
            let length = step[0].hypot(step[1]);
            let share = (2.0 / length).min(1.0);
            found.0[0] += share * step[0];
            found.0[1] += share * step[1];
        }
        found
    }

    /// Probability of converging, 0..1.
    pub(super) fn probability(&self, log_ratio: f64) -> f64 {
        1.0 / (1.0 + (-(self.0[0] + self.0[1] * log_ratio)).exp())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_edge_goes_where_moves_show_it() {
        let nothing = Convergence::of(Technique::PreCopy, &[]);
        assert!((nothing.probability(0.0) - 0.5).abs() < 1e-12);
        let throttled = Convergence::of(Technique::AutoConverge, &[]);
        assert!(throttled.probability(0.0) > 0.99);
        // Here moves converge only below a third of the link.
        let edge = (1.0f64 / 3.0).ln();
        let moves: Vec<_> = (0..300)
            .map(|i| f64::from(i) / 100.0 - 2.5)
            .map(|x| (x, x < edge))
            .collect();
        let learned = Convergence::of(Technique::PreCopy, &moves);
        assert!(learned.probability(edge - 0.5) > 0.9);
        assert!(learned.probability(edge + 0.5) < 0.1);
    }
}
