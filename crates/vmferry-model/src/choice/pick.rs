//! The set of guests to move, and why.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::change::{self, ForecastChange, WeightChange};
use super::cover::{self, Item};
use super::demand::Demand;
use super::error::ChoiceError;
use super::profile::{Profile, Worth};
use super::ranking::{Ranked, Ranking};
use super::terms::Terms;

/// Steps of a search for the runner-up, of which there is one for every member.
const RUNNER_UP_STEPS: u64 = 1 << 17;
/// Members of a choice that are left out one at a time to find the runner-up.
const LEFT_OUT: usize = 64;

/// A set of guests as an option.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pick {
    /// The guests by index among the profiles, the cheapest first.
    pub members: Vec<usize>,
    /// The parts of the cost, all guests together.
    pub parts: Terms,
    /// The cost: their sum.
    pub cost: f64,
    /// What the host is rid of, in the unit of the demand.
    pub freed: f64,
}

/// What the answer is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Move the guests of the pick.
    Move,
    /// Move nothing: all guests that may move together free no more than this.
    NotEnough {
        /// In the unit of the demand.
        most: f64,
    },
    /// Move nothing: the cheapest set costs more than staying.
    NotWorth {
        /// What the cheapest set costs.
        cheapest: f64,
        /// What staying costs.
        staying: f64,
    },
}

/// How good the answer is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Proof {
    /// No set that meets the demand costs less.
    Exact,
    /// The search was cut off: no set that meets the demand costs less than this.
    Bounded {
        /// The bound.
        least: f64,
    },
}

/// The answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// Whether to move, or why not.
    pub verdict: Verdict,
    /// The guests to move; none where nothing is to be moved.
    pub pick: Pick,
    /// How good it is.
    pub proof: Proof,
    /// The cheapest other set found that meets the demand.
    pub runner_up: Option<Pick>,
    /// The smallest change of a weight that brings another option level.
    pub weight_change: Option<WeightChange>,
    /// The smallest change of the runner-up's forecast that does.
    pub forecast_change: Option<ForecastChange>,
}

/// Chooses the guests of a ranking that meet a demand at the least cost, one
/// after another. Moving nothing meets no demand; it is the answer where no set
/// does, and where the cheapest set costs more than `worth`.
///
/// A number of guests is chosen exactly. Memory and processor time are chosen
/// exactly among [`ALWAYS_EXACT`](super::ALWAYS_EXACT) guests, and mostly among
/// more; where the search is cut off, [`Choice::proof`] has the bound.
///
/// # Errors
/// [`ChoiceError::Demand`] of a demand that asks for nothing,
/// [`ChoiceError::Worth`] where `worth` leaves open what has a weight.
pub fn choose(
    profiles: &[Profile],
    ranking: &Ranking,
    demand: Demand,
    worth: Option<&Worth>,
) -> Result<Choice, ChoiceError> {
    demand.check()?;
    let staying = worth
        .map(|worth| ranking.cost_of_staying(worth))
        .transpose()?;
    let options = Options {
        profiles,
        ranking,
        demand,
    };
    let Some((best, proof)) = options.cheapest(None, cover::STEPS) else {
        return Ok(Choice {
            verdict: Verdict::NotEnough {
                most: options.most(),
            },
            pick: Pick::default(),
            proof: Proof::Exact,
            runner_up: None,
            weight_change: None,
            forecast_change: None,
        });
    };
    let pick = options.pick(&best);
    let second = options.runner_up(&best);
    let (weight_change, forecast_change) = options.changes(&best, second.as_deref());
    let runner_up = second.map(|second| options.pick(&second));
    let (verdict, pick, runner_up) = match staying.map(|parts| parts.sum()) {
        Some(staying) if pick.cost > staying => {
            let verdict = Verdict::NotWorth {
                cheapest: pick.cost,
                staying,
            };
            // The set that was not worth it is what comes next.
            (verdict, Pick::default(), Some(pick))
        }
        _ => (Verdict::Move, pick, runner_up),
    };
    let is_moving = verdict == Verdict::Move;
    Ok(Choice {
        verdict,
        pick,
        proof,
        runner_up,
        weight_change: weight_change.filter(|_| is_moving),
        forecast_change: forecast_change.filter(|_| is_moving),
    })
}

/// The sets there are. Guests are named by their place in the ranking.
struct Options<'a> {
    profiles: &'a [Profile],
    ranking: &'a Ranking,
    demand: Demand,
}

