//! What the operator was promised of a move, and by which means it is kept.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::plan::MoveLimits;
use crate::units::{ByteRate, Millis, Ratio};

/// What a move may cost at most. Only what the operator stated is a promise:
/// the hypervisor's own limits are none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Promise {
    /// Longest pause, STOP at the source to RESUME at the destination.
    pub max_downtime_ms: Option<Millis>,
    /// Time within which the move is over, from the command.
    pub deadline_ms: Option<Millis>,
    /// Most of the guest's work that may be lost, as a share of what it does
    /// in the time of the move, pause included, 0..1.
    pub max_slowdown: Option<Ratio>,
    /// Least rate of the stream, bytes of stream per second, however courteous.
    #[serde(rename = "min_bandwidth_bytes_per_s")]
    pub min_bandwidth: Option<ByteRate>,
    /// Most the stream may use, bytes of stream per second.
    #[serde(rename = "max_bandwidth_bytes_per_s")]
    pub max_bandwidth: Option<ByteRate>,
    /// Whether the guest may be moved by post-copy, where the loss of the link
    /// stops the guest until it is back.
    pub allow_postcopy: bool,
    /// Who steers the move.
    pub throttle: Throttle,
    /// C of `jin2011` (eq. 9), 0..1, where the operator gave one.
    pub expectant_ratio: Option<Ratio>,
    /// How the guest's work is weighed against the move's time.
    pub policy: Preset,
}

impl Promise {
    /// What a forecast is asked for: the promised limits, and the usual ones
    /// where nothing is promised.
    pub fn limits(&self) -> MoveLimits {
        let usual = MoveLimits::default();
        MoveLimits {
            max_downtime_ms: self.max_downtime_ms,
            max_bandwidth: self.max_bandwidth,
            deadline_ms: self.deadline_ms.unwrap_or(usual.deadline_ms),
        }
    }
}

/// Who steers a move that is under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Throttle {
    /// The promised limits and nothing else: the guest keeps its speed.
    #[default]
    Off,
    /// `courtesy` where a least bandwidth is promised, else `curve`.
    Auto,
    /// The least CPU cap that makes the forecast on the dirty curve keep the
    /// promises.
    Curve,
    /// Ends when the deadline asks for it, with the least bandwidth and
    /// slowdown.
    Deadline,
    /// R = D + delta of `liu2011`, between the least and the most bandwidth.
    Courtesy,
    /// Algorithm 1 of `jin2011` as published.
    Jin,
    /// The hypervisor's own auto-converge.
    Qemu,
    /// The hypervisor's dirty limit, which needs KVM's dirty ring.
    DirtyLimit,
}

impl Throttle {
    /// Every way, in the order of help texts.
    pub const ALL: [Self; 8] = [
        Self::Auto,
        Self::Curve,
        Self::Deadline,
        Self::Courtesy,
        Self::Jin,
        Self::Qemu,
        Self::DirtyLimit,
        Self::Off,
    ];

    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Auto => "auto",
            Self::Curve => "curve",
            Self::Deadline => "deadline",
            Self::Courtesy => "courtesy",
            Self::Jin => "jin",
            Self::Qemu => "qemu",
            Self::DirtyLimit => "dirty-limit",
        }
    }

    /// Whether the one who steers plans the rest of the move, and says when it
    /// will end.
    pub const fn plans(self) -> bool {
        matches!(self, Self::Auto | Self::Curve | Self::Deadline)
    }

    /// Whether vmferry itself caps the guest's virtual CPUs.
    pub const fn caps_cpu(self) -> bool {
        matches!(self, Self::Auto | Self::Curve | Self::Deadline | Self::Jin)
    }
}

impl fmt::Display for Throttle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The named policies: how much of the guest's work is given for time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// The guest comes first: half its speed at least, time hardly counts.
    Gentle,
    /// A fifth of its speed at least, as `jin2011` has it.
    #[default]
    Balanced,
    /// The move comes first: down to a hundredth of its speed.
    Urgent,
}

impl Preset {
    /// Every preset.
    pub const ALL: [Self; 3] = [Self::Gentle, Self::Balanced, Self::Urgent];
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Gentle => "gentle",
            Self::Balanced => "balanced",
            Self::Urgent => "urgent",
        })
    }
}

/// A name that is not among the ones there are.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is none of {among}")]
pub struct UnknownName {
    /// What was given.
    pub name: String,
    /// What there is.
    pub among: String,
}

fn named<T: Copy + fmt::Display>(name: &str, all: &[T]) -> Result<T, UnknownName> {
    let found = all.iter().find(|one| one.to_string() == name);
    found.copied().ok_or_else(|| UnknownName {
        name: name.to_owned(),
        among: all.iter().map(T::to_string).collect::<Vec<_>>().join(", "),
    })
}

