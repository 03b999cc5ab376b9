//! Pre-copy as papers simulate it, over a curve or a constant rate.

use vmferry_core::{ByteRate, Bytes, CurvePoint, DirtyCurve, Millis, Ratio};
use vmferry_precopy::dirt::CurveAmount;
use vmferry_precopy::textbook::replay;

use super::rules::{DRAWS, Draw, RuleSet, textbook_rules};
use super::{CannotForecast, Case, Ended, Predicted, Predictor, Technique};

/// "Send everything, then look": over the dirty curve U(t) where one was
/// measured (Gudkov's `predict_migration`, qemu-devel 2023), else over the
/// constant dirty rate (`liu2011` eq. 1-8, round by round). Unlike the closed
/// form it knows that no more than all memory can be dirty.
#[derive(Clone, Copy, Debug, Default)]
pub struct Textbook {
    /// Takes the rate even where a curve is known.
    pub rate_only: bool,
}

impl Predictor for Textbook {
    fn name(&self) -> &'static str {
        "textbook"
    }

    fn rules(&self) -> RuleSet {
        RuleSet::Textbook
    }

    fn forecast(&self, case: &Case<'_>, seed: u64) -> Result<Predicted, CannotForecast> {
        case.check(self.name(), &[Technique::PreCopy])?;
        let curve = case
            .observation
            .map(|observation| &observation.dirty_curve)
            .filter(|curve| !self.rate_only && !curve.points.is_empty());
        let (curve, note) = match curve {
            Some(curve) => (curve.clone(), "Dirt follows the measured dirty curve."),
            None => (
                straight(case.known_dirty_rate(self.name())?),
                "Dirt grows evenly with time, until all memory is dirty.",
            ),
        };
        let rules = textbook_rules(case);
        let zero = case.zero.unwrap_or_default();
        let draws: Vec<Option<Ended>> = (0..DRAWS)
            .map(|number| {
                let draw = Draw::of(case, seed, number);
                let mut drawn = curve.clone();
                for point in &mut drawn.points {
                    point.dirtied_bytes = point.dirtied_bytes * Ratio(draw.dirt);
                }
                let dirt = CurveAmount::new(drawn, case.memory.pages(), zero);
                let rate = draw.stream_rate(case);
                Ended::of(&replay(&dirt, &rules, rate, case.deadline()))
            })
            .collect();
        let said = Predicted::of_draws(&draws, case.deadline());
        Ok(said.by(self.name()).noted(note))
    }
}

/// A curve that grows evenly for ever.
fn straight(rate: ByteRate) -> DirtyCurve {
    DirtyCurve {
        points: vec![CurvePoint {
            window_ms: Millis(1000.0),
            dirtied_bytes: Bytes(rate.0.round() as u64),
            standard_error_bytes: Bytes(0),
        }],
    }
}
