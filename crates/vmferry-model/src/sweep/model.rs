//! The models that a sweep can be made with.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vmferry_core::Observation;

/// A model. All follow any rules but the last two, which are the textbook's
/// themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Model {
    /// `pages` where it is known which pages are dirtied when, else `curve`.
    #[default]
    Auto,
    /// Page by page over the recorded history, with draws of all that is not
    /// known.
    Pages,
    /// The recorded history from starts spread over it (`akoush2010`).
    Hist,
    /// The dirty curve alone.
    Curve,
    /// A constant dirty rate: that over one second (`akoush2010`).
    Avg,
    /// The dirty curve by the formula of the papers.
    Textbook,
    /// The closed form of a constant dirty rate (`liu2011` eq. 1-8).
    ClosedForm,
}

impl Model {
    /// Every model.
    pub const ALL: [Self; 7] = [
        Self::Auto,
        Self::Pages,
        Self::Hist,
        Self::Curve,
        Self::Avg,
        Self::Textbook,
        Self::ClosedForm,
    ];

    /// Its name on the command line and in documents.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Pages => "pages",
            Self::Hist => "hist",
            Self::Curve => "curve",
            Self::Avg => "avg",
            Self::Textbook => "textbook",
            Self::ClosedForm => "closed-form",
        }
    }

    /// Whether it is the textbook's own formula, so that no other rules go with
    /// it.
    pub const fn is_formula(self) -> bool {
        matches!(self, Self::Textbook | Self::ClosedForm)
    }

    /// What `auto` picks.
    pub(super) fn resolved(self, observation: &Observation) -> Self {
        let history = observation.page_history.as_ref();
        let has_pages = history.is_some_and(|h| h.intervals() > 0 && !h.pages().is_empty());
        match self {
            Self::Auto if has_pages => Self::Pages,
            Self::Auto => Self::Curve,
            model => model,
        }
    }
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Model {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|model| model.name() == text);
        known.ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("`{text}` names no model that sweeps; known are {names}")
        })
    }
}
