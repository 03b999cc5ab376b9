//! Against real QEMU, and real ssh.

mod address;
mod guest;
mod migration;
mod qemu;
mod ssh;
mod sshd;
