//! What the operator was promised, and how much is given for what.

use std::fmt;
use std::time::Duration;

use vmferry_core::plan::DEFAULT_DEADLINE;
use vmferry_core::{ByteRate, Millis, Preset, Promise, Ratio};

use crate::error::ControlError;

/// Share of a pause that is planned for. QEMU takes the rate of its last window
/// for the link's, and a window of 100 ms is up to 2.4 % off (writes of 128 KiB
/// at 50 MB/s).
const MEASURED_RATE: f64 = 0.97;

/// What a pause is taken to hold beyond QEMU's plan where nothing was observed:
/// medians over 200 to 800 Mbit/s were 33 to 60 ms, one move took 106 ms
/// ([`Assumptions::tcg`](vmferry_model::Assumptions::tcg)).
pub const ASSUMED_OUTSIDE: Duration = Duration::from_millis(60);

/// What a move may cost at most. [`Promises::checked`] refuses what contradicts
/// itself; whether a guest can be moved under it is the forecast's to say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Promises {
    /// Longest pause, STOP at the source to RESUME at the destination; above 0.
    pub max_downtime: Duration,
    /// Time within which the move must be over, from the command; above 0.
    pub deadline: Duration,
    /// Most of the guest's work that may be lost, as a share of what it does in
    /// the time of the move, pause included, 0..1; `None` for any.
    pub max_slowdown: Option<Ratio>,
    /// Least rate of the stream that is asked for, however courteous; `None`
    /// for any.
    pub min_bandwidth: Option<ByteRate>,
    /// Most the stream may use; `None` for all of the link.
    pub max_bandwidth: Option<ByteRate>,
    /// Whether the guest may be moved by post-copy, where the loss of the link
    /// stops the guest until it is back.
    pub allow_postcopy: bool,
}

impl Default for Promises {
    /// QEMU's downtime limit (300 ms) and vmferry's deadline, nothing else.
    fn default() -> Self {
        Self {
            max_downtime: Duration::from_millis(300),
            deadline: DEFAULT_DEADLINE,
            max_slowdown: None,
            min_bandwidth: None,
            max_bandwidth: None,
            allow_postcopy: false,
        }
    }
}

impl From<&Promise> for Promises {
    /// What was stated, and for the rest the usual limits.
    fn from(promise: &Promise) -> Self {
        let usual = Self::default();
        let span = |stated: Option<Millis>, usual| stated.map_or(usual, Millis::duration);
        let max_downtime = match (promise.max_downtime_ms, promise.deadline_ms) {
            // A tight deadline alone must not contradict a limit that nobody stated.
            (None, Some(deadline)) => usual.max_downtime.min(deadline.duration()),
            (stated, _) => span(stated, usual.max_downtime),
        };
        Self {
            max_downtime,
            // Nor must a long pause contradict the usual deadline.
            deadline: span(promise.deadline_ms, usual.deadline.max(max_downtime)),
            max_slowdown: promise.max_slowdown,
            min_bandwidth: promise.min_bandwidth,
            max_bandwidth: promise.max_bandwidth,
            allow_postcopy: promise.allow_postcopy,
        }
    }
}

impl Promises {
    /// What was stated; where no pause was, one that leaves the hypervisor's own
    /// `downtime-limit` as it is, when `outside` of the pause is not in it.
    pub(super) fn over_own_limit(promise: &Promise, own: Duration, outside: Duration) -> Self {
        let stated = Self::from(promise);
        if promise.max_downtime_ms.is_some() {
            return stated;
        }
        let pause = (own + outside).div_f64(MEASURED_RATE);
        let most = promise.deadline_ms.map_or(pause, Millis::duration);
        Self {
            max_downtime: pause.min(most),
            deadline: stated.deadline.max(pause.min(most)),
            ..stated
        }
    }

    /// These promises, if they make sense together.
    ///
    /// # Errors
    /// A pause that is longer than the deadline, or none at all; a slowdown
    /// outside 0..1; a rate that is no positive number; a least rate above the
    /// most.
    pub fn checked(self) -> Result<Self, ControlError> {
        let positive = |what, span: Duration| {
            if span.is_zero() {
                Err(ControlError::ZeroSpan { what })
            } else {
                Ok(())
            }
        };
        positive("a longest pause", self.max_downtime)?;
        positive("a deadline", self.deadline)?;
        if self.max_downtime > self.deadline {
            return Err(ControlError::PauseBeyondDeadline {
                pause: self.max_downtime.into(),
                deadline: self.deadline.into(),
            });
        }
        if let Some(slowdown) = self.max_slowdown
            && !(0.0..=1.0).contains(&slowdown.0)
        {
            return Err(ControlError::BadSlowdown { slowdown });
        }
        for rate in [self.min_bandwidth, self.max_bandwidth]
            .into_iter()
            .flatten()
        {
            if !(rate.0.is_finite() && rate.0 > 0.0) {
                return Err(ControlError::BadRate { rate: rate.0 });
            }
        }
        match (self.min_bandwidth, self.max_bandwidth) {
            (Some(least), Some(most)) if least > most => {
                Err(ControlError::RatesCrossed { least, most })
            }
            _ => Ok(self),
        }
    }

