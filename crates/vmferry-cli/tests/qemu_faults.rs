//! Faults of every kind on real QEMU: each a clear error with its documented
//! exit code, the guest running where it was, nothing left behind.

mod faults;
mod site;
