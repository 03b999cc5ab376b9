//! Post-copy on real QEMU: a guest that runs at the destination before its
//! memory is there, a link that breaks meanwhile, whoever dies in the middle.

mod postcopy;
mod site;
