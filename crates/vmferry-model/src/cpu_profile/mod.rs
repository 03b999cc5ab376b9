//! Migration time against the CPU given to the migration (`dom0cpu`).

mod point;

pub use point::{CapPoint, Caps, Intensive};
