//! What a migration costs the hosts themselves.

use std::time::Duration;

use vmferry_core::{ByteRate, Bytes};

/// Costs of the two hosts that no link speed explains.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HostCosts {
    /// From the command to the first page.
    pub setup: Duration,
    /// Memory found to be zero per second: every page is read once before a
    /// header goes out for it.
    pub zero_scan_rate: ByteRate,
    /// Memory with content that the source's CPU can push per second; `None`
    /// where the link is always slower.
    pub send_rate: Option<ByteRate>,
    /// Bytes the sockets take before the sender has to wait. They are sent as
    /// far as the hypervisor knows, and have to cross the link all the same:
    /// at the switchover the destination waits for them. Linux lets a sender
    /// queue up to `tcp_wmem`'s maximum, 4 MiB with its bookkeeping.
    pub socket_buffer: Bytes,
    /// Bytes that have to leave the full sockets before Linux wakes a waiting
    /// sender: a third of its buffer (`sk_stream_min_wspace`), at most 1.4 MB.
    /// QEMU's bursts end at such a wake-up, 51 to 92 ms after they began
    /// instead of 51 (14 moves at 13 to 52 MB/s, measured). 0: at once.
    pub socket_wake: Bytes,
    /// From the last look at the dirty log to the guest's stop.
    pub stop: Duration,
    /// State of the devices.
    pub device_state: Bytes,
    /// Time the source takes to save the devices' state.
    pub device_save: Duration,
    /// From the last byte's arrival to RESUME at the destination.
    pub destination_start: Duration,
}

impl Default for HostCosts {
    /// A small guest under QEMU 10 and TCG. The scan rate is measured: `cargo
    /// xtask bench accuracy`, idle guests of 512 and 1024 MiB, where 1.25 GB/s
    /// was 14 % too slow over the whole move and 5 to 30 GB/s fit alike.
    fn default() -> Self {
        Self {
            setup: Duration::from_millis(10),
            zero_scan_rate: ByteRate(1e10),
            send_rate: None,
            socket_buffer: Bytes::from_mib(2),
            socket_wake: Bytes(1_100_000),
            stop: Duration::from_millis(2),
            device_state: Bytes(256 << 10),
            device_save: Duration::from_millis(5),
            destination_start: Duration::from_millis(30),
        }
    }
}
