//! The history as other crates use it: moves, what other people made, profiles of hosts,
//! faults, races and older layouts.

mod faults;
mod imports;
mod moves;
mod observations;
mod older;
mod profiles;
mod races;
mod sample;
