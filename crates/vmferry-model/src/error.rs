//! Why there is no forecast.

use thiserror::Error;

/// Why there is no forecast.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum ModelError {
    /// The observation says nothing of what the guest writes.
    #[error(
        "guest {guest}: the observation holds no dirty pages and no dirty curve; measure the guest for some seconds"
    )]
    TooLittleData {
        /// The guest.
        guest: String,
    },
    /// The observation does not say how much memory there is.
    #[error("guest {guest}: the size of its memory is unknown; measure the guest again")]
    NoMemory {
        /// The guest.
        guest: String,
    },
    /// The link's rate makes no sense.
    #[error(
        "link rate {wire_rate_bytes_per_s} bytes/s at efficiency {efficiency} makes no sense; give --bandwidth, for example 1Gbit/s"
    )]
    BadLink {
        /// The rate as given.
        wire_rate_bytes_per_s: f64,
        /// The efficiency as given.
        efficiency: f64,
    },
    /// The deadline or the downtime limit makes no sense.
    #[error("{what} of {value_ms} ms makes no sense; give a positive time")]
    BadLimit {
        /// Which.
        what: &'static str,
        /// The value as given.
        value_ms: f64,
    },
    /// What is recorded says nothing of when to move.
    #[error("guest {guest}: {found}, which is too little to say when to move it; {remedy}")]
    NoTimeOfDay {
        /// The guest.
        guest: String,
        /// What there is.
        found: String,
        /// What to do.
        remedy: String,
    },
}
