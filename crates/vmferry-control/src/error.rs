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
    /// A controller that plans, and a move that was not forecast.
    #[error(
        "--throttle {throttle} plans on what is forecast of the guest, and this move is not forecast; leave --no-forecast out, or choose --throttle jin --expectant-ratio 0.8, qemu or off"
    )]
    NothingToPlanWith {
        /// Who steers.
        throttle: Throttle,
    },
    /// Nothing is known of what the guest writes.
    #[error(transparent)]
    Model(#[from] vmferry_model::ModelError),
}
