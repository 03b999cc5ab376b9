//! Why something cannot be promised or planned.

use thiserror::Error;
use vmferry_core::{ByteRate, Millis, Ratio, Throttle};

/// Why something cannot be promised or planned.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum ControlError {
    /// A span of no length.
    #[error("{what} of no time makes no sense; give a positive time, for example 10s")]
    ZeroSpan {
        /// Which.
        what: &'static str,
    },
    /// The pause alone is longer than the move may take.
    #[error(
        "a pause of up to {pause} does not fit in a deadline of {deadline}; shorten --max-downtime or allow a later --deadline"
    )]
    PauseBeyondDeadline {
        /// The longest pause.
        pause: Millis,
        /// The deadline.
        deadline: Millis,
    },
    /// A share outside 0..1.
    #[error(
        "a slowdown of {slowdown} makes no sense; give a share of the guest's work from 0% to 100%"
    )]
    BadSlowdown {
        /// As given.
        slowdown: Ratio,
    },
    /// A rate that is no positive number.
    #[error("a bandwidth of {rate} bytes/s makes no sense; give for example 400Mbit/s")]
    BadRate {
        /// As given.
        rate: f64,
    },
    /// The least rate is above the most.
    #[error(
        "--min-bandwidth {least} is above --max-bandwidth {most}; raise the one or lower the other"
    )]
    RatesCrossed {
        /// The least.
        least: ByteRate,
        /// The most.
        most: ByteRate,
    },
    /// C without the rule that it belongs to.
    #[error(
        "--expectant-ratio is the C of --throttle jin, and does nothing for --throttle {throttle}; leave it out or choose jin"
    )]
    ExpectantWithoutJin {
        /// Who steers.
        throttle: Throttle,
    },
    /// C outside 0..1.
    #[error("--expectant-ratio {ratio} makes no sense; give a number above 0 and at most 1, for example 0.8", ratio = .ratio.0)]
    BadExpectant {
        /// As given.
        ratio: Ratio,
    },
    /// Nothing says when to end.
    #[error("--throttle deadline ends when --deadline says; give a --deadline")]
    NoDeadline,
    /// A controller that plans has nothing to plan with.
    #[error(
        "--throttle {throttle} plans with what is observed before the move, and --no-forecast observes nothing; leave --no-forecast out, or choose --throttle qemu or off (auto is what --max-slowdown and --policy stand for)"
    )]
    NothingObserved {
        /// Who should steer.
        throttle: Throttle,
    },
    /// `jin2011` eq. 5 wants the guest's memory and the link.
    #[error(
        "with --no-forecast nothing is known that the C of --throttle jin follows from; give --expectant-ratio, for example 0.8"
    )]
    NoExpectant,
    /// Nothing is known of what the guest writes.
    #[error(transparent)]
    Model(#[from] vmferry_model::ModelError),
}
