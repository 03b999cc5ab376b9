//! What physics says of a move before anything is learned.

use vmferry_core::ByteRate;

use crate::predictor::closed_form::T_RESUME;
use crate::predictor::{CannotForecast, Case, Predicted, Predictor, Technique};

/// Most rounds: where dirt outruns the link no sum of rounds ends
/// (`jin2011`, N = 30).
const MOST_ROUNDS: u32 = 30;

/// Rounds of `liu2011` eq. 1-5 for a constant dirty rate, and what they cost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Physics {
    /// Total time (s), downtime (s) and traffic (bytes).
    pub(super) costs: [f64; 3],
    /// What the correction may depend on.
    pub(super) traits: [f64; TRAITS],
    /// ln(D / R), within bounds.
    pub(super) log_ratio: f64,
}

/// How many numbers describe a move.
pub(super) const TRAITS: usize = 6;

impl Physics {
    /// Of one move. Post-copy and stop-and-copy send every page once, and so
    /// need no dirty rate.
    ///
    /// # Errors
    /// When the link makes no sense, or pre-copy's dirty rate is unknown.
    pub(super) fn of(case: &Case<'_>, model: &'static str) -> Result<Self, CannotForecast> {
        let rate = case.stream_rate()?.0;
        let memory = case.first_pass();
        if memory < 1.0 {
            return Err(CannotForecast::Senseless {
                guest: case.label(),
                what: "a memory size",
                value: format!("{} bytes", case.memory.0),
                remedy: "measure the guest again",
            });
        }
        let dirty = match case.technique {
            Technique::PostCopy | Technique::StopAndCopy => {
                case.dirty_rate.unwrap_or(ByteRate(0.0)).0
            }
            _ => case.known_dirty_rate(model)?.0,
        };
        let ratio = dirty / rate;
        let once = memory / rate;
        let (sent, costs) = match case.technique {
            Technique::PostCopy => (memory, [once, T_RESUME, memory]),
            Technique::StopAndCopy => (memory, [once, once + T_RESUME, memory]),
            _ => {
                let threshold = rate * case.downtime_limit().as_secs_f64();
                let (sent, last) = rounds(memory, ratio, threshold);
                (sent, [sent / rate, last / rate + T_RESUME, sent])
            }
        };
        Ok(Self {
            costs,
            traits: [
                memory.ln(),
                rate.ln(),
                ratio.ln_1p(),
                (dirty / 1e6).ln_1p(),
                (sent / memory).ln(),
                ratio.max(1.0).ln(),
            ],
            log_ratio: ratio.max(1e-3).ln().min(7.0),
        })
    }
}

/// The physics of [`Learned`](super::Learned) without what is learned: closed
/// forms for every technique, to compare with.
#[derive(Clone, Copy, Debug, Default)]
pub struct Uncorrected;

impl Predictor for Uncorrected {
    fn name(&self) -> &'static str {
        "uncorrected"
    }

    fn forecast(&self, case: &Case<'_>, _seed: u64) -> Result<Predicted, CannotForecast> {
        let [total_s, downtime_s, transferred] = Physics::of(case, self.name())?.costs;
        Ok(Predicted::of_formula(total_s, downtime_s, transferred)
            .by(self.name())
            .noted("A formula for a constant dirty rate: it has no interval of its own."))
    }
}

/// Bytes sent in all rounds, and in the last.
fn rounds(memory: f64, ratio: f64, threshold: f64) -> (f64, f64) {
    let (mut left, mut sent) = (memory, memory);
    for _ in 0..MOST_ROUNDS {
        if left <= threshold {
            break;
        }
        left = (left * ratio).min(memory);
        sent += left;
    }
    (sent, left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_up_shrinking_rounds() {
        // 1024 + 256 + 64 + 16 + 4.
        assert_eq!(rounds(1024.0, 0.25, 4.0), (1364.0, 4.0));
        assert_eq!(rounds(1024.0, 0.0, 4.0), (1024.0, 0.0));
        // Dirt that outruns the link is bounded by memory and rounds.
        assert_eq!(rounds(10.0, 3.0, 4.0), (310.0, 10.0));
    }
}
