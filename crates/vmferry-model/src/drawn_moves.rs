//! Moves as they may come: the draws behind a forecast, for others to play.

use vmferry_core::plan::MoveLimits;
use vmferry_core::{LinkSpeed, Observation, Ratio};

use crate::assumptions::Assumptions;
use crate::error::ModelError;
use crate::sampler::Sampler;

pub use crate::sampler::Play;

/// Draws of what is not known of a move, the same as those behind a
/// [`forecast`](crate::forecast()): the guest's place in the window and the
/// weights of its pages, the link's rate, zero pages, costs of the hosts.
pub struct DrawnMoves<'a> {
    sampler: Sampler<'a>,
}

impl<'a> DrawnMoves<'a> {
    /// As many as [`Assumptions::samples`]. The same arguments give the same
    /// moves.
    ///
    /// # Errors
    /// When the observation holds too little, or the link makes no sense.
    pub fn new(
        observation: &'a Observation,
        link: &'a LinkSpeed,
        assumptions: &'a Assumptions,
        seed: u64,
    ) -> Result<Self, ModelError> {
        let limits = MoveLimits::default();
        let sampler = Sampler::new(observation, link, &limits, assumptions, seed)?;
        Ok(Self { sampler })
    }

    /// How many there are.
    pub fn count(&self) -> u32 {
        self.sampler.count()
    }

    /// Plays move `number` over a link `faster` times as fast as assumed, and
    /// tells the share of the guest's speed that the running migration takes.
    pub fn play<P: Play>(&self, number: u32, faster: f64, play: &P) -> (P::Played, Ratio) {
        let mut scenario = self.sampler.planned;
        scenario.stream_rate *= faster;
        let (played, overhead) = self.sampler.played(number, &scenario, play);
        (played, Ratio(overhead))
    }
}

impl std::fmt::Debug for DrawnMoves<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DrawnMoves")
            .field("count", &self.count())
            .finish_non_exhaustive()
    }
}
