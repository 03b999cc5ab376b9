//! Fits the laws to measurements, and says how well they fit.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vmferry_core::{Interval, Ratio};

use super::law::{CapLaw, Form};
use crate::chance::t95;

/// Steps of the search for the knee, evenly spaced in its logarithm: over caps
/// from 1 to 100 % they are 1 % apart.
const KNEE_STEPS: u32 = 460;
/// Distinct caps that a law is fitted to at least: one parameter more than the
/// form with the fewest has.
pub const LEAST_CAPS: usize = 3;
/// Distinct caps between which a knee can be told from a slope: two up to it,
/// two from it on.
const LEAST_CAPS_WITH_KNEE: usize = 4;

/// A law fitted to measurements.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LawFit {
    /// The law.
    pub law: CapLaw,
    /// Coefficient of determination of the logarithms, as a power regression
    /// reports it; `None` where all measurements are the same.
    pub r_squared: Option<f64>,
    /// Standard deviation of the relative residuals (of the logarithm).
    pub residual_sd: f64,
    /// The largest relative residual.
    pub worst_residual: f64,
    /// 90 % interval of the exponent; `None` with too few measurements.
    pub exponent_interval: Option<(f64, f64)>,
    /// 90 % interval of the knee, where there is one.
    pub knee_interval: Option<(Ratio, Ratio)>,
    /// Akaike's criterion with the correction for few measurements (`None` with
    /// too few of them), told beside the one that chooses.
    pub aicc: Option<f64>,
    /// What chooses the form: relative error (root of the mean square) of the
    /// measurements of every cap, forecast from those of all others.
    pub left_out_error: Option<f64>,
    /// Largest over smallest measurement, less one.
    pub variation: f64,
    /// Every measurement.
    pub residuals: Vec<Residual>,
    spread: Spread,
}

/// One measurement beside the law.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Residual {
    /// Share of one CPU.
    pub cap: Ratio,
    /// As measured.
    pub measured: f64,
    /// As the law has it.
    pub fitted: f64,
    /// Measured over fitted, less one.
    pub relative: f64,
}

/// What a forecast's interval needs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
struct Spread {
    count: f64,
    mean_log: f64,
    sum_squares: f64,
    freedom: u32,
}

/// A line through logarithms.
struct LogLine {
    law: CapLaw,
    squares: f64,
    spread: Spread,
}

impl LogLine {
    /// Ordinary least squares of ln y on ln min(x, knee).
    fn through(points: &[(f64, f64)], knee: Option<f64>) -> Option<Self> {
        let bounded = |x: f64| knee.map_or(x, |knee| x.min(knee)).ln();
        let count = points.len() as f64;
        let mean = |of: &dyn Fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
        let (mean_x, mean_y) = (mean(&|p| bounded(p.0)), mean(&|p| p.1.ln()));
        let xx: f64 = points.iter().map(|p| (bounded(p.0) - mean_x).powi(2)).sum();
        let xy: f64 = points
            .iter()
            .map(|p| (bounded(p.0) - mean_x) * (p.1.ln() - mean_y))
            .sum();
        if xx <= 1e-12 {
            return None;
        }
        let exponent = xy / xx;
        let intercept = mean_y - exponent * mean_x;
        let squares = points
            .iter()
            .map(|p| (p.1.ln() - intercept - exponent * bounded(p.0)).powi(2))
            .sum();
        let parameters = if knee.is_some() { 3 } else { 2 };
        Some(Self {
            law: CapLaw {
                scale: intercept.exp(),
                exponent,
                knee: knee.map(Ratio),
            },
            squares,
            spread: Spread {
                count,
                mean_log: mean_x,
                sum_squares: xx,
                freedom: u32::try_from(points.len())
                    .unwrap_or(u32::MAX)
                    .saturating_sub(parameters),
            },
        })
    }

