//! Energy as a line in what was sent.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vmferry_core::{Bytes, Interval, Joules};

use super::EnergyError;
use crate::analysis::least_squares::Line;
use crate::chance::t95;

/// Fewest moves of a fit: one more than a line has numbers, so that something
/// is left to tell its error by.
pub const LEAST_POINTS: usize = 3;

/// The largest move has to send so many times what the smallest sends.
const LEAST_SPREAD: f64 = 1.5;

/// `E = alpha V + beta` by ordinary least squares (`liu2011` eq. 15, eq. 14 for
/// hosts that differ), with 90 % intervals by Student's t.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EnergyFit {
    /// Joules per megabyte (10^6 bytes) of the stream, with its interval.
    pub alpha_j_per_mb: Interval<f64>,
    /// Joules of every move beside, with its interval.
    pub beta_j: Interval<Joules>,
    /// Share of the energies' variance that the line explains, 0..1; `None`
    /// where all energies are the same.
    pub r_squared: Option<f64>,
    /// Standard deviation of the residuals, with n - 2 degrees of freedom.
    pub residual_deviation_j: Joules,
    /// The moves it is fitted to, in the order given.
    pub points: Vec<FittedPoint>,
}

/// One move of a fit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FittedPoint {
    /// What it sent (QEMU's `ram.transferred`).
    pub transferred_bytes: Bytes,
    /// What it cost.
    pub energy_j: Joules,
    /// How far above the line that is.
    pub residual_j: Joules,
}

fn megabytes(volume: Bytes) -> f64 {
    volume.0 as f64 / 1e6
}

/// Student's t of a line through so many points; without bounds where none is left over.
fn student(points: usize) -> f64 {
    t95(points.saturating_sub(2)).unwrap_or(f64::INFINITY)
}

impl EnergyFit {
    /// The line through what several moves sent and cost.
    ///
    /// # Errors
    /// When they are too few, sent about as much, or one makes no sense.
    pub fn of(moves: &[(Bytes, Joules)]) -> Result<Self, EnergyError> {
        if let Some(&(volume, energy)) = moves
            .iter()
            .find(|(volume, energy)| *volume == Bytes(0) || !energy.0.is_finite())
        {
            return Err(EnergyError::BadPoint { volume, energy });
        }
        if moves.len() < LEAST_POINTS {
            return Err(EnergyError::TooFew { found: moves.len() });
        }
        let volumes = || moves.iter().map(|(volume, _)| *volume);
        let (least, most) = (volumes().min(), volumes().max());
        let (least, most) = (least.unwrap_or(Bytes(0)), most.unwrap_or(Bytes(0)));
        let alike = || EnergyError::VolumesAlike { least, most };
        if megabytes(most) < LEAST_SPREAD * megabytes(least) {
            return Err(alike());
        }
        let points = moves.iter().map(|(v, e)| (megabytes(*v), e.0));
        let line = Line::through(points.clone()).ok_or_else(alike)?;
        let n = moves.len() as f64;
        let mean = points.clone().map(|p| p.1).sum::<f64>() / n;
        let (rest, total) = points.fold((0.0, 0.0), |(rest, total), (x, y)| {
            (rest + (y - line.at(x)).powi(2), total + (y - mean).powi(2))
        });
        let deviation = (rest / (n - 2.0)).sqrt();
        let (centre, spread) = centre_and_spread(volumes());
        let t = student(moves.len());
        let around = |value: f64, error: f64| Interval {
            p5: value - t * error,
            p50: value,
            p95: value + t * error,
        };
        Ok(Self {
            alpha_j_per_mb: around(line.slope, deviation / spread.sqrt()),
            beta_j: around(
                line.intercept,
                deviation * (1.0 / n + centre * centre / spread).sqrt(),
            )
            .map(Joules),
            r_squared: (total > 0.0).then(|| 1.0 - rest / total),
            residual_deviation_j: Joules(deviation),
            points: moves
                .iter()
                .map(|&(volume, energy)| FittedPoint {
                    transferred_bytes: volume,
                    energy_j: energy,
                    residual_j: Joules(energy.0 - line.at(megabytes(volume))),
                })
                .collect(),
        })
    }

    /// What a move of that traffic costs, on the line.
    pub fn at(&self, volume: Bytes) -> Joules {
        Joules(self.alpha_j_per_mb.p50 * megabytes(volume) + self.beta_j.p50.0)
    }

