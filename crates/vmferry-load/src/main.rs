//! The program inside test guests.
fn main() {}