impl Options<'_> {
    fn ranked(&self, place: usize) -> &Ranked {
        &self.ranking.ranked[place]
    }

    fn freed(&self, place: usize) -> f64 {
        let profile = &self.profiles[self.ranked(place).index];
        self.demand.freed_by(profile).unwrap_or(0.0)
    }

    /// What all guests that may move free together.
    fn most(&self) -> f64 {
        (0..self.ranking.ranked.len()).map(|i| self.freed(i)).sum()
    }

    /// The cheapest set that meets the demand without one guest.
    fn cheapest(&self, without: Option<usize>, steps: u64) -> Option<(Vec<usize>, Proof)> {
        let places = (0..self.ranking.ranked.len()).filter(|place| Some(*place) != without);
        if let Demand::Count(count) = self.demand {
            let first: Vec<usize> = places.take(count as usize).collect();
            return (first.len() == count as usize).then_some((first, Proof::Exact));
        }
        let items: Vec<Item> = places
            .map(|place| Item {
                id: place,
                cost: self.ranked(place).cost,
                freed: self.freed(place),
            })
            .collect();
        let cover = cover::cheapest(&items, self.demand.amount(), steps)?;
        let proof = if cover.exact {
            Proof::Exact
        } else {
            Proof::Bounded { least: cover.least }
        };
        Some((cover.ids, proof))
    }

    /// The cheapest set without some member of the best.
    fn runner_up(&self, best: &[usize]) -> Option<Vec<usize>> {
        // Of so many guests the cheapest, the dearest is the one to spare.
        let skipped = match self.demand {
            Demand::Count(_) => best.len().saturating_sub(1),
            _ => 0,
        };
        let others = best[skipped..]
            .iter()
            .take(LEFT_OUT)
            .filter_map(|member| self.cheapest(Some(*member), RUNNER_UP_STEPS))
            .map(|(set, _)| (self.cost(&set), set));
        others
            .min_by(|(a, _), (b, _)| a.total_cmp(b))
            .map(|(_, set)| set)
    }

    fn cost(&self, set: &[usize]) -> f64 {
        set.iter().map(|place| self.ranked(*place).cost).sum()
    }

    fn shares(&self, set: &[usize]) -> Terms {
        let shares = set.iter().map(|place| self.ranked(*place).shares);
        shares.fold(Terms::default(), |sum, shares| sum + shares)
    }

    fn pick(&self, set: &[usize]) -> Pick {
        let parts = set.iter().map(|place| self.ranked(*place).parts);
        let parts = parts.fold(Terms::default(), |sum, parts| sum + parts);
        Pick {
            members: set.iter().map(|place| self.ranked(*place).index).collect(),
            cost: parts.sum(),
            parts,
            freed: set.iter().map(|place| self.freed(*place)).sum(),
        }
    }

    /// What would bring another option level with the best: of one guest any
    /// other guest, of a set the runner-up.
    fn changes(
        &self,
        best: &[usize],
        second: Option<&[usize]>,
    ) -> (Option<WeightChange>, Option<ForecastChange>) {
        let Some(second) = second else {
            return (None, None);
        };
        let (weights, scale) = (&self.ranking.weights, &self.ranking.scale);
        let first = self.shares(best);
        if matches!(self.demand, Demand::Count(1)) {
            let ranked = &self.ranking.ranked;
            let others = ranked[1..]
                .iter()
                .map(|other| (std::slice::from_ref(&other.index), &other.shares));
            let but_second = ranked.iter().enumerate().filter(|(place, _)| *place != 1);
            let but_second = but_second.map(|(_, other)| *other);
            return (
                change::of_weights(weights, &first, others),
                change::of_one_forecast(weights, scale, &ranked[1], but_second),
            );
        }
        let members: Vec<usize> = second.iter().map(|i| self.ranked(*i).index).collect();
        let shares = self.shares(second);
        let other = std::iter::once((members.as_slice(), &shares));
        let is_alone = |place: &&usize| !best.contains(place);
        let alone: Vec<usize> = second.iter().filter(is_alone).copied().collect();
        let shares = self.shares(&alone);
        let quantities = Terms::each(|term| shares.of(term) * scale.of(term));
        let gap = self.cost(second) - self.cost(best);
        (
            change::of_weights(weights, &first, other),
            change::of_forecast(weights, scale, gap, &quantities),
        )
    }
}