    /// The best knee, and all that fit within a 90 % interval (those whose
    /// residuals are not worse than the best's by more than chance: a profile
    /// likelihood).
    fn with_knee(points: &[(f64, f64)]) -> Option<(Self, (f64, f64))> {
        let caps = distinct(points);
        if caps.len() < LEAST_CAPS_WITH_KNEE {
            return None;
        }
        let (low, high) = (caps[1], caps[caps.len() - 2]);
        let step = (high / low).powf(f64::from(KNEE_STEPS).recip());
        let tried: Vec<Self> = (0..=KNEE_STEPS)
            .map(|n| low * step.powi(n.cast_signed()))
            // A slope through measured caps, also exactly at them.
            .chain(caps[1..caps.len() - 1].iter().copied())
            .filter_map(|knee| Self::through(points, Some(knee)))
            .collect();
        let least = tried.iter().map(|line| line.squares).reduce(f64::min)?;
        let freedom = tried.first()?.spread.freedom;
        let slack = t95(freedom as usize).map_or(f64::INFINITY, |t| t * t / f64::from(freedom));
        let fits = tried
            .iter()
            .filter(|line| line.squares <= least * (1.0 + slack) + 1e-15)
            .filter_map(|line| line.law.knee);
        let (first, last) = fits.fold((f64::INFINITY, 0_f64), |(a, b), knee| {
            (a.min(knee.0), b.max(knee.0))
        });
        let best = tried
            .into_iter()
            .min_by(|a, b| a.squares.total_cmp(&b.squares))?;
        Some((best, (first, last)))
    }
}

/// Distinct shares, ascending.
pub(crate) fn distinct(points: &[(f64, f64)]) -> Vec<f64> {
    let mut caps: Vec<f64> = points.iter().map(|point| point.0).collect();
    caps.sort_by(f64::total_cmp);
    caps.dedup();
    caps
}

/// Points that can be fitted: shares above 0 up to 1, values above 0.
fn usable(points: &[(Ratio, f64)]) -> Vec<(f64, f64)> {
    let good = |p: &&(Ratio, f64)| p.0.0 > 0.0 && p.0.0 <= 1.0 && p.1 > 0.0 && p.1.is_finite();
    points.iter().filter(good).map(|p| (p.0.0, p.1)).collect()
}

impl LawFit {
    /// The law of one form; `None` with too few distinct caps for it (3, and 4
    /// for a plateau).
    pub fn of_form(points: &[(Ratio, f64)], form: Form) -> Option<Self> {
        let points = usable(points);
        let mut fit = Self::made(&points, form)?;
        fit.left_out_error = left_out(&points, form);
        Some(fit)
    }

    /// The law of the form that forecasts caps it has not seen with the smaller
    /// error (leave one cap out); a power law where both do alike, or where
    /// there are too few caps to tell. `None` below 3 distinct caps.
    pub fn chosen(points: &[(Ratio, f64)]) -> Option<Self> {
        let power = Self::of_form(points, Form::Power)?;
        let plateau = Self::of_form(points, Form::Plateau);
        Some(match plateau {
            Some(plateau) if is_better(&plateau, &power) => plateau,
            _ => power,
        })
    }

