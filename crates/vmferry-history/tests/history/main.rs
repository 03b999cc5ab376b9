//! The history as other crates use it: moves, faults and races.

mod faults;
mod moves;
mod races;
mod sample;
