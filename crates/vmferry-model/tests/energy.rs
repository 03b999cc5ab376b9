//! Energy from samples to lines: the paper's numbers, and known lines
//! recovered from noisy samples, as often as their intervals promise.

use std::time::Duration;

use proptest::prelude::*;
use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use vmferry_core::{Bytes, Joules, PowerSample, Watts};
use vmferry_model::energy::{EnergyError, EnergyFit, Stability, energy_of_move};
use vmferry_model::schedule::{EnergyModel, LIU2011_ENERGY};

// Shared with `cargo xtask papers`, which shows such a campaign.
#[path = "../examples/papers/liu2011/campaign.rs"]
mod campaign;

use campaign::{Hosts, LIU2011, SIZES};

/// The line of moves of these sizes.
fn fitted(hosts: Hosts, sizes: &[f64], random: &mut SmallRng) -> Result<EnergyFit, EnergyError> {
    let moves = sizes.iter().map(|megabytes| {
        let volume = Bytes((megabytes * 1e6) as u64);
        Ok((volume, hosts.metered(*megabytes, random)?))
    });
    EnergyFit::of(&moves.collect::<Result<Vec<_>, _>>()?)
}

/// Shares of campaigns of moves whose intervals hold the true alpha, the true
/// beta, and the energy of one more move; of campaigns that could be fitted.
fn coverage(of: impl Fn(f64) -> Hosts) -> [f64; 3] {
    const CAMPAIGNS: u32 = 1000;
    let mut random = SmallRng::seed_from_u64(1);
    let mut held = [0; 3];
    let mut fitted = 0;
    for _ in 0..CAMPAIGNS {
        let mut metered = |mb: f64| {
            let energy = of(mb).metered(mb, &mut random)?;
            Ok::<_, EnergyError>((Bytes((mb * 1e6) as u64), energy))
        };
        let moves: Result<Vec<_>, _> = SIZES.iter().map(|mb| metered(*mb)).collect();
        // One that the fit did not see, and of another size.
        let (Ok(moves), Ok((volume, next))) = (moves, metered(1100.0)) else {
            // Noise looked like a trend before one of the moves.
            continue;
        };
        let fit = EnergyFit::of(&moves).unwrap();
        fitted += 1;
        let off = (next.0 - fit.at(volume).0).abs();
        let truth = of(1100.0);
        held[0] += u32::from(fit.alpha_j_per_mb.covers(&truth.alpha));
        held[1] += u32::from(fit.beta_j.covers(&Joules(truth.beta)));
        held[2] += u32::from(off <= fit.half_width(volume).0);
    }
    // The stability criterion lets honest noise pass.
    assert!(fitted > CAMPAIGNS * 90 / 100, "{fitted}");
    held.map(|held| f64::from(held) / f64::from(fitted))
}

/// Moves that take as long scatter as much, which is what least squares and
/// Student's t assume: 90 % intervals hold the truth in 90 % of 1,000
/// campaigns, within three standard deviations of such a count.
#[test]
fn intervals_hold_as_often_as_they_promise() {
    let shares = coverage(|mb| Hosts {
        rate: mb / 10.0,
        ..LIU2011
    });
    for share in shares {
        assert!((0.87..=0.93).contains(&share), "{shares:?}");
    }
}

