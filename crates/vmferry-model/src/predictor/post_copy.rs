//! QEMU's post-copy, replayed over the best that is known of the guest.

use vmferry_core::ByteRate;
use vmferry_precopy::dirt::CurveDirt;
use vmferry_precopy::postcopy::PostCopy as Replayed;

use super::hist::{recorded, whole_memory};
use super::rules::{DRAWS, Draw, RuleSet};
use super::{CannotForecast, Case, Ended, Predicted, Predictor, Technique};

/// Post-copy after the first pass: over the page history where one was
/// recorded, else the dirty curve, else the dirty rate.
#[derive(Clone, Copy, Debug, Default)]
pub struct PostCopy;

impl Predictor for PostCopy {
    fn name(&self) -> &'static str {
        "post-copy"
    }

    fn forecast(&self, case: &Case<'_>, seed: u64) -> Result<Predicted, CannotForecast> {
        case.check(self.name(), &[Technique::PostCopy])?;
        let pages = case.memory.pages();
        let zero = case.zero.unwrap_or_default();
        let curve = case.observation.map(|seen| &seen.dirty_curve);
        let ended = |r: Replayed| {
            Some(Ended {
                total_s: r.total_time.as_secs_f64(),
                downtime_s: r.downtime.as_secs_f64(),
                transferred: r.transferred.0 as f64,
            })
        };
        let draws = |replay: &dyn Fn(&Draw, f64) -> Replayed| -> Vec<Option<Ended>> {
            (0..DRAWS)
                .map(|n| {
                    let draw = Draw::of(case, seed, n);
                    ended(replay(&draw, f64::from(n) / f64::from(DRAWS)))
                })
                .collect()
        };
        let (found, note) = if let Ok((history, recording)) = recorded(case, self.name()) {
            let units = whole_memory(case, history, recording.units());
            let replay = |draw: &Draw, place: f64| {
                let offset = place * recording.window();
                let dirt = recording.replayed(offset, draw.dirt, units.clone());
                RuleSet::post_copy(case, draw, &dirt)
            };
            (draws(&replay), "Replayed over the recorded page history.")
        } else if let Some(curve) = curve.filter(|curve| !curve.points.is_empty()) {
            let replay = |draw: &Draw, _: f64| {
                let dirt = CurveDirt::new(curve, pages, zero, draw.dirt);
                RuleSet::post_copy(case, draw, &dirt)
            };
            (draws(&replay), "Replayed over the dirty curve.")
        } else {
            let rate = case.known_dirty_rate(self.name())?;
            let replay = |draw: &Draw, _: f64| {
                let dirt = CurveDirt::constant(ByteRate(rate.0 * draw.dirt), pages, zero);
                RuleSet::post_copy(case, draw, &dirt)
            };
            (draws(&replay), "Replayed over a constant dirty rate.")
        };
        Ok(Predicted::of_draws(&found, case.deadline())
            .by(self.name())
            .noted(note))
    }
}
