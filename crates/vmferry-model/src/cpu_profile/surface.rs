//! The rate of the stream under caps at both ends.
//!
//! Source and destination are a pipeline: what one sends the other loads, and
//! TCP makes the faster one wait. If the sockets between them evened everything
//! out, the slower end alone would set the rate: r = min(r_s, r_d). They hold a
//! few MiB, and a capped thread runs in bursts (its quota, then nothing until
//! the next period), so that near the point where both ends are equally slow each
//! also waits for pauses of the other. Hence
//!
//! ```text
//! r^-p = r_s(x_s)^-p + r_d(x_d)^-p - R^-p,    1 <= p
//! ```
//!
//! with R the rate without any cap. p = 1 adds the time that both ends take for
//! a byte, as if they never worked at once; p to infinity is the slower end.
//! With either end uncapped it gives what the sweep of the other one measured,
//! whatever p: only measurements under two caps tell p.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vmferry_core::{ByteRate, Interval, Ratio};

use super::fit::LawFit;
use super::point::Caps;

/// Values of p that are tried beside the slower end alone.
const STEEPNESS: [f64; 10] = [1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 6.0, 8.0, 12.0];

/// Rate of the stream against the caps at both ends, bytes per second.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Surface {
    /// Against the source's cap, the destination uncapped; `None` where that was
    /// not profiled.
    pub source: Option<LawFit>,
    /// Against the destination's cap, the source uncapped.
    pub destination: Option<LawFit>,
    /// p; `None` where the slower end alone sets the rate, also where no pair
    /// of caps was measured.
    pub steepness: Option<f64>,
    /// Pairs of caps that were measured.
    pub pairs: usize,
    /// Root of the mean square of the relative errors over those pairs.
    pub pairs_error: Option<f64>,
}

impl Surface {
    /// A surface of the two sweeps, and of rates measured under two caps.
    pub fn of(
        source: Option<LawFit>,
        destination: Option<LawFit>,
        pairs: &[(Caps, ByteRate)],
    ) -> Self {
        let mut surface = Self {
            source,
            destination,
            steepness: None,
            pairs: pairs.len(),
            pairs_error: None,
        };
        if pairs.is_empty() {
            return surface;
        }
        let error = |of: &Self| {
            let log = |(caps, rate): &(Caps, ByteRate)| {
                of.rate(*caps)
                    .map(|fitted| (rate.0 / fitted.0).ln().powi(2))
            };
            let squares: Option<Vec<f64>> = pairs.iter().map(log).collect();
            squares.map(|all| (all.iter().sum::<f64>() / pairs.len() as f64).sqrt())
        };
        surface.pairs_error = error(&surface);
        for steepness in STEEPNESS {
            let tried = Self {
                steepness: Some(steepness),
                ..surface.clone()
            };
            let made = error(&tried);
            if made < surface.pairs_error {
                surface = Self {
                    pairs_error: made,
                    ..tried
                };
            }
        }
        surface
    }

    /// The rate under caps; `None` for a cap at an end that was not profiled.
    pub fn rate(&self, caps: Caps) -> Option<ByteRate> {
        let end = |fit: &Option<LawFit>, cap: Option<Ratio>| match (fit, cap) {
            (Some(fit), cap) => Some(Some(fit.law.at(cap.unwrap_or(Ratio(1.0))))),
            (None, Some(_)) => None,
            (None, None) => Some(None),
        };
        let source = end(&self.source, caps.source)?;
        let destination = end(&self.destination, caps.destination)?;
        let rate = match (source, destination) {
            (Some(source), Some(destination)) => self.joined(source, destination),
            (one, other) => one.or(other)?,
        };
        Some(ByteRate(rate))
    }

    /// The rate without caps.
    pub fn uncapped(&self) -> Option<ByteRate> {
        self.rate(Caps::default())
    }

    fn joined(&self, source: f64, destination: f64) -> f64 {
        let open = |fit: &Option<LawFit>| fit.as_ref().map(|fit| fit.law.at(Ratio(1.0)));
        // Two sweeps, two measurements of the same.
        let most = match (open(&self.source), open(&self.destination)) {
            (Some(a), Some(b)) => (a * b).sqrt(),
            (a, b) => a.or(b).unwrap_or(f64::INFINITY),
        };
        let (source, destination) = (source.min(most), destination.min(most));
        match self.steepness {
            None => source.min(destination),
            Some(p) => {
                let sum = source.powf(-p) + destination.powf(-p) - most.powf(-p);
                sum.powf(-p.recip())
            }
        }
    }