impl FromStr for Throttle {
    type Err = UnknownName;
    fn from_str(name: &str) -> Result<Self, UnknownName> {
        named(name, &Self::ALL)
    }
}

impl FromStr for Preset {
    type Err = UnknownName;
    fn from_str(name: &str) -> Result<Self, UnknownName> {
        named(name, &Self::ALL)
    }
}

/// A promise that a move did not keep: what was promised and what came.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "promise", rename_all = "kebab-case")]
pub enum Missed {
    /// The pause was longer.
    MaxDowntime {
        /// Longest pause promised.
        promised_ms: Millis,
        /// The pause measured.
        measured_ms: Millis,
    },
    /// The move took longer.
    Deadline {
        /// Time promised.
        promised_ms: Millis,
        /// Time measured.
        measured_ms: Millis,
    },
    /// The guest lost more work.
    MaxSlowdown {
        /// Most work lost that was promised, 0..1.
        promised: Ratio,
        /// Work lost, 0..1.
        measured: Ratio,
    },
}

impl fmt::Display for Missed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MaxDowntime {
                promised_ms,
                measured_ms,
            } => write!(f, "downtime {measured_ms}, promised at most {promised_ms}"),
            Self::Deadline {
                promised_ms,
                measured_ms,
            } => write!(
                f,
                "total time {measured_ms}, promised at most {promised_ms}"
            ),
            Self::MaxSlowdown { promised, measured } => {
                write!(f, "work lost {measured}, promised at most {promised}")
            }
        }
    }
}

impl Promise {
    /// Which promises a move with this pause, time and share of work lost did
    /// not keep. What was not measured is not judged.
    pub fn missed(
        &self,
        downtime: Option<Millis>,
        total_time: Option<Millis>,
        slowdown: Option<Ratio>,
    ) -> Vec<Missed> {
        let over = |promised: Option<Millis>, measured: Option<Millis>| {
            promised.zip(measured).filter(|(most, was)| was.0 > most.0)
        };
        let pause = over(self.max_downtime_ms, downtime).map(|(promised_ms, measured_ms)| {
            Missed::MaxDowntime {
                promised_ms,
                measured_ms,
            }
        });
        let late =
            over(self.deadline_ms, total_time).map(|(promised_ms, measured_ms)| Missed::Deadline {
                promised_ms,
                measured_ms,
            });
        let costly = self
            .max_slowdown
            .zip(slowdown)
            .filter(|(most, was)| was.0 > most.0)
            .map(|(promised, measured)| Missed::MaxSlowdown { promised, measured });
        [pause, late, costly].into_iter().flatten().collect()
    }
}

impl Promise {
    /// What was promised and cannot be judged, since it was not measured.
    pub fn unjudged(
        &self,
        downtime: Option<Millis>,
        total_time: Option<Millis>,
        slowdown: Option<Ratio>,
    ) -> Vec<&'static str> {
        let unknown = [
            (
                "downtime",
                self.max_downtime_ms.is_some() && downtime.is_none(),
            ),
            (
                "total time",
                self.deadline_ms.is_some() && total_time.is_none(),
            ),
            (
                "work lost",
                self.max_slowdown.is_some() && slowdown.is_none(),
            ),
        ];
        unknown
            .into_iter()
            .filter_map(|(what, unknown)| unknown.then_some(what))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for throttle in Throttle::ALL {
            assert_eq!(throttle.to_string().parse(), Ok(throttle));
        }
        for preset in Preset::ALL {
            assert_eq!(preset.to_string().parse(), Ok(preset));
        }
        insta::assert_snapshot!("mild".parse::<Preset>().unwrap_err(), @"`mild` is none of gentle, balanced, urgent");
    }

    #[test]
    fn what_was_not_promised_or_not_measured_is_not_missed() {
        let promise = Promise {
            max_downtime_ms: Some(Millis(300.0)),
            max_slowdown: Some(Ratio(0.1)),
            ..Promise::default()
        };
        let long = Some(Millis(9e9));
        assert!(promise.missed(None, long, None).is_empty());
        assert!(
            promise
                .missed(Some(Millis(300.0)), long, Some(Ratio(0.1)))
                .is_empty()
        );
        let missed = promise.missed(Some(Millis(342.0)), long, Some(Ratio(0.25)));
        let told: Vec<String> = missed.iter().map(Missed::to_string).collect();
        insta::assert_snapshot!(told.join("; "), @"downtime 342 ms, promised at most 300 ms; work lost 25.0 %, promised at most 10.0 %");
    }
}
