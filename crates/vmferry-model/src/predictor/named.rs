//! Models by the names that the command line and the records use.

use std::sync::Arc;

use vmferry_core::Forecast;

use super::{
    AutoFit, Avg, Base, ClosedForm, Correcting, Curve, Fit, Hist, Pages, Past, PostCopy, Predicted,
    Predictor, RefinedFit, RuleSet, Textbook, TooLittleData,
};
use super::{CannotForecast, Case};
use crate::learned::Learned;

/// Names of all models, ours first.
pub const NAMES: [&str; 11] = [
    "auto",
    "pages",
    "curve",
    "hist",
    "avg",
    "base",
    "refined",
    "textbook",
    "closed-form",
    "post-copy",
    "learned",
];

/// A model that learns nothing.
#[derive(Clone, Debug)]
pub struct AsIs(pub Arc<dyn Predictor>);

impl Fit for AsIs {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn fit(&self, _past: &[Past<'_>]) -> Result<Box<dyn Predictor>, TooLittleData> {
        Ok(Box::new(self.clone()))
    }

    fn inside(&self, _case: &Case<'_>) -> Option<&dyn Predictor> {
        Some(&*self.0)
    }
}

impl Predictor for AsIs {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn rules(&self) -> RuleSet {
        self.0.rules()
    }

    fn forecast(&self, case: &Case<'_>, seed: u64) -> Result<Predicted, CannotForecast> {
        self.0.forecast(case, seed)
    }

    fn forecast_in_full(&self, case: &Case<'_>, seed: u64) -> Result<Forecast, CannotForecast> {
        self.0.forecast_in_full(case, seed)
    }
}

/// A model that needs no fit, on some hypervisor's rules where that matters;
/// `None` of a name that is none, or of a model that has to learn first.
pub fn unfitted(name: &str, rules: RuleSet) -> Option<Arc<dyn Predictor>> {
    let base = Base {
        rules,
        ..Base::default()
    };
    Some(match name {
        "pages" => Arc::new(Pages),
        "curve" => Arc::new(Curve),
        "hist" => Arc::new(Hist { rules }),
        "avg" => Arc::new(Avg { rules }),
        "base" => Arc::new(base),
        "textbook" => Arc::new(Textbook::default()),
        "closed-form" => Arc::new(ClosedForm),
        "post-copy" => Arc::new(PostCopy),
        _ => return None,
    })
}

/// A model by its name, as its authors left it; `None` of a name that is none.
pub fn named(name: &str, rules: RuleSet) -> Option<Box<dyn Fit>> {
    Some(match name {
        "auto" => Box::new(AutoFit::default()),
        "refined" => Box::new(RefinedFit {
            base: Base {
                rules,
                ..Base::default()
            },
        }),
        "learned" => Box::new(Learned),
        name => Box::new(AsIs(unfitted(name, rules)?)),
    })
}

/// The same with intervals calibrated on past errors, where the model does not
/// do that itself; for `refined`, which changes with every move, past errors
/// tell too little.
pub fn calibrated(name: &str, rules: RuleSet) -> Option<Box<dyn Fit>> {
    match unfitted(name, rules) {
        Some(model) => Some(Box::new(Correcting {
            model,
            intervals_only: true,
        })),
        None => named(name, rules),
    }
}
