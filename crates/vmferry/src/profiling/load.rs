//! The guests that are migrated for a profile.

use vmferry_core::{ByteRate, Bytes, Ratio};
use vmferry_model::cpu_profile::Intensive;
use vmferry_testbed::GuestSpec;

/// Memory filled with random content: CPU limits the stream only where pages
/// are not zero, and a move of less is over before it is measured.
const FILL_MIB: u64 = 1024;
/// Memory of the kernel, the buffers and the working sets beside it.
const BESIDE_MIB: u64 = 256;
/// What readers and writers work on.
const SET_MIB: u64 = 64;
/// The disk that is read, MiB.
const DISK_MIB: u64 = 1024;

/// Rates at full intensity, MiB/s, of loads that are slowed by a rate and not by
/// a share of a CPU. A guest without KVM reads or sends less than these, so
/// that full intensity is as much as it can; a writer at this rate still
/// converges at a cap of 10 % (within its set of 64 MiB).
const READ_MIB_S: f64 = 2048.0;
const WRITE_MIB_S: f64 = 64.0;
/// The writer's, as a rate of dirtying.
pub(crate) const WRITE_RATE: ByteRate = ByteRate::from_mib_per_s(WRITE_MIB_S);
const DISK_MIB_S: f64 = 512.0;
const SEND_MIB_S: f64 = 128.0;

/// The guest of one kind and intensity, 0..1.
pub(crate) fn guest(kind: Intensive, intensity: Ratio) -> GuestSpec {
    let rate = |full: f64| format!("{:.0}K", (full * 1024.0 * intensity.0).max(4.0));
    let load = match kind {
        Intensive::Cpu => format!("compute:duty={:.0}", intensity.percent().clamp(0.0, 100.0)),
        Intensive::MemoryRead => format!("read:set={SET_MIB}M,rate={}", rate(READ_MIB_S)),
        Intensive::MemoryWrite => format!("uniform:set={SET_MIB}M,rate={}", rate(WRITE_MIB_S)),
        Intensive::Disk => format!("disk:rate={}", rate(DISK_MIB_S)),
        // The client's namespace; what nobody takes there is dropped.
        Intensive::Network => format!("network:peer=10.78.0.1:9,rate={}", rate(SEND_MIB_S)),
    };
    let name = format!("{}-{:.0}", kind.name(), intensity.percent());
    let spec = GuestSpec::new(name, format!("{load}+idle:fill={FILL_MIB}M"))
        .memory(Bytes::from_mib(FILL_MIB + BESIDE_MIB));
    match kind {
        Intensive::Disk => spec.disk(Bytes::from_mib(DISK_MIB)),
        _ => spec,
    }
}

/// A guest that does nothing, with as much memory to move: for several at once.
pub(crate) fn quiet(number: u32) -> GuestSpec {
    GuestSpec::new(format!("quiet-{number}"), format!("idle:fill={FILL_MIB}M"))
        .memory(Bytes::from_mib(FILL_MIB + BESIDE_MIB))
}
