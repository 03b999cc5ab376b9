//! What a model's past errors teach: corrections, the width of its intervals,
//! and which guests have changed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::corrections::{Correction, Corrections, Who, believed};
use super::refined::moves;
use super::{Measured, Predicted, Quantity};
use crate::conformal::{Conformal, SUFFICIENT, scaled, score};
use crate::drift::Drift;

/// A guest's own errors set the width of its intervals from so many moves on;
/// before, all guests' do.
const OWN_WIDTH: usize = 20;
/// A correction below 1 % is not worth a word.
const WORTH_A_NOTE: f64 = 0.01;

/// What past errors of one model teach. Pure: state in, state out; it can be
/// stored and read again. Moves have to be told in the order in which they
/// happened.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Lessons {
    /// Whether medians stay as the model says them.
    intervals_only: bool,
    of: BTreeMap<Quantity, OfQuantity>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct OfQuantity {
    corrections: Corrections,
    width: Conformal,
    guests: BTreeMap<String, OfGuest>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct OfGuest {
    width: Conformal,
    drift: Drift,
}

impl OfQuantity {
    fn new(quantity: Quantity) -> Self {
        Self {
            corrections: Corrections::new(quantity),
            width: Conformal::default(),
            guests: BTreeMap::new(),
        }
    }

    fn width(&self, who: Who<'_>) -> &Conformal {
        let own = who.guest.and_then(|guest| self.guests.get(guest));
        own.map(|own| &own.width)
            .filter(|own| own.len() >= OWN_WIDTH)
            .unwrap_or(&self.width)
    }

    fn correction(&self, who: Who<'_>, intervals_only: bool) -> Correction {
        if intervals_only {
            return Correction::NONE;
        }
        self.corrections.correction(who)
    }

    /// After another move: first the width learns how far the corrected
    /// forecast was off, then the correction.
    fn after(
        mut self,
        quantity: Quantity,
        who: Who<'_>,
        (said, measured): (&Predicted, &Measured),
        intervals_only: bool,
    ) -> Self {
        let (Some(error), Some(interval), Some(value)) = (
            said.log_error(quantity, measured),
            said.of(quantity),
            measured.of(quantity),
        ) else {
            return self;
        };
        let factor = self.correction(who, intervals_only).factor;
        let score = score(interval.map(|v| v * factor), value);
        self.width = self.width.after(score);
        self.corrections = self.corrections.after(who, error);
        if let Some(guest) = who.guest {
            let own = self.guests.remove(guest).unwrap_or_else(|| OfGuest {
                width: Conformal::default(),
                drift: Drift::new(believed(quantity).noise),
            });
            let own = OfGuest {
                width: own.width.after(score),
                drift: own.drift.after(error),
            };
            if own.drift.just_changed().is_some() {
                let (mean, since) = own.drift.level();
                self.corrections = self.corrections.changed(guest, mean, since);
            }
            self.guests.insert(guest.to_owned(), own);
        }
        self
    }
}

impl Lessons {
    /// Nothing learned, and only intervals to be: medians stay as the model
    /// says them. For models that are shown as their authors left them.
    pub fn of_intervals() -> Self {
        Self {
            intervals_only: true,
            ..Self::default()
        }
    }

    /// After another move of which the model said something, uncorrected.
    /// Moves that did not complete teach nothing.
    #[must_use]
    pub fn after(mut self, who: Who<'_>, said: &Predicted, measured: &Measured) -> Self {
        if !measured.is_complete() {
            return self;
        }
        for quantity in Quantity::ALL {
            let before = self.of.remove(&quantity);
            let before = before.unwrap_or_else(|| OfQuantity::new(quantity));
            let after = before.after(quantity, who, (said, measured), self.intervals_only);
            self.of.insert(quantity, after);
        }
        self
    }

    /// Earlier moves behind the correction of total time: of the guest, and over
    /// the route.
    pub fn learned_from(&self, who: Who<'_>) -> (u32, u32) {
        self.of.get(&Quantity::TotalTime).map_or((0, 0), |taught| {
            let correction = taught.correction(who, false);
            (correction.guest_moves, correction.route_moves)
        })
    }

    /// A forecast corrected, its intervals calibrated, and what changed told
    /// in its notes.
    #[must_use]
    pub fn applied(&self, who: Who<'_>, said: Predicted) -> Predicted {
        self.taught(who, said, self.intervals_only)
    }

    /// A forecast of a guest that nobody knows, with its intervals calibrated
    /// and its medians as they are.
    #[must_use]
    pub fn widened(&self, said: Predicted) -> Predicted {
        self.taught(Who::default(), said, true)
    }

    fn taught(&self, who: Who<'_>, mut said: Predicted, intervals_only: bool) -> Predicted {
        for (quantity, taught) in &self.of {
            let Some(interval) = said.of(*quantity) else {
                continue;
            };
            let correction = taught.correction(who, intervals_only);
            let width = taught.width(who);
            let corrected = interval.map(|v| v * correction.factor);
            said.set(*quantity, scaled(corrected, width.scale()));
            if (correction.factor - 1.0).abs() >= WORTH_A_NOTE {
                let from = match correction.guest_moves {
                    0 => format!("{} over this route", moves(correction.route_moves)),
                    n => format!("{} of this guest", moves(n)),
                };
                let percent = (correction.factor - 1.0) * 100.0;
                said.notes.push(format!(
                    "Corrected: {quantity} by {percent:+.1} %, as {from} taught."
                ));
            }
            let drift = who.guest.and_then(|guest| taught.guests.get(guest));
            if let Some(change) = drift.and_then(|own| own.drift.change()) {
                let percent = (change.shift.exp() - 1.0) * 100.0;
                said.notes.push(format!(
                    "This guest has changed: since {} its {quantity} is {percent:+.0} % against what was forecast before; measure it anew.",
                    moves(change.moves)
                ));
            }
            if *quantity == Quantity::TotalTime && !width.is_empty() {
                let errors = width.len();
                said.notes.push(if errors < SUFFICIENT {
                    format!(
                        "Intervals are not calibrated yet: {} of {SUFFICIENT} moves.",
                        errors
                    )
                } else {
                    format!("Intervals are calibrated on the errors of {errors} moves.")
                });
            }
        }
        said
    }
}
