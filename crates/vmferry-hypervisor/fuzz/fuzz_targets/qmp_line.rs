//! Any bytes as a line from a QMP monitor: `cargo fuzz run qmp_line` in the crate's folder.
#![no_main]

mod decode;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| decode::decode(bytes));
