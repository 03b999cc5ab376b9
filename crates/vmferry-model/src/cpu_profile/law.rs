//! The two forms of a quantity against a share of CPU.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vmferry_core::Ratio;

/// Which form a law has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// y = a x^b over all caps: the regression of `dom0cpu`.
    Power,
    /// y = a min(x, knee)^b. Every page costs the CPU the same time, so that time
    /// falls with the share (b near -1) as long as CPU is what limits. Above the
    /// knee something else does (the link, the other end, the guest), and more
    /// CPU changes nothing: "DomO does not use more than 50% of CPU for the
    /// migration" (`dom0cpu` section 4C).
    Plateau,
}

/// A quantity against the share x of one CPU, 0..1: y = a min(x, knee)^b.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CapLaw {
    /// a: the value at a whole CPU, if there were no knee.
    pub scale: f64,
    /// b.
    pub exponent: f64,
    /// The share above which nothing changes; `None` for a power law.
    pub knee: Option<Ratio>,
}

impl CapLaw {
    /// A power law over the index of a cap step, 1 being the first step, as the
    /// figures of `dom0cpu` print it, for shares of a CPU.
    pub fn of_steps(scale: f64, exponent: f64, step: Ratio) -> Self {
        Self {
            scale: scale * step.0.recip().powf(exponent),
            exponent,
            knee: None,
        }
    }

    /// Its form.
    pub fn form(&self) -> Form {
        match self.knee {
            Some(_) => Form::Plateau,
            None => Form::Power,
        }
    }

    /// The share that counts.
    pub(crate) fn bounded(&self, share: Ratio) -> f64 {
        self.knee.map_or(share.0, |knee| share.0.min(knee.0))
    }

    /// The value at a share.
    pub fn at(&self, share: Ratio) -> f64 {
        self.scale * self.bounded(share).powf(self.exponent)
    }

    /// The least share whose value is at least as good as `value`: at most that
    /// for a law that falls (time), at least that for one that rises (rate).
    /// `None` where even a whole CPU does not reach it.
    pub fn least_share(&self, value: f64) -> Option<Ratio> {
        let best = self.at(Ratio(1.0));
        let good = if self.exponent < 0.0 {
            best <= value
        } else {
            best >= value
        };
        if !good || value.is_nan() {
            return None;
        }
        if self.exponent == 0.0 {
            return Some(Ratio(0.0));
        }
        let most = self.bounded(Ratio(1.0));
        Some(Ratio(
            (value / self.scale).powf(self.exponent.recip()).min(most),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `dom0cpu` figure 7: T = 181.06 x^-0.984, x = 1 at 10 %.
    fn figure_7() -> CapLaw {
        CapLaw::of_steps(181.06, -0.984, Ratio(0.1))
    }

    #[test]
    fn the_fit_that_the_paper_prints() {
        let law = figure_7();
        assert_eq!(law.form(), Form::Power);
        assert!((law.at(Ratio(0.1)) - 181.06).abs() < 1e-9);
        for step in 1..=10 {
            let printed = 181.06 * f64::from(step).powf(-0.984);
            assert!((law.at(Ratio(f64::from(step) / 10.0)) - printed).abs() < 1e-9);
        }
        // Section 4B: a reader without cap takes "about 20 seconds".
        assert!((law.at(Ratio(1.0)) - 18.79).abs() < 0.01);
    }

    #[test]
    fn the_least_cap_for_a_time() {
        let law = figure_7();
        let cap = law.least_share(60.0).unwrap();
        assert!((law.at(cap) - 60.0).abs() < 1e-9, "{cap}");
        assert!((cap.0 - 0.3073).abs() < 1e-4, "{cap}");
        assert_eq!(law.least_share(18.0), None);

        let plateau = CapLaw {
            scale: 10.0,
            exponent: -1.0,
            knee: Some(Ratio(0.5)),
        };
        assert_eq!(plateau.at(Ratio(0.5)), 20.0);
        assert_eq!(plateau.at(Ratio(0.9)), 20.0);
        assert_eq!(plateau.least_share(20.0), Some(Ratio(0.5)));
        assert_eq!(plateau.least_share(40.0), Some(Ratio(0.25)));
        assert_eq!(plateau.least_share(19.9), None);
    }

    #[test]
    fn rates_rise() {
        let rate = CapLaw {
            scale: 100.0,
            exponent: 1.0,
            knee: Some(Ratio(0.6)),
        };
        assert_eq!(rate.least_share(30.0), Some(Ratio(0.3)));
        assert_eq!(rate.least_share(61.0), None);
    }
}
