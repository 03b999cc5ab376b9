//! Random draws, the same for the same seed.

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// Draws of one sample.
pub(crate) struct Draws(SmallRng);

impl Draws {
    /// The draws of sample `number` of a forecast.
    pub(crate) fn of_sample(seed: u64, number: u32) -> Self {
        // Spread, so that neighbouring seeds share no samples.
        let seed = seed
            .wrapping_add(1)
            .wrapping_mul(0x9E37_79B9_7F4A_7C15)
            .wrapping_add(u64::from(number).wrapping_mul(0xD1B5_4A32_D192_ED03));
        Self(SmallRng::seed_from_u64(seed))
    }

    /// Uniform in 0..1.
    pub(crate) fn uniform(&mut self) -> f64 {
        self.0.random()
    }

    /// Uniform in `low..high`.
    pub(crate) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.uniform()
    }

    /// Standard normal (Box-Muller).
    pub(crate) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// Exponential with mean 1: the weight of one page in a Bayesian bootstrap.
    pub(crate) fn exponential(&mut self) -> f64 {
        -(1.0 - self.uniform()).ln()
    }
}
