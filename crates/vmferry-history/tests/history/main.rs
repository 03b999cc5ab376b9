//! The history as other crates use it: moves, what other people made, faults,
//! races and older layouts.

mod faults;
mod imports;
mod moves;
mod observations;
mod older;
mod races;
mod sample;
