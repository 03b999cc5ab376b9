//! Against recorded and hand-made sessions, without QEMU.

mod any_bytes;
#[path = "../../fuzz/fuzz_targets/decode.rs"]
mod decode;
mod recorded;
mod server;
mod to_come;
#[path = "../../examples/record/tour.rs"]
mod tour;