/// At one rate the longer moves scatter more, and ordinary least squares does
/// not know: near enough all the same.
#[test]
fn intervals_hold_nearly_as_often_where_long_moves_scatter_more() {
    let shares = coverage(|_| LIU2011);
    for share in shares {
        assert!((0.82..=0.98).contains(&share), "{shares:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Without noise, only where the meter's seconds fall is left: a sample at
    /// each end.
    #[test]
    fn known_lines_are_recovered(
        alpha in 0.05f64..3.0,
        beta in 0.0f64..200.0,
        rate in 20f64..120.0,
        background in 60f64..900.0,
        seed in any::<u64>(),
    ) {
        let hosts = Hosts { alpha, beta, rate, background, noise: 0.0 };
        let mut random = SmallRng::seed_from_u64(seed);
        for megabytes in SIZES {
            let energy = hosts.metered(megabytes, &mut random).unwrap().0;
            let known = alpha * megabytes + beta;
            let a_sample = known / (megabytes / rate);
            prop_assert!((energy - known).abs() <= a_sample * 1.000_001, "{energy} {known}");
        }
        let fit = fitted(hosts, &SIZES, &mut random).unwrap();
        // A sample of the largest move, tilted over the whole range.
        let tilt = 2.0 * (alpha * 2000.0 + beta) / (2000.0 / rate) / 1000.0;
        prop_assert!((fit.alpha_j_per_mb.p50 - alpha).abs() < tilt, "{:?}", fit.alpha_j_per_mb);
    }

    /// Whatever a meter says, an energy is a number or an error.
    #[test]
    fn no_nonsense_comes_out(
        powers in prop::collection::vec(prop_oneof![
            8 => 100f64..110.0,
            1 => Just(f64::NAN),
            1 => prop::num::f64::ANY,
        ], 0..60),
        began in 0f64..60.0,
        took in 0f64..30.0,
    ) {
        let samples: Vec<PowerSample> = powers.iter().zip(0u64..).map(|(power, n)| PowerSample {
            from: Duration::from_secs(n),
            until: Duration::from_secs(n + 1),
            power: Watts(*power),
        }).collect();
        let [began, ended] = [began, began + took].map(Duration::from_secs_f64);
        if let Ok(found) = energy_of_move(&samples, began, ended, &Stability::default()) {
            prop_assert!(found.energy_j.0.is_finite() && found.error_j.0 >= 0.0);
            prop_assert!((100.0..=110.0).contains(&found.background.power_w.0));
        }
    }
}

/// `liu2011` section 3.3.3 and figure 5: alpha = 0.512 J/MB, beta = 20.165 J,
/// R^2 = 0.993, as eq. 17 has them.
#[test]
fn the_line_of_liu2011() {
    // Scatter that neither tilts nor shifts the line, large enough for that R^2.
    let pattern = [1.0, -1.0, -1.0, 1.0];
    let volumes: Vec<f64> = (1..=16).map(|n| f64::from(n) * 100.0).collect();
    let mean = volumes.iter().sum::<f64>() / 16.0;
    let on_line: f64 = volumes.iter().map(|v| (0.512 * (v - mean)).powi(2)).sum();
    // R^2 = on_line / (on_line + 16 scatter^2).
    let scatter = (on_line * (1.0 / 0.993 - 1.0) / 16.0).sqrt();
    let moves: Vec<_> = volumes
        .iter()
        .zip(pattern.iter().cycle())
        .map(|(v, off)| {
            let energy = 0.512 * v + 20.165 + scatter * off;
            (Bytes((v * 1e6) as u64), Joules(energy))
        })
        .collect();
    let fit = EnergyFit::of(&moves).unwrap();
    assert!((fit.alpha_j_per_mb.p50 - 0.512).abs() < 1e-9);
    assert!((fit.beta_j.p50.0 - 20.165).abs() < 1e-6);
    assert!((fit.r_squared.unwrap() - 0.993).abs() < 1e-9);
    let EnergyModel::Traffic {
        per_megabyte,
        per_move,
    } = LIU2011_ENERGY
    else {
        panic!("eq. 17 is of the traffic");
    };
    assert!((fit.alpha_j_per_mb.p50 - per_megabyte).abs() < 1e-9);
    assert!((fit.beta_j.p50.0 - per_move.0).abs() < 1e-6);
}

/// `liu2011` eq. 14: the hosts' own lines add up to the pair's.
#[test]
fn lines_of_hosts_add_up() {
    let hosts = |alpha, beta| Hosts {
        alpha,
        beta,
        rate: 100.0,
        background: 200.0,
        noise: 1.0,
    };
    let (source, destination) = (hosts(0.3, 12.0), hosts(0.212, 8.165));
    let mut random = SmallRng::seed_from_u64(3);
    let mut moves = |of: Hosts| -> Vec<(Bytes, Joules)> {
        let volume = |mb: f64| Bytes((mb * 1e6) as u64);
        let metered = SIZES
            .iter()
            .map(|mb| (volume(*mb), of.metered(*mb, &mut random).unwrap()));
        metered.collect()
    };
    let (source, destination) = (moves(source), moves(destination));
    let pair: Vec<_> = source
        .iter()
        .zip(&destination)
        .map(|(a, b)| (a.0, a.1 + b.1))
        .collect();
    let [source, destination, pair] =
        [source, destination, pair].map(|m| EnergyFit::of(&m).unwrap());
    let sum = source.alpha_j_per_mb.p50 + destination.alpha_j_per_mb.p50;
    assert!((pair.alpha_j_per_mb.p50 - sum).abs() < 1e-9);
    let sum = source.beta_j.p50 + destination.beta_j.p50;
    assert!((pair.beta_j.p50.0 - sum.0).abs() < 1e-6);
}
