//! Notices that a guest has changed: its forecasts go wrong otherwise than
//! they used to.
//!
//! A two-sided CUSUM (Page 1954) on the errors of a guest's forecasts,
//! self-starting (Hawkins 1987): every error is measured against the mean and
//! the spread of those before it, so that no training period is needed. When
//! it raises an alarm, the change is dated to where the errors part best
//! (Hinkley 1970).

use serde::{Deserialize, Serialize};

/// Half of the shift that is looked for, in standard deviations.
const SLACK: f64 = 0.5;
/// Decision bound, in standard deviations. With a slack of 0.5 a false alarm
/// comes once in about 930 moves on one side (Siegmund's approximation), and a
/// shift by one standard deviation is noticed after about ten.
const BOUND: f64 = 5.0;
/// One error counts for no more than this: a single wild move is no drift.
const MOST: f64 = 4.0;
/// Least errors before the next is judged.
const WARM_UP: u32 = 2;
/// What is believed of the spread before, as if so many errors had told.
const PRIOR_ERRORS: f64 = 3.0;
/// Errors that are remembered to date a change.
const MEMORY: usize = 60;
/// A change is reported for so many moves.
const REPORTED: u32 = 10;

/// A change that was noticed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// By how much the mean error moved: ln(measured / forecast) after over
    /// before. Positive: moves cost more than they used to.
    pub shift: f64,
    /// Moves since it began, as far as can be told; above 0.
    pub moves: u32,
}

/// What a guest's errors tell so far. A value: it can be stored and read
/// again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Drift {
    /// Standard deviation of the errors that is believed before the first.
    prior_sd: f64,
    n: u32,
    mean: f64,
    squares: f64,
    /// The two sums.
    up: f64,
    down: f64,
    /// Latest errors since the last change, in order.
    latest: Vec<f64>,
    change: Option<Change>,
    /// Moves since the change was noticed.
    since: u32,
}

impl Drift {
    /// Nothing seen yet; errors of a forecast are believed to spread by
    /// `prior_sd` (standard deviation of the logarithm, above 0).
    pub fn new(prior_sd: f64) -> Self {
        Self {
            prior_sd,
            n: 0,
            mean: 0.0,
            squares: 0.0,
            up: 0.0,
            down: 0.0,
            latest: Vec::new(),
            change: None,
            since: 0,
        }
    }

    /// After another move, whose forecast was wrong by `error` =
    /// ln(measured / forecast). An error that is no number is passed over.
    #[must_use]
    pub fn after(mut self, error: f64) -> Self {
        if !error.is_finite() {
            return self;
        }
        self.since += 1;
        if self.latest.len() == MEMORY {
            self.latest.remove(0);
        }
        self.latest.push(error);
        if self.n >= WARM_UP {
            let n = f64::from(self.n);
            let prior = PRIOR_ERRORS * self.prior_sd * self.prior_sd;
            let sd = ((prior + self.squares) / (PRIOR_ERRORS + n - 1.0)).sqrt();
            // The mean before is itself known from n errors only.
            let off = (error - self.mean) / (sd * (1.0 + 1.0 / n).sqrt());
            let off = off.clamp(-MOST, MOST);
            self.up = (self.up + off - SLACK).max(0.0);
            self.down = (self.down - off - SLACK).max(0.0);
            if self.up > BOUND || self.down > BOUND {
                return self.changed();
            }
        }
        self.n += 1;
        let delta = error - self.mean;
        self.mean += delta / f64::from(self.n);
        self.squares += delta * (error - self.mean);
        self
    }

    /// Begins anew with the errors since the change: the latest of which the
    /// mean differs most from the mean of the others, by their numbers.
    fn changed(self) -> Self {
        let mean = |errors: &[f64]| errors.iter().sum::<f64>() / errors.len() as f64;
        let parted = |at: usize| {
            let (before, after) = self.latest.split_at(at);
            (before, after, mean(after) - mean(before))
        };
        let best = (1..self.latest.len()).map(parted).max_by(|a, b| {
            let weight = |(before, after, shift): &(&[f64], &[f64], f64)| {
                shift * shift * (before.len() * after.len()) as f64
            };
            weight(a).total_cmp(&weight(b))
        });
        let start = Self::new(self.prior_sd);
        let Some((_, after, shift)) = best else {
            return start;
        };
        let level = mean(after);
        Self {
            n: after.len() as u32,
            mean: level,
            squares: after.iter().map(|error| (error - level).powi(2)).sum(),
            latest: after.to_vec(),
            change: Some(Change {
                shift,
                moves: after.len() as u32,
            }),
            ..start
        }
    }

    /// The change, if the latest move revealed one.
    pub fn just_changed(&self) -> Option<Change> {
        self.change.filter(|_| self.since == 0)
    }

    /// The latest change, for ten moves after it was noticed.
    pub fn change(&self) -> Option<Change> {
        let change = self.change.filter(|_| self.since <= REPORTED)?;
        Some(Change {
            moves: change.moves + self.since,
            ..change
        })
    }

    /// Mean error since the last change, and the moves behind it.
    pub fn level(&self) -> (f64, u32) {
        (self.mean, self.n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draws::Draws;

    /// Number of the move at which a change is noticed first.
    fn noticed(errors: impl Iterator<Item = f64>) -> Option<(usize, Change)> {
        let mut state = Drift::new(0.03);
        for (k, error) in errors.enumerate() {
            state = state.after(error);
            if let Some(change) = state.just_changed() {
                return Some((k, change));
            }
        }
        None
    }

    #[test]
    fn a_shift_is_noticed_soon_and_measured() {
        for seed in 0..20 {
            let mut draws = Draws::of_sample(seed, 0);
            let shift = |k: usize| if k >= 30 { 0.12 } else { 0.02 };
            let found = noticed((0..60).map(|k| shift(k) + 0.03 * draws.normal()));
            let (at, change) = found.expect("a shift by three standard deviations");
            assert!((30..40).contains(&at), "seed {seed}: at {at}");
            assert!((change.shift - 0.1).abs() < 0.06, "seed {seed}: {change:?}");
            assert!(
                change.moves.abs_diff(at as u32 - 29) <= 5,
                "seed {seed}: {change:?}"
            );
        }
        let cheaper = noticed((0..60).map(|k| if k < 30 { 0.0 } else { -0.2 }));
        assert!(cheaper.unwrap().1.shift < -0.15);
    }

    #[test]
    fn a_steady_guest_raises_few_alarms_and_a_wild_move_none() {
        let mut alarms = 0;
        for seed in 0..200 {
            let mut draws = Draws::of_sample(seed, 2);
            alarms += u32::from(noticed((0..50).map(|_| 0.03 * draws.normal())).is_some());
        }
        assert!(alarms < 30, "{alarms} of 200");
        let wild = noticed((0..50).map(|k| if k == 20 { 3.0 } else { 0.0 }));
        assert_eq!(wild, None);
    }

    #[test]
    fn a_change_is_reported_for_ten_moves() {
        let mut state = Drift::new(0.03);
        let mut reported = 0;
        for k in 0..60 {
            state = state.after(if k < 20 { 0.0 } else { 0.3 });
            reported += u32::from(state.change().is_some());
        }
        assert_eq!(reported, REPORTED + 1);
        assert!((state.level().0 - 0.3).abs() < 1e-9);
        let text = serde_json::to_string(&state).unwrap();
        assert_eq!(serde_json::from_str::<Drift>(&text).unwrap(), state);
    }
}
