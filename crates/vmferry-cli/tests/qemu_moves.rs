//! Whole moves on real QEMU through the real command: forecast, move, outcome
//! and record; what happens when vmferry, its guard or its ssh dies in
//! mid-move; cancelling, watching, TLS, several moves at once.

mod moves;
mod site;