    fn made(points: &[(f64, f64)], form: Form) -> Option<Self> {
        if distinct(points).len() < LEAST_CAPS {
            return None;
        }
        let (line, knee_interval) = match form {
            Form::Power => (LogLine::through(points, None)?, None),
            Form::Plateau => {
                let (line, interval) = LogLine::with_knee(points)?;
                (line, Some(interval))
            }
        };
        let LogLine {
            law,
            squares,
            spread,
        } = line;
        let count = spread.count;
        let mean = points.iter().map(|p| p.1.ln()).sum::<f64>() / count;
        let total: f64 = points.iter().map(|p| (p.1.ln() - mean).powi(2)).sum();
        let sd = (squares / f64::from(spread.freedom.max(1))).sqrt();
        let residuals: Vec<Residual> = points
            .iter()
            .map(|&(cap, measured)| {
                let fitted = law.at(Ratio(cap));
                Residual {
                    cap: Ratio(cap),
                    measured,
                    fitted,
                    relative: measured / fitted - 1.0,
                }
            })
            .collect();
        let values = points.iter().map(|p| p.1);
        let (least, most) = values.fold((f64::INFINITY, 0_f64), |(a, b), v| (a.min(v), b.max(v)));
        Some(Self {
            law,
            r_squared: (total > 1e-12).then(|| 1.0 - squares / total),
            residual_sd: sd,
            worst_residual: residuals
                .iter()
                .map(|residual| residual.relative.abs())
                .fold(0.0, f64::max),
            exponent_interval: t95(spread.freedom as usize).map(|t| {
                let half = t * sd / spread.sum_squares.sqrt();
                (law.exponent - half, law.exponent + half)
            }),
            knee_interval: knee_interval.map(|(a, b)| (Ratio(a), Ratio(b))),
            aicc: aicc(count, squares, form),
            left_out_error: None,
            variation: most / least - 1.0,
            residuals,
            spread,
        })
    }

    /// The value at a share, with its 90 % interval for one more measurement;
    /// all three are the same where there are too few measurements for one.
    pub fn at(&self, share: Ratio) -> Interval<f64> {
        let middle = self.law.at(share);
        let off = self.law.bounded(share).ln() - self.spread.mean_log;
        let variance = 1.0 + self.spread.count.recip() + off * off / self.spread.sum_squares;
        let half =
            t95(self.spread.freedom as usize).unwrap_or(0.0) * self.residual_sd * variance.sqrt();
        Interval {
            p5: middle * (-half).exp(),
            p50: middle,
            p95: middle * half.exp(),
        }
    }

    /// The form that was fitted.
    pub fn form(&self) -> Form {
        self.law.form()
    }
}

fn is_better(plateau: &LawFit, power: &LawFit) -> bool {
    match (plateau.left_out_error, power.left_out_error) {
        (Some(plateau), Some(power)) => plateau < power - 1e-9,
        _ => false,
    }
}

/// n ln(S/n) + 2k + 2k(k+1)/(n-k-1), the variance counted among the parameters.
fn aicc(count: f64, squares: f64, form: Form) -> Option<f64> {
    let parameters = match form {
        Form::Power => 3.0,
        Form::Plateau => 4.0,
    };
    let rest = count - parameters - 1.0;
    (rest > 0.0 && squares > 0.0).then(|| {
        count * (squares / count).ln()
            + 2.0 * parameters
            + 2.0 * parameters * (parameters + 1.0) / rest
    })
}

