//! Made-up moves of known energy, metered once a second by a meter with noise.

use std::time::Duration;

use rand::Rng as _;
use rand::rngs::SmallRng;
use vmferry_core::{Joules, PowerSample, Watts};
use vmferry_model::energy::{EnergyError, Stability, energy_of_move};

/// What the moves of a campaign send, in megabytes.
pub(crate) const SIZES: [f64; 10] = [
    200.0, 400.0, 600.0, 800.0, 1000.0, 1200.0, 1400.0, 1600.0, 1800.0, 2000.0,
];

/// The line of `liu2011` eq. 17.
pub(crate) const LIU2011: Hosts = Hosts {
    alpha: 0.512,
    beta: 20.165,
    rate: 100.0,
    background: 190.0,
    noise: 2.0,
};

/// A pair of hosts: `E = alpha V + beta` at this rate, above this background.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hosts {
    pub(crate) alpha: f64,
    pub(crate) beta: f64,
    /// MB/s.
    pub(crate) rate: f64,
    pub(crate) background: f64,
    /// Standard deviation of a sample, watts.
    pub(crate) noise: f64,
}

fn normal(random: &mut SmallRng) -> f64 {
    // Box and Muller.
    let (u, v): (f64, f64) = (random.random_range(f64::MIN_POSITIVE..1.0), random.random());
    (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

impl Hosts {
    /// A move of so many megabytes, metered once a second.
    pub(crate) fn metered(
        &self,
        megabytes: f64,
        random: &mut SmallRng,
    ) -> Result<Joules, EnergyError> {
        let took = megabytes / self.rate;
        let above = (self.alpha * megabytes + self.beta) / took;
        // The meter's seconds are not the move's.
        let began = 30.0 + random.random::<f64>();
        let ended = began + took;
        let samples: Vec<PowerSample> = (1..(ended + 5.0) as u32)
            .map(|second| {
                let at = f64::from(second);
                let moving = at > began && at <= ended;
                let power = self.background
                    + if moving { above } else { 0.0 }
                    + self.noise * normal(random);
                PowerSample {
                    from: Duration::from_secs_f64(at - 1.0),
                    until: Duration::from_secs_f64(at),
                    power: Watts(power),
                }
            })
            .collect();
        let [began, ended] = [began, ended].map(Duration::from_secs_f64);
        let found = energy_of_move(&samples, began, ended, &Stability::default())?;
        Ok(found.energy_j)
    }
}
