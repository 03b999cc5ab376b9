//! Measurements of real processes: a child whose memory the test controls, real QEMU guests, and
//! a shaped link between network namespaces. Needs root, QEMU and iproute2.

mod child;
mod link;
mod memory;
mod qemu;
mod recording;
mod virtual_machine;
