//! Promised moves on real QEMU through the real command: guests that are
//! capped, and what happens to the cap when hosts, hypervisors or vmferry fail.

mod promises;
mod site;
