//! The tool belt.
fn main() {}
