//! AVG of `akoush2010`: a constant dirty rate, replayed.

use vmferry_core::ByteRate;
use vmferry_precopy::dirt::{ConstantDirt, Writes};

use super::rules::{DRAWS, Draw, RuleSet};
use super::{CannotForecast, Case, Ended, Predicted, Predictor, Technique};

/// AVG (`akoush2010`): pages are dirtied in turn at the guest's average rate,
/// and the hypervisor's algorithm is simulated over that. Right for guests
/// that write evenly.
#[derive(Clone, Copy, Debug, Default)]
pub struct Avg {
    /// Whose algorithm.
    pub rules: RuleSet,
}

impl Predictor for Avg {
    fn name(&self) -> &'static str {
        "avg"
    }

    fn rules(&self) -> RuleSet {
        self.rules
    }

    fn forecast(&self, case: &Case<'_>, seed: u64) -> Result<Predicted, CannotForecast> {
        case.check(self.name(), &[Technique::PreCopy])?;
        let rate = case.known_dirty_rate(self.name())?;
        let zero = case.zero.unwrap_or_default();
        let draws: Vec<Option<Ended>> = (0..DRAWS)
            .map(|number| {
                let draw = Draw::of(case, seed, number);
                let rate = ByteRate(rate.0 * draw.dirt);
                let pages = case.memory.pages();
                let dirt = ConstantDirt::new(rate, pages, Writes::Sequential, pages, zero);
                Ended::of(&self.rules.replay_amount(case, &draw, &dirt))
            })
            .collect();
        let said = Predicted::of_draws(&draws, case.deadline()).by(self.name());
        Ok(said.noted(format!(
            "A constant dirty rate of {rate}, by the rules of {}.",
            self.rules.name()
        )))
    }
}
