//! A rate just above what the guest dirties, kept on the wire (`liu2011`
//! section 6).

use std::time::Duration;

use vmferry_core::{ByteRate, Bytes, Ratio};
use vmferry_precopy::tuning::{AdaptiveRate, Tuning};

use super::governor::{Controller, Wish};
use super::look::Look;

/// What is achieved is judged over this long: ten of QEMU's windows of 100 ms.
const JUDGED_OVER: Duration = Duration::from_secs(1);
/// Farthest that `max-bandwidth` is ever set from the rate wanted: beyond, it
/// is the link or the host that holds the stream, and no setting helps.
const FARTHEST: f64 = 1.25;

/// R = D + delta within a least and a most, taken anew after every round
/// ([`AdaptiveRate`]), and a closed loop that keeps what is achieved at it.
///
/// QEMU overruns `max-bandwidth` by up to one write in every window of 100 ms
/// (5 % at 20 MB/s), so the setting is corrected by what was seen.
#[derive(Clone, Debug)]
pub struct Courtesy {
    rule: AdaptiveRate,
    wanted: Option<ByteRate>,
    /// What is set over what is wanted.
    correction: f64,
    /// Where the stretch now judged began.
    since: Option<(Duration, Bytes)>,
    seen: u64,
}

impl Courtesy {
    /// A controller that follows a rule; its own idea of the stop does not
    /// matter, QEMU lifts its limit there.
    pub fn new(rule: AdaptiveRate) -> Self {
        Self {
            rule,
            wanted: None,
            correction: 1.0,
            since: None,
            seen: 0,
        }
    }

    /// The rate wanted now; `None` before the first look.
    pub fn wanted(&self) -> Option<ByteRate> {
        self.wanted
    }

    fn judge(&mut self, look: &Look, wanted: ByteRate) {
        let Some((since, sent)) = self.since else {
            self.since = Some((look.now, look.transferred));
            return;
        };
        let length = look.now.saturating_sub(since);
        if length < JUDGED_OVER {
            return;
        }
        let achieved = look.transferred.saturating_sub(sent) / length;
        self.since = Some((look.now, look.transferred));
        if achieved.0 > 0.0 {
            let next = self.correction * (wanted / achieved).0;
            self.correction = next.clamp(1.0 / FARTHEST, FARTHEST);
        }
    }
}

impl Controller for Courtesy {
    fn decide(&mut self, look: &Look, _: Duration) -> Wish {
        let before = self.wanted;
        let wanted = match (before, look.last_round) {
            (Some(_), Some(round)) if round.number > self.seen => {
                self.seen = round.number;
                self.rule.next(&round).rate
            }
            (Some(now), _) => Some(now),
            (None, _) => self.rule.first().rate,
        };
        self.wanted = wanted;
        if let Some(wanted) = wanted {
            if before == Some(wanted) {
                self.judge(look, wanted);
            } else {
                // What was sent at another rate tells nothing of this one; by how much QEMU
                // overruns in bytes stays the same.
                self.since = None;
                if let Some(before) = before {
                    let overrun = (1.0 / self.correction - 1.0) * before.0;
                    self.correction = (1.0 / (1.0 + overrun / wanted.0)).clamp(0.5, FARTHEST);
                }
            }
        }
        Wish {
            share: Ratio(1.0),
            max_bandwidth: wanted.map(|rate| rate * Ratio(self.correction)),
            ..Wish::default()
        }
    }
}
