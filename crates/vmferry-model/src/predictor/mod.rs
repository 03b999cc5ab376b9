//! Every predictor behind one interface: the papers' models beside ours.
//!
//! ```text
//! Past moves ──> Fit::fit() ──> Predictor ──┐
//! Case (what is known before a move) ───────┴─> forecast() ──> Predicted
//! ```
//!
//! A predictor says what it knows and no more: what it cannot know is an
//! error ([`CannotForecast`]), what it does not speak of is `None`.

pub mod auto;
pub mod avg;
pub mod base;
mod case;
pub mod closed_form;
pub mod corrected;
pub mod corrections;
mod error;
mod full_forecast;
pub mod gamma;
pub mod hist;
pub mod lessons;
pub mod named;
pub mod pages;
mod past;
pub mod post_copy;
mod predicted;
mod quantity;
pub mod refined;
pub mod rounds;
pub(crate) mod rules;
pub mod textbook;

use vmferry_core::Forecast;

pub use auto::{Auto, AutoFit, Memory};
pub use avg::Avg;
pub use base::Base;
pub use case::{Case, Technique};
pub use closed_form::ClosedForm;
pub use corrected::{Corrected, Correcting};
pub use corrections::{Corrections, Who};
pub use error::{CannotForecast, TooLittleData};
pub use gamma::Gamma;
pub use hist::Hist;
pub use lessons::Lessons;
pub use named::{NAMES, calibrated, named};
pub use pages::{Curve, Pages};
pub use past::{Measured, Past};
pub use post_copy::PostCopy;
pub use predicted::{Ended, Predicted};
pub use quantity::Quantity;
pub use refined::{Refined, RefinedFit};
pub(crate) use rules::Draw;
pub use rules::RuleSet;
pub use textbook::Textbook;

/// A model that forecasts moves. Pure: the same case and seed give the same
/// forecast.
pub trait Predictor: std::fmt::Debug + Send + Sync {
    /// Its name on the command line and in records, for example `hist`.
    fn name(&self) -> &'static str;

    /// Whose rules it follows.
    fn rules(&self) -> RuleSet {
        RuleSet::default()
    }

    /// What a move will cost.
    ///
    /// # Errors
    /// When the case lacks what this model needs, or is outside what it
    /// describes.
    fn forecast(&self, case: &Case<'_>, seed: u64) -> Result<Predicted, CannotForecast>;

    /// Its forecast of a case of which [`Fit::inside`] has `said` its own
    /// already.
    fn corrected(&self, case: &Case<'_>, said: Predicted) -> Predicted {
        let _ = case;
        said
    }

    /// The same as it is shown and recorded, with all else that the model says:
    /// slowdown, passes and remedies of ours; `None` where it does not speak of
    /// them. Bytes on the wire follow from the link's efficiency.
    ///
    /// # Errors
    /// As [`Self::forecast`]; where the guest was not observed; and where the
    /// model says nothing of convergence.
    fn forecast_in_full(&self, case: &Case<'_>, seed: u64) -> Result<Forecast, CannotForecast> {
        full_forecast::of(self, case, seed)
    }
}

/// A model that learns from earlier moves.
pub trait Fit: std::fmt::Debug + Send + Sync {
    /// The name of the predictors it makes.
    fn name(&self) -> &'static str;

    /// Learns from moves in the order in which they happened. What comes back
    /// has forgotten them: it holds no borrow.
    ///
    /// # Errors
    /// When too few of them tell what this model has to know.
    fn fit(&self, past: &[Past<'_>]) -> Result<Box<dyn Predictor>, TooLittleData>;

    /// The model that forecasts a case whatever was learned, where learning
    /// but corrects what it says ([`Predictor::corrected`]): who compares many
    /// fits asks it once. Its word stands where there is too little to learn
    /// from.
    fn inside(&self, case: &Case<'_>) -> Option<&dyn Predictor> {
        let _ = case;
        None
    }
}
