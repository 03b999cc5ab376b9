//! How a guest's dirt answers to its cap.

use vmferry_core::{Bytes, PAGE_SIZE, Ratio};
use vmferry_precopy::dirt::{AggregateDirt, CurveAmount};

use super::pass_clock::GuestPass;

/// Share of the whole of its difference that one pass is believed.
const BELIEVED: f64 = 0.5;
/// Depth of a cap, -ln of its share, at which half of what its first pass tells
/// of the elasticity is believed.
const TELLING_DEPTH: f64 = 0.25;
/// What is believed of later ones at most.
const BELIEVED_LATER: f64 = 0.6;
/// Growth of the curve over twice the time below which a pass says how large
/// the written memory is, but not how fast it is written.
const SATURATED: f64 = 1.1;
/// Below this elasticity dirt does not answer to a cap: just above the barrier
/// the little it seems to would make deep caps look like a way.
const INELASTIC: f64 = 0.15;
/// Shares above this are full speed.
const FULL: f64 = 0.97;
/// Bounds of pace and size.
const FARTHEST: (f64, f64) = (0.1, 10.0);
/// How much more dirt is expected of a move that should be over, each time, and
/// at most.
const OVERDUE: f64 = 1.1;
const MOST_CAUTION: f64 = 1.5;

/// What the passes of a move taught of its dirt: D(t, e) = size U(pace e^elasticity t),
/// with U the curve observed and e the share of the CPU.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Answer {
    /// How fast the guest dirties at full speed over how it did while observed.
    pace: f64,
    /// How many percent less it dirties with one percent less CPU: 1 where
    /// writes follow the CPU (`jin2011` eq. 8), 0 where they do not care.
    elasticity: f64,
    /// Memory that is written over memory seen written.
    size: f64,
    /// Pace that is planned for over the pace that was learned: passes that
    /// look as expected and yet do not end teach nothing else.
    caution: f64,
    /// Passes under a cap that told something.
    capped_passes: u32,
}

impl Answer {
    /// Writes follow the CPU; the pace as assumed.
    pub(super) fn new(pace: f64) -> Self {
        Self {
            pace,
            elasticity: 1.0,
            size: 1.0,
            caution: 1.0,
            capped_passes: 0,
        }
    }

    /// How fast the guest is thought to dirty with a share of its CPU, 1 as
    /// observed.
    pub(super) fn pace(&self, share: Ratio) -> f64 {
        let elasticity = if self.elasticity < INELASTIC {
            0.0
        } else {
            self.elasticity
        };
        self.caution * self.pace * share.0.max(0.0).powf(elasticity)
    }

    /// Percent of dirt that one percent of CPU is worth, 0..1.5.
    pub fn elasticity(&self) -> f64 {
        self.elasticity
    }

    /// Memory that is written over memory seen written before the move.
    pub fn size(&self) -> f64 {
        self.size
    }

    /// Passes under a cap that the elasticity was learned from.
    pub fn capped_passes(&self) -> u32 {
        self.capped_passes
    }

    /// Takes in a pass that newly dirtied so much while `left` bytes were yet to
    /// be sent.
    pub(super) fn learn(
        &mut self,
        curve: &CurveAmount,
        pass: &GuestPass,
        dirtied: Bytes,
        left: f64,
    ) {
        let Some(share) = pass.share().filter(|share| share.0 > 0.0) else {
            return;
        };
        let page = PAGE_SIZE.0 as f64;
        let written_in = |t: f64| curve.dirtied(0.0, t).pages() * page;
        let all_day = written_in(1e4) * self.size;
        let hidden = (left / all_day.max(1.0)).min(0.5);
        let found = dirtied.0 as f64 / (1.0 - hidden);
        let ran = self.pace * pass.ran;
        let expected = written_in(ran) * self.size;
        if found <= 0.0 || expected <= 0.0 {
            return;
        }
        let ratio = found / expected;
        let saturated = written_in(2.0 * ran) * self.size < SATURATED * expected;
        if saturated && ratio > 0.8 {
            self.size = bounded(self.size * ratio.powf(BELIEVED));
            return;
        }
        // A guest that does not care for its cap runs for all of the pass.
        let most = ran.max(self.pace * pass.length) * FARTHEST.1;
        let needed = time_for(&written_in, found / self.size, (ran * FARTHEST.0, most));
        let factor = needed / ran;
        if share.0 >= FULL {
            self.pace = bounded(self.pace * factor.powf(BELIEVED));
            return;
        }
        // needed = pace share^elasticity length.
        let seen = (needed / (self.pace * pass.length)).ln() / share.0.ln();
        let seen = seen.clamp(0.0, 1.5);
        // The deeper the cap, the less a miscount matters.
        let depth = -share.0.ln();
        let told = depth / (depth + TELLING_DEPTH);
        let trust = if self.capped_passes == 0 {
            told
        } else {
            told.min(BELIEVED_LATER)
        };
        self.elasticity += trust * (seen - self.elasticity);
        self.capped_passes += 1;
    }