    /// The rate under caps with its 90 % interval: that of the sweep of the end
    /// that is the slower one.
    pub fn rate_interval(&self, caps: Caps) -> Option<Interval<ByteRate>> {
        let middle = self.rate(caps)?;
        let at = |fit: &Option<LawFit>, cap: Option<Ratio>| {
            fit.as_ref().map(|fit| fit.at(cap.unwrap_or(Ratio(1.0))))
        };
        let slower = match (
            at(&self.source, caps.source),
            at(&self.destination, caps.destination),
        ) {
            (Some(a), Some(b)) => Some(if a.p50 <= b.p50 { a } else { b }),
            (a, b) => a.or(b),
        }?;
        Some(slower.map(|value| ByteRate(middle.0 * value / slower.p50)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu_profile::CapLaw;
    use proptest::prelude::*;

    const OPEN: f64 = 400e6;

    /// Sending takes a tenth of the CPU that loading takes.
    fn ends() -> (CapLaw, CapLaw) {
        let law = |scale: f64| CapLaw {
            scale,
            exponent: 1.0,
            knee: Some(Ratio(OPEN / scale)),
        };
        (law(4000e6), law(500e6))
    }

    fn sweep(law: CapLaw) -> Option<LawFit> {
        let caps = [0.02, 0.05, 0.08, 0.1, 0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 1.0];
        LawFit::chosen(&caps.map(|cap| (Ratio(cap), law.at(Ratio(cap)))))
    }

    fn pairs(steepness: Option<f64>) -> Vec<(Caps, ByteRate)> {
        let (source, destination) = ends();
        let truth = |caps: Caps| {
            let a = source.at(caps.source.unwrap());
            let b = destination.at(caps.destination.unwrap());
            ByteRate(match steepness {
                None => a.min(b),
                Some(p) => (a.powf(-p) + b.powf(-p) - OPEN.powf(-p)).powf(-1.0 / p),
            })
        };
        let shares = [0.03, 0.06, 0.2, 0.5];
        let all = shares
            .iter()
            .flat_map(|a| shares.map(|b| Caps::at_both(Ratio(*a), Ratio(b))));
        all.map(|caps| (caps, truth(caps))).collect()
    }

    #[test]
    fn pairs_of_caps_tell_how_the_ends_wait_for_each_other() {
        let (source, destination) = ends();
        for truth in [None, Some(1.0), Some(2.0), Some(4.0)] {
            let measured = pairs(truth);
            let surface = Surface::of(sweep(source), sweep(destination), &measured);
            assert_eq!(surface.steepness, truth);
            assert!(surface.pairs_error < Some(0.02), "{surface:?}");
            for (caps, rate) in measured {
                let ours = surface.rate(caps).unwrap();
                assert!(
                    (ours.0 / rate.0 - 1.0).abs() < 0.05,
                    "{caps}: {ours} for {rate}"
                );
            }
        }
    }

    #[test]
    fn one_cap_gives_what_its_sweep_measured() {
        let (source, destination) = ends();
        let surface = Surface::of(sweep(source), sweep(destination), &pairs(Some(2.0)));
        for share in [0.05, 0.3, 0.9].map(Ratio) {
            let one = surface.rate(Caps::at_source(share)).unwrap();
            assert!((one.0 / source.at(share) - 1.0).abs() < 0.02);
            let other = surface.rate(Caps::at_destination(share)).unwrap();
            assert!((other.0 / destination.at(share) - 1.0).abs() < 0.02);
        }
        let half = Surface::of(sweep(source), None, &[]);
        assert!(half.rate(Caps::at_source(Ratio(0.1))).is_some());
        assert_eq!(half.rate(Caps::at_destination(Ratio(0.1))), None);
        assert_eq!(Surface::of(None, None, &[]).uncapped(), None);
        let interval = surface.rate_interval(Caps::at_source(Ratio(0.05))).unwrap();
        assert!(interval.p5 <= interval.p50 && interval.p50 <= interval.p95);
    }

    proptest! {
        #[test]
        fn more_cpu_is_never_slower(
            a in 0.01f64..1.0, b in 0.01f64..1.0, more in 0.0f64..0.5,
            steepness in prop::option::of(1.0f64..12.0),
        ) {
            let (source, destination) = ends();
            let surface = Surface {
                steepness,
                ..Surface::of(sweep(source), sweep(destination), &[])
            };
            let rate = |a: f64, b: f64| {
                surface.rate(Caps::at_both(Ratio(a.min(1.0)), Ratio(b.min(1.0)))).unwrap().0
            };
            prop_assert!(rate(a + more, b) >= rate(a, b) * (1.0 - 1e-9));
            prop_assert!(rate(a, b + more) >= rate(a, b) * (1.0 - 1e-9));
        }
    }
}
