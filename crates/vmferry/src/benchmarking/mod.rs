//! Virt-LM on real hypervisors.

pub mod qemu;
