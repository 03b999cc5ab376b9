//! Ways to choose the guest to move.

use rand::Rng;
use rand::rngs::SmallRng;
use serde::{Deserialize, Serialize};
use vmferry::choosing::report::{ChooseReport, GuestReport};

use crate::Fault;

/// A way to choose the guest to move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Policy {
    /// Any, drawn evenly: what the paper compares with.
    Random,
    /// The one with the least memory.
    Smallest,
    /// The one that dirties least within a second.
    Quietest,
    /// The one that `choose` names.
    Guided,
}

impl Policy {
    pub(crate) const ALL: [Self; 4] = [Self::Random, Self::Smallest, Self::Quietest, Self::Guided];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::Smallest => "smallest",
            Self::Quietest => "quietest",
            Self::Guided => "guided",
        }
    }

    /// What it is called in the report.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::Smallest => "smallest first",
            Self::Quietest => "lowest dirty rate first",
            Self::Guided => "guided",
        }
    }

    /// Chooses, by what `choose` saw of all guests.
    pub(crate) fn pick(
        self,
        choice: &ChooseReport,
        random: &mut SmallRng,
    ) -> Result<String, Fault> {
        let mut guests: Vec<&GuestReport> = choice.guests.iter().collect();
        guests.sort_by(|a, b| a.name.cmp(&b.name));
        let least = |of: fn(&GuestReport) -> Option<f64>| {
            guests
                .iter()
                .filter_map(|guest| Some((of(guest)?, guest)))
                .min_by(|(a, _), (b, _)| a.total_cmp(b))
                .map(|(_, guest)| guest.name.clone())
        };
        let picked = match self {
            Self::Random => guests
                .get(random.random_range(0..guests.len()))
                .map(|guest| guest.name.clone()),
            Self::Smallest => least(|guest| Some(guest.memory_bytes?.0 as f64)),
            Self::Quietest => least(|guest| guest.dirty_rate_1s_bytes_per_s),
            Self::Guided => choice.choice.option.guests.first().cloned(),
        };
        picked
            .ok_or_else(|| format!("the policy {} has nothing to choose from", self.name()).into())
    }
}