    /// A rate held within the promised ones.
    pub(crate) fn bounded(&self, rate: ByteRate) -> ByteRate {
        let least = self.min_bandwidth.map_or(1.0, |rate| rate.0);
        let most = self.max_bandwidth.map_or(f64::INFINITY, |rate| rate.0);
        ByteRate(rate.0.max(least).min(most))
    }

    /// The greatest `downtime-limit` that keeps the promise when `outside` of
    /// the pause is not in what QEMU plans for; at least 1 ms, QEMU's least.
    pub fn downtime_limit(&self, outside: Duration) -> Duration {
        self.max_downtime
            .mul_f64(MEASURED_RATE)
            .saturating_sub(outside)
            .max(Duration::from_millis(1))
    }
}

/// How a controller weighs the guest's work against the move's time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Policy {
    /// Least share of what it uses that a guest is ever held to, above 0.
    pub least_share: Ratio,
    /// Seconds of the guest's work that one second less of the move is worth.
    pub time_weight: Ratio,
    /// How long a move that nothing allowed makes converge goes on at full
    /// speed, in case the guest calms down, before it is given up.
    pub patience: Duration,
}

impl From<Preset> for Policy {
    /// What a preset stands for.
    fn from(preset: Preset) -> Self {
        let (least_share, time_weight, patience_s) = match preset {
            Preset::Gentle => (0.5, 0.01, 30),
            Preset::Balanced => (0.2, 0.05, 15),
            Preset::Urgent => (0.01, 0.3, 5),
        };
        Self {
            least_share: Ratio(least_share),
            time_weight: Ratio(time_weight),
            patience: Duration::from_secs(patience_s),
        }
    }
}

/// Why a move was given up before its deadline.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reason {
    /// No speed the guest may be held to makes it converge under the longest
    /// pause.
    NotConverging {
        /// Least share that was considered.
        least_share: Ratio,
    },
    /// It would converge, but not by the deadline.
    TooLate {
        /// The earliest end found, from the command.
        ends_at: Duration,
    },
    /// It would converge in time, but cost the guest more than promised.
    TooCostly {
        /// The least slowdown found.
        slowdown: Ratio,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotConverging { least_share } => write!(
                f,
                "the guest writes too fast even at {least_share} of its speed; allow a longer \
                 pause (--max-downtime), a lower speed (--policy urgent) or post-copy \
                 (--allow-postcopy)"
            ),
            Self::TooLate { ends_at } => write!(
                f,
                "the earliest end in sight is {} after the start; allow a later --deadline",
                Millis::from(*ends_at)
            ),
            Self::TooCostly { slowdown } => write!(
                f,
                "it would cost the guest {slowdown} of its work at least; allow it \
                 (--max-slowdown), a longer pause (--max-downtime) or post-copy \
                 (--allow-postcopy)"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contradictions_are_refused_with_what_to_do() {
        let refused = |promises: Promises| promises.checked().unwrap_err().to_string();
        let ok = Promises::default();
        assert_eq!(ok.checked(), Ok(ok));
        insta::assert_snapshot!(refused(Promises {
            max_downtime: Duration::from_secs(200),
            ..ok
        }), @"a pause of up to 200.0 s does not fit in a deadline of 120.0 s; shorten --max-downtime or allow a later --deadline");
        insta::assert_snapshot!(refused(Promises {
            min_bandwidth: Some(ByteRate::from_mbit_per_s(800.0)),
            max_bandwidth: Some(ByteRate::from_mbit_per_s(400.0)),
            ..ok
        }), @"--min-bandwidth 800 Mbit/s is above --max-bandwidth 400 Mbit/s; raise the one or lower the other");
        insta::assert_snapshot!(refused(Promises {
            max_slowdown: Some(Ratio(1.5)),
            ..ok
        }), @"a slowdown of 150.0 % makes no sense; give a share of the guest's work from 0% to 100%");
        insta::assert_snapshot!(refused(Promises {
            deadline: Duration::ZERO,
            ..ok
        }), @"a deadline of no time makes no sense; give a positive time, for example 10s");
        insta::assert_snapshot!(refused(Promises {
            max_bandwidth: Some(ByteRate(f64::NAN)),
            ..ok
        }), @"a bandwidth of NaN bytes/s makes no sense; give for example 400Mbit/s");
    }

    #[test]
    fn presets_grow_more_urgent() {
        let all = Preset::ALL.map(Policy::from);
        for pair in all.windows(2) {
            assert!(pair[0].least_share > pair[1].least_share);
            assert!(pair[0].time_weight < pair[1].time_weight);
            assert!(pair[0].patience > pair[1].patience);
        }
        assert_eq!(Preset::default().to_string(), "balanced");
    }
}
