//! The paper's evaluation: train on few caps, forecast the others.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vmferry_core::Ratio;

use super::fit::{LawFit, Residual, distinct};

/// "5 training data points are evenly picked from the entire CPU allocation
/// range" (`dom0cpu` section 4E).
const TRAINING_CAPS: usize = 5;

/// How a law trained on five evenly spaced caps forecasts the others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Evaluation {
    /// The caps it was trained on.
    pub trained_on: Vec<Ratio>,
    /// The law.
    pub fit: LawFit,
    /// Every measurement at another cap, beside its forecast.
    pub unseen: Vec<Residual>,
    /// Median of |forecast / measured - 1|.
    pub median_error: f64,
    /// Its 90th percentile.
    pub p90_error: f64,
}

impl Evaluation {
    /// Evaluates; `None` where there are no more than five distinct caps.
    pub fn of(points: &[(Ratio, f64)]) -> Option<Self> {
        let plain: Vec<(f64, f64)> = points.iter().map(|p| (p.0.0, p.1)).collect();
        let caps = distinct(&plain);
        if caps.len() <= TRAINING_CAPS {
            return None;
        }
        let trained_on: Vec<Ratio> = (0..TRAINING_CAPS)
            .map(|n| {
                let at = n as f64 * (caps.len() - 1) as f64 / (TRAINING_CAPS - 1) as f64;
                Ratio(caps[at.round() as usize])
            })
            .collect();
        let (training, rest): (Vec<_>, Vec<_>) = points
            .iter()
            .partition(|point| trained_on.contains(&point.0));
        let fit = LawFit::chosen(&training)?;
        let unseen: Vec<Residual> = rest
            .into_iter()
            .filter(|(_, measured)| *measured > 0.0)
            .map(|(cap, measured)| {
                let fitted = fit.law.at(cap);
                Residual {
                    cap,
                    measured,
                    fitted,
                    relative: measured / fitted - 1.0,
                }
            })
            .collect();
        let mut errors: Vec<f64> = unseen.iter().map(forecast_error).collect();
        errors.sort_by(f64::total_cmp);
        Some(Self {
            median_error: quantile(&errors, 0.5)?,
            p90_error: quantile(&errors, 0.9)?,
            trained_on,
            fit,
            unseen,
        })
    }
}

/// |forecast / measured - 1|.
pub(super) fn forecast_error(one: &Residual) -> f64 {
    (one.fitted / one.measured - 1.0).abs()
}

/// A quantile of ascending values; `None` of none.
pub(super) fn quantile(ascending: &[f64], share: f64) -> Option<f64> {
    let place = share * ascending.len().checked_sub(1)? as f64;
    let (low, high) = (
        ascending[place.floor() as usize],
        ascending[place.ceil() as usize],
    );
    Some(low + (high - low) * place.fract())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu_profile::{CapLaw, Form};

    #[test]
    fn five_caps_evenly_picked_forecast_the_others() {
        let law = CapLaw {
            scale: 12.0,
            exponent: -1.0,
            knee: Some(Ratio(0.55)),
        };
        let points: Vec<_> = (1..=10)
            .map(|n| Ratio(f64::from(n) / 10.0))
            .map(|cap| (cap, law.at(cap)))
            .collect();
        let made = Evaluation::of(&points).unwrap();
        assert_eq!(made.trained_on, [0.1, 0.3, 0.6, 0.8, 1.0].map(Ratio));
        assert_eq!(made.unseen.len(), 5);
        assert_eq!(made.fit.form(), Form::Plateau);
        assert!(
            made.median_error < 0.05 && made.p90_error < 0.15,
            "{made:?}"
        );
        assert_eq!(Evaluation::of(&points[..5]), None);
    }
}