/// Forecasts the measurements of every cap from those of all others.
fn left_out(points: &[(f64, f64)], form: Form) -> Option<f64> {
    let mut squares = 0.0;
    for cap in distinct(points) {
        let others: Vec<(f64, f64)> = points.iter().copied().filter(|p| p.0 != cap).collect();
        let fit = LawFit::made(&others, form)?;
        let fitted = fit.law.at(Ratio(cap)).ln();
        let here = points.iter().filter(|p| p.0 == cap);
        squares += here.map(|p| (p.1.ln() - fitted).powi(2)).sum::<f64>();
    }
    Some((squares / points.len() as f64).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tenths() -> impl Iterator<Item = Ratio> {
        (1..=10).map(|n| Ratio(f64::from(n) / 10.0))
    }

    /// Fixed deviations of a few per cent, neither sign favoured.
    const NOISE: [f64; 10] = [
        0.02, -0.01, 0.015, -0.025, 0.01, -0.005, 0.02, -0.02, 0.005, -0.01,
    ];

    fn noisy(law: CapLaw) -> Vec<(Ratio, f64)> {
        let with = |(cap, noise): (Ratio, f64)| (cap, law.at(cap) * (1.0 + noise));
        tenths().zip(NOISE).map(with).collect()
    }

    #[test]
    fn the_paper_s_law_is_recovered() {
        let printed = CapLaw::of_steps(181.06, -0.984, Ratio(0.1));
        let points: Vec<_> = tenths().map(|cap| (cap, printed.at(cap))).collect();
        let fit = LawFit::of_form(&points, Form::Power).unwrap();
        assert!((fit.law.exponent + 0.984).abs() < 1e-9);
        assert!((fit.law.at(Ratio(0.1)) - 181.06).abs() < 1e-6);
        assert!((fit.r_squared.unwrap() - 1.0).abs() < 1e-12);
        // Nothing is gained by a knee.
        assert_eq!(LawFit::chosen(&points).unwrap().form(), Form::Power);
    }

    #[test]
    fn a_power_law_misses_the_plateau_and_the_other_form_finds_it() {
        // "Above 50-60 % the time is flat."
        let law = CapLaw {
            scale: 12.0,
            exponent: -1.0,
            knee: Some(Ratio(0.55)),
        };
        let fit = LawFit::chosen(&noisy(law)).unwrap();
        assert_eq!(fit.form(), Form::Plateau);
        let knee = fit.law.knee.unwrap();
        assert!((knee.0 - 0.55).abs() < 0.03, "{knee}");
        let (low, high) = fit.knee_interval.unwrap();
        assert!(low.0 <= 0.55 && 0.55 <= high.0, "{low} to {high}");
        let (least, most) = fit.exponent_interval.unwrap();
        assert!(least < -1.0 && -1.0 < most, "{least} to {most}");
        let power = LawFit::of_form(&noisy(law), Form::Power).unwrap();
        assert!(fit.r_squared > Some(0.99) && fit.worst_residual < 0.05);
        assert!(fit.left_out_error < power.left_out_error && fit.aicc < power.aicc);
        // As in the paper, R^2 of the power law looks good all the same.
        assert!(power.r_squared > Some(0.9) && power.worst_residual > 0.1);
    }

    #[test]
    fn noise_alone_makes_no_plateau() {
        let law = CapLaw {
            scale: 12.0,
            exponent: -0.95,
            knee: None,
        };
        let fit = LawFit::chosen(&noisy(law)).unwrap();
        assert_eq!(fit.form(), Form::Power);
        let at = fit.at(Ratio(0.35));
        assert!(at.covers(&law.at(Ratio(0.35))) && at.p5 < at.p50 && at.p50 < at.p95);
    }

    #[test]
    fn too_little_is_no_law() {
        let few = [(Ratio(0.1), 9.0), (Ratio(0.1), 9.1), (Ratio(0.5), 2.0)];
        assert_eq!(LawFit::chosen(&few), None);
        let nonsense = [
            (Ratio(0.1), f64::NAN),
            (Ratio(0.5), 0.0),
            (Ratio(1.0), -1.0),
        ];
        assert_eq!(LawFit::chosen(&nonsense), None);
        // Three caps fit a line, but do not tell a plateau.
        let three = [(Ratio(0.1), 9.0), (Ratio(0.4), 2.5), (Ratio(1.0), 2.4)];
        assert_eq!(LawFit::chosen(&three).unwrap().form(), Form::Power);
    }

    #[test]
    fn the_same_time_everywhere_is_flat() {
        let flat: Vec<_> = tenths().map(|cap| (cap, 3.0)).collect();
        let fit = LawFit::chosen(&flat).unwrap();
        assert_eq!(fit.r_squared, None);
        assert!(fit.variation < 1e-9 && fit.worst_residual < 1e-9);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_law_without_noise_is_found(
            scale in 0.1f64..1000.0,
            exponent in -1.5f64..-0.3,
            knee in 0.25f64..0.85,
        ) {
            let law = CapLaw { scale, exponent, knee: Some(Ratio(knee)) };
            let points: Vec<_> = tenths().map(|cap| (cap, law.at(cap))).collect();
            let fit = LawFit::chosen(&points).unwrap();
            for &(cap, value) in &points {
                prop_assert!((fit.law.at(cap) / value - 1.0).abs() < 0.02);
            }
        }
    }
}