    /// Things are worse than thought.
    pub(super) fn overdue(&mut self) {
        self.caution = (self.caution * OVERDUE).min(MOST_CAUTION);
    }
}

fn bounded(factor: f64) -> f64 {
    factor.clamp(FARTHEST.0, FARTHEST.1)
}

/// The time in which so much is written, within bounds.
fn time_for(written_in: &impl Fn(f64) -> f64, amount: f64, bounds: (f64, f64)) -> f64 {
    let (mut less, mut more) = bounds;
    for _ in 0..30 {
        let middle = (less * more).sqrt();
        if written_in(middle) < amount {
            less = middle;
        } else {
            more = middle;
        }
    }
    (less * more).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use vmferry_core::{CurvePoint, DirtyCurve, Millis, Pages};

    /// 100 MB written at random at 50 MB/s.
    fn curve() -> CurveAmount {
        let point = |s: f64| CurvePoint {
            window_ms: Millis(s * 1e3),
            dirtied_bytes: Bytes((1e8 * (1.0 - (-s / 2.0).exp())) as u64),
            standard_error_bytes: Bytes(0),
        };
        let times = [0.1, 0.2, 0.4, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0, 8.0, 12.0, 30.0];
        let points = times.map(point).to_vec();
        CurveAmount::new(DirtyCurve { points }, Pages(131_072), Ratio(0.0))
    }

    fn pass(length: f64, share: f64, elasticity: f64) -> GuestPass {
        GuestPass {
            length,
            ran: length * share.powf(elasticity),
            share_seconds: length * share,
        }
    }

    fn dirt(ran: f64) -> Bytes {
        Bytes((curve().dirtied(0.0, ran).pages() * 4096.0) as u64)
    }

    #[test]
    fn a_guest_twice_as_fast_is_found_out() {
        let mut answer = Answer::new(1.0);
        for _ in 0..6 {
            answer.learn(&curve(), &pass(1.0, 1.0, 1.0), dirt(2.0), 0.0);
        }
        assert!((answer.pace(Ratio(1.0)) - 2.0).abs() < 0.05, "{answer:?}");
        assert_eq!(answer.capped_passes(), 0);
    }

    #[test]
    fn dirt_that_does_not_answer_is_found_out() {
        let mut answer = Answer::new(1.0);
        for _ in 0..6 {
            let seen = pass(1.0, 0.25, answer.elasticity());
            // As much as with the whole CPU.
            answer.learn(&curve(), &seen, dirt(1.0), 0.0);
        }
        assert!(answer.elasticity() < 0.05, "{answer:?}");
        assert!(answer.pace(Ratio(0.25)) > 0.9);
    }

    #[test]
    fn a_saturated_pass_tells_the_size_only() {
        let mut answer = Answer::new(1.0);
        for _ in 0..8 {
            answer.learn(&curve(), &pass(20.0, 1.0, 1.0), Bytes(150_000_000), 0.0);
        }
        assert!((answer.size() - 1.5).abs() < 0.02, "{answer:?}");
        assert_eq!(answer.pace(Ratio(1.0)), 1.0);
    }
}
