//! By whose rules a guest moves.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::predictor::RuleSet;

/// By whose rules a guest moves.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Rules {
    /// QEMU's pre-copy.
    #[default]
    Qemu,
    /// Today's Xen.
    Xen,
    /// Xen 3, of the papers.
    XenLegacy,
    /// Send everything, then look.
    Textbook,
    /// QEMU's post-copy after the first pass.
    PostCopy,
}

impl Rules {
    /// Every rule set.
    pub const ALL: [Self; 5] = [
        Self::Qemu,
        Self::Xen,
        Self::XenLegacy,
        Self::Textbook,
        Self::PostCopy,
    ];

    /// Its name on the command line and in documents.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Qemu => "qemu",
            Self::Xen => "xen",
            Self::XenLegacy => "xen-legacy",
            Self::Textbook => "textbook",
            Self::PostCopy => "post-copy",
        }
    }

    /// Whether a downtime limit has a say.
    pub const fn has_downtime_limit(self) -> bool {
        matches!(self, Self::Qemu | Self::Textbook)
    }

    /// The same among those of pre-copy; `None` for post-copy.
    pub(super) const fn pre_copy(self) -> Option<RuleSet> {
        match self {
            Self::Qemu => Some(RuleSet::Qemu),
            Self::Xen => Some(RuleSet::Xen),
            Self::XenLegacy => Some(RuleSet::XenLegacy),
            Self::Textbook => Some(RuleSet::Textbook),
            Self::PostCopy => None,
        }
    }
}

impl fmt::Display for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Rules {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|rules| rules.name() == text);
        known.ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("`{text}` names no rules; known are {names}")
        })
    }
}