    /// How far a single move of that traffic lies above or below the line at
    /// most, with 90 %: the fit's own uncertainty, and the scatter of moves.
    pub fn half_width(&self, volume: Bytes) -> Joules {
        let n = self.points.len();
        let (centre, spread) = centre_and_spread(self.points.iter().map(|p| p.transferred_bytes));
        let away = megabytes(volume) - centre;
        let factor = (1.0 + 1.0 / n as f64 + away * away / spread).sqrt();
        self.residual_deviation_j * (student(n) * factor)
    }

    /// Whether the fit saw moves of at least and at most that traffic.
    pub fn covers(&self, volume: Bytes) -> bool {
        let volumes = || self.points.iter().map(|p| p.transferred_bytes);
        volumes().any(|v| v <= volume) && volumes().any(|v| v >= volume)
    }

    /// Whether more traffic costs more beyond doubt: the slope's interval is
    /// above zero.
    pub fn grows(&self) -> bool {
        self.alpha_j_per_mb.p5 > 0.0
    }
}

/// Mean of the volumes in megabytes, and the sum of squares around it.
fn centre_and_spread(volumes: impl Iterator<Item = Bytes> + Clone) -> (f64, f64) {
    let volumes = volumes.map(megabytes);
    let n = volumes.clone().count() as f64;
    let centre = volumes.clone().sum::<f64>() / n;
    let spread = volumes.map(|v| (v - centre).powi(2)).sum();
    (centre, spread)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mb(megabytes: f64) -> Bytes {
        Bytes((megabytes * 1e6) as u64)
    }

    #[test]
    fn a_line_by_the_book() {
        // Anscombe's first set: slope 0.5001 +- 0.1179, intercept 3.0001 +-
        // 1.1247, residual error 1.2366 on 9 degrees of freedom, R^2 0.6665.
        let points = [
            (10.0, 8.04),
            (8.0, 6.95),
            (13.0, 7.58),
            (9.0, 8.81),
            (11.0, 8.33),
            (14.0, 9.96),
            (6.0, 7.24),
            (4.0, 4.26),
            (12.0, 10.84),
            (7.0, 4.82),
            (5.0, 5.68),
        ];
        let fit = EnergyFit::of(&points.map(|(v, e)| (mb(v), Joules(e)))).unwrap();
        let near = |a: f64, b: f64, by: f64| assert!((a - b).abs() < by, "{a} {b}");
        near(fit.alpha_j_per_mb.p50, 0.5001, 1e-4);
        near(fit.beta_j.p50.0, 3.0001, 1e-4);
        near(fit.residual_deviation_j.0, 1.2366, 1e-4);
        near(fit.r_squared.unwrap(), 0.6665, 1e-4);
        // t of 9 degrees of freedom is 1.833.
        near(
            fit.alpha_j_per_mb.p95 - fit.alpha_j_per_mb.p50,
            1.833 * 0.1179,
            2e-3,
        );
        near(fit.beta_j.p50.0 - fit.beta_j.p5.0, 1.833 * 1.1247, 2e-2);
        // At the mean volume, 9, only 1/n is added to one move's own scatter.
        near(
            fit.half_width(mb(9.0)).0,
            1.833 * 1.2366 * (12f64 / 11.0).sqrt(),
            2e-2,
        );
        assert!(fit.half_width(mb(30.0)) > fit.half_width(mb(14.0)));
        let sum: f64 = fit.points.iter().map(|p| p.residual_j.0).sum();
        near(sum, 0.0, 1e-9);
        assert!(fit.grows() && fit.covers(mb(4.0)) && !fit.covers(mb(3.9)));
    }

    #[test]
    fn what_tells_no_line_is_refused() {
        let of = |points: &[(f64, f64)]| {
            let points: Vec<_> = points.iter().map(|&(v, e)| (mb(v), Joules(e))).collect();
            EnergyFit::of(&points).unwrap_err().to_string()
        };
        assert!(of(&[(1.0, 1.0), (2.0, 2.0)]).contains("2 measured moves"));
        assert!(of(&[(1.0, 1.0), (1.2, 2.0), (1.4, 3.0)]).contains("about as much"));
        assert!(of(&[(1.0, 1.0), (0.0, 2.0), (4.0, 3.0)]).contains("makes no sense"));
        assert!(of(&[(1.0, 1.0), (2.0, f64::NAN), (4.0, 3.0)]).contains("makes no sense"));
    }
}
