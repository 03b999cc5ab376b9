//! HIST of `akoush2010`: the recorded history, replayed from every offset.

use vmferry_core::PageHistory;
use vmferry_precopy::dirt::{Recording, Unit};

use super::rules::{Draw, RuleSet};
use super::{CannotForecast, Case, Ended, Predicted, Predictor, Technique};

/// Most offsets that are replayed; of a longer history, as many evenly spread.
const MOST_OFFSETS: usize = 1000;

/// HIST (`akoush2010`): the recorded history of page dirtying, with the
/// hypervisor's algorithm simulated over it. Where in its cycle the guest will
/// be is unknown, so every look of the history is a start, and the interval is
/// over these.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hist {
    /// Whose algorithm.
    pub rules: RuleSet,
}

impl Predictor for Hist {
    fn name(&self) -> &'static str {
        "hist"
    }

    fn rules(&self) -> RuleSet {
        self.rules
    }

    fn forecast(&self, case: &Case<'_>, seed: u64) -> Result<Predicted, CannotForecast> {
        case.check(self.name(), &[Technique::PreCopy])?;
        let history = recorded(case, self.name())?;
        let (history, recording) = (history.0, &history.1);
        let units = whole_memory(case, history, recording.units());
        let offsets = offsets(history);
        let draws: Vec<Option<Ended>> = (0..)
            .zip(&offsets)
            .map(|(number, offset)| {
                let draw = Draw::of(case, seed, number);
                let dirt = recording.replayed(*offset, draw.dirt, units.clone());
                Ended::of(&self.rules.replay(case, &draw, &dirt))
            })
            .collect();
        let said = Predicted::of_draws(&draws, case.deadline()).by(self.name());
        Ok(said.noted(format!(
            "{} starts spread over {:.1} s of recorded history, by the rules of {}.",
            offsets.len(),
            recording.window(),
            self.rules.name()
        )))
    }
}

/// The history of a case, ready to be replayed.
pub(crate) fn recorded<'a>(
    case: &Case<'a>,
    model: &'static str,
) -> Result<(&'a PageHistory, Recording<'a>), CannotForecast> {
    case.observation
        .and_then(|observation| observation.page_history.as_ref())
        .and_then(|history| Some((history, Recording::new(history)?)))
        .ok_or_else(|| CannotForecast::Unknown {
            model,
            guest: case.label(),
            what: "a history of which pages are dirtied when",
            remedy: "record the guest for some seconds",
        })
}

/// Instants of the looks, in seconds: where a replay may start.
fn offsets(history: &PageHistory) -> Vec<f64> {
    let looks = history.intervals();
    let count = looks.min(MOST_OFFSETS);
    (0..count)
        .map(|i| history.interval_us(i * looks / count).0 as f64 / 1e6)
        .collect()
}

/// The sampled pages, made to stand for the whole memory and its share of
/// zero pages.
pub(crate) fn whole_memory(case: &Case<'_>, history: &PageHistory, units: &[Unit]) -> Vec<Unit> {
    let mut units = units.to_vec();
    let total = case.memory.pages().0 as f64;
    let mut sums = [0.0, 0.0];
    for page in history.pages() {
        sums[usize::from(page.zero)] += page.weight;
    }
    let factors = match case.zero {
        Some(zero) if sums[0] > 0.0 && sums[1] > 0.0 => {
            [total * (1.0 - zero.0) / sums[0], total * zero.0 / sums[1]]
        }
        _ => [total / (sums[0] + sums[1]); 2],
    };
    for (unit, page) in units.iter_mut().zip(history.pages()) {
        // A page that stands for next to nothing must not be nothing.
        unit.pages *= factors[usize::from(page.zero)].max(1e-9);
    }
    units
}
