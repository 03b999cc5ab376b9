//! One module a place where things go wrong.

mod ends;
mod local;
mod mid_move;
mod refused;

use vmferry::core::ByteRate;

/// The guest of tests that do not care: boots fastest, 90 MiB to move.
pub(crate) const IDLE: &str = "idle:fill=16M";

pub(crate) fn usual() -> ByteRate {
    ByteRate::from_mbit_per_s(400.0)
}

/// A move takes a quarter of a minute: time for faults in its middle.
pub(crate) fn slow() -> ByteRate {
    ByteRate::from_mbit_per_s(50.0)
}

/// Arguments of a move whose forecast is beside the point.
pub(crate) const BLIND: &[&str] = &["--no-forecast"];
