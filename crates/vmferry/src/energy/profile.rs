//! What is known of hosts' energy.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vmferry_history::{History, Profile, ProfileFilter, Store as _};
use vmferry_model::energy::EnergyFit;

use crate::Error;

/// Kind of these documents in the history.
const KIND: &str = "energy";

/// Which part of a move's energy a profile is of.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum ProfiledSide {
    /// What a host takes that guests leave.
    Source,
    /// What a host takes that guests come to.
    Destination,
    /// Both hosts of a pair together.
    Pair,
}

impl ProfiledSide {
    /// Its word, as in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Destination => "destination",
            Self::Pair => "pair",
        }
    }
}

/// Energy of moves against what they send, fitted to measured moves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EnergyProfile {
    /// Which part of the energy.
    pub side: ProfiledSide,
    /// The source host; `None` in a profile of a destination.
    pub source_host: Option<String>,
    /// The destination host; `None` in a profile of a source.
    pub destination_host: Option<String>,
    /// The meters; of a pair the source's first.
    pub meters: Vec<String>,
    /// When it was fitted.
    pub made_at: Timestamp,
    /// The line.
    pub fit: EnergyFit,
}

impl EnergyProfile {
    pub(super) async fn keep(&self, history: &History) -> Result<(), Error> {
        let profile = Profile::new(
            KIND,
            self.source_host.as_deref(),
            self.destination_host.as_deref(),
            self.made_at,
            self,
        )?;
        Ok(history.keep_profile(&profile).await?)
    }

    /// Every profile that is kept, the newest first.
    pub(super) async fn all(history: &History) -> Result<Vec<Self>, Error> {
        let filter = ProfileFilter {
            kind: Some(KIND.to_owned()),
            ..ProfileFilter::default()
        };
        let kept = history.profiles(&filter).await?;
        Ok(kept.iter().map(Profile::read).collect::<Result<_, _>>()?)
    }

    /// Whether it is of the same part, hosts and meters.
    fn replaces(&self, other: &Self) -> bool {
        let of = |p: &Self| {
            (
                p.side,
                p.source_host.clone(),
                p.destination_host.clone(),
                p.meters.clone(),
            )
        };
        of(self) == of(other)
    }

    /// Those that no newer one replaces, given the newest first.
    pub(super) fn newest(all: Vec<Self>) -> Vec<Self> {
        let mut newest: Vec<Self> = Vec::new();
        for profile in all {
            if !newest.iter().any(|newer| newer.replaces(&profile)) {
                newest.push(profile);
            }
        }
        newest
    }
}
