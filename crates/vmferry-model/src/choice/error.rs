//! Why nothing can be ranked or chosen.

use thiserror::Error;

use super::terms::Term;

/// Why nothing can be ranked or chosen.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum ChoiceError {
    /// Weights that do not add up to 1.
    #[error("the weights add up to {sum:.4}, not to 1; in the same proportions they are {scaled}")]
    WeightSum {
        /// What they add up to.
        sum: f64,
        /// The same, scaled.
        scaled: String,
    },
    /// A weight that is none.
    #[error("the weight `{text}` {problem}; write for example downtime=0.5,time=0.3,traffic=0.2")]
    Weight {
        /// As it was written.
        text: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// Energy counts, and is unknown of a guest that may move.
    #[error(
        "energy has a weight and the energy of moving {guest} is unknown; give it the weight 0, or make an energy profile of the pair of hosts"
    )]
    NoEnergy {
        /// The guest.
        guest: String,
    },
    /// Two guests of one name cannot be told apart.
    #[error("two guests are called {name}; give each guest a name of its own")]
    SameName {
        /// The name.
        name: String,
    },
    /// A demand that asks for nothing.
    #[error("{what} to be freed makes no sense; give a positive amount")]
    Demand {
        /// What was asked for.
        what: String,
    },
    /// What moving is worth leaves a quantity open that has a weight.
    #[error(
        "what moving is worth says nothing of {term}, which has a weight; add {term}=..., or give it the weight 0"
    )]
    Worth {
        /// The quantity.
        term: Term,
    },
}
