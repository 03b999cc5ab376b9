//! What a trial lacks of a live move: late looks, counts that are estimates, a
//! cap that acts in bursts.

use std::collections::VecDeque;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use vmferry_core::{ByteRate, Bytes, Ratio};
use vmferry_precopy::tuning::Round;

use super::LOOK_EVERY;

/// What remains is noted this often, to be told later.
const NOTED_EVERY: Duration = Duration::from_millis(50);
/// The link's rate is drawn anew this often.
const LINK_DRAWN_EVERY: Duration = Duration::from_secs(1);

/// How a move differs from what its controller is told. The same seed is the
/// same disturbance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Disturbance {
    /// Where the generator begins.
    pub seed: u64,
    /// Least and most time between two looks.
    pub look_every: (Duration, Duration),
    /// How many looks come late, 0..1,
    pub late_looks: f64,
    /// and by how much.
    pub late_by: Duration,
    /// By how much of it the dirt told of a round is off at most, 0..1.
    pub miscounted: f64,
    /// How old what is told to remain is at most.
    pub stale: Duration,
    /// When a cap begins to act after it was set.
    pub cap_delay: Duration,
    /// A capped guest runs at full speed for its share of this, then stands
    /// still (`cpu.max`).
    pub cap_period: Duration,
    /// The least share a cap grants, over the share asked for; it is what is
    /// read back.
    pub least_granted: f64,
    /// By how much of it the link's rate is off at most, 0..1: half of that for
    /// the whole move, half drawn anew every second.
    pub link: f64,
}

impl Disturbance {
    /// About what a guest under TCG on a busy host of two cores meets.
    pub const fn live(seed: u64) -> Self {
        Self {
            seed,
            look_every: (Duration::from_millis(100), Duration::from_millis(200)),
            late_looks: 0.02,
            late_by: Duration::from_secs(1),
            miscounted: 0.1,
            stale: Duration::from_millis(200),
            cap_delay: Duration::from_millis(50),
            cap_period: Duration::from_millis(100),
            least_granted: 0.85,
            link: 0.03,
        }
    }
}

/// A disturbance at work in one trial; none disturbs nothing.
pub(super) struct Unrest {
    disturbance: Option<Disturbance>,
    random: SmallRng,
    /// What remained, the oldest first.
    noted: VecDeque<(Duration, Bytes)>,
    /// Factors of the dirt told of each round.
    counts: Vec<f64>,
    /// Factor of the link's rate for the whole move, and for this second.
    link: f64,
    link_now: f64,
    link_drawn: Option<Duration>,
}

impl Unrest {
    pub(super) fn new(disturbance: Option<Disturbance>) -> Self {
        let mut random = SmallRng::seed_from_u64(disturbance.map_or(0, |d| d.seed));
        let link = disturbance.map_or(1.0, |d| around_one(&mut random, d.link / 2.0));
        Self {
            disturbance,
            random,
            noted: VecDeque::new(),
            counts: Vec::new(),
            link,
            link_now: 1.0,
            link_drawn: None,
        }
    }

    pub(super) fn next_look(&mut self) -> Duration {
        let Some(disturbance) = self.disturbance else {
            return LOOK_EVERY;
        };
        let (least, most) = disturbance.look_every;
        let usual = least + (most - least).mul_f64(self.random.random());
        if self.random.random_bool(disturbance.late_looks) {
            usual + disturbance.late_by
        } else {
            usual
        }
    }

    /// Until when nothing is noted from an instant on.
    pub(super) fn next_note(&self, now: Duration, next_look: Duration) -> Duration {
        match self.disturbance {
            Some(_) => next_look.min(now + NOTED_EVERY),
            None => next_look,
        }
    }

    /// What remains at an instant.
    pub(super) fn note(&mut self, now: Duration, remaining: Bytes) {
        let Some(disturbance) = self.disturbance else {
            return;
        };
        self.noted.push_back((now, remaining));
        let old = |noted: &VecDeque<(Duration, Bytes)>| {
            let second = noted.get(1);
            second.is_some_and(|(at, _)| *at + disturbance.stale < now)
        };
        while old(&self.noted) {
            self.noted.pop_front();
        }
    }

    /// What is told to remain.
    pub(super) fn told_to_remain(&mut self, now: Duration, remaining: Bytes) -> Bytes {
        let Some(disturbance) = self.disturbance else {
            return remaining;
        };
        let age = disturbance.stale.mul_f64(self.random.random());
        let old_enough = |(at, _): &&(Duration, Bytes)| *at + age <= now;
        let noted = self.noted.iter().rev().find(old_enough);
        noted.map_or(remaining, |(_, remaining)| *remaining)
    }

    /// What is told of a round.
    pub(super) fn told(&mut self, round: Round) -> Round {
        let Some(disturbance) = self.disturbance else {
            return round;
        };
        let number = round.number as usize;
        while self.counts.len() <= number {
            let factor = around_one(&mut self.random, disturbance.miscounted);
            self.counts.push(factor);
        }
        Round {
            dirtied: Bytes((round.dirtied.0 as f64 * self.counts[number]) as u64),
            ..round
        }
    }

    /// When a cap begins to act, and what it grants.
    pub(super) fn granted(&mut self, now: Duration, share: Ratio) -> (Duration, Ratio) {
        let Some(disturbance) = self.disturbance else {
            return (now, share);
        };
        let part = if share.0 < 1.0 {
            self.random.random_range(disturbance.least_granted..=1.0)
        } else {
            1.0
        };
        (now + disturbance.cap_delay, Ratio(share.0 * part))
    }

    /// Length of the spans a capped guest runs and stands still in.
    pub(super) fn cap_period(&self) -> Option<Duration> {
        self.disturbance.map(|disturbance| disturbance.cap_period)
    }

    /// What a link of a rate carries at an instant.
    pub(super) fn link_rate(&mut self, now: Duration, rate: ByteRate) -> ByteRate {
        let Some(disturbance) = self.disturbance else {
            return rate;
        };
        let stands = |drawn: Duration| now < drawn + LINK_DRAWN_EVERY;
        if !self.link_drawn.is_some_and(stands) {
            self.link_drawn = Some(now);
            self.link_now = around_one(&mut self.random, disturbance.link / 2.0);
        }
        rate * Ratio(self.link * self.link_now)
    }
}

fn around_one(random: &mut SmallRng, most: f64) -> f64 {
    random.random_range(1.0 - most..=1.0 + most)
}
