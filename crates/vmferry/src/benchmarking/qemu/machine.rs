//! What machine a benchmark runs on.

use std::fs;
use std::io;

use vmferry_bench::record::MachineRecord;
use vmferry_core::Bytes;
use vmferry_testbed::Accelerator;

/// What a QEMU takes beside its guest's memory, and without KVM for translated code.
const QEMU_OWN: Bytes = Bytes::from_mib(192);

/// Reads it from `/proc`.
pub(super) fn read(accelerator: Accelerator) -> io::Result<MachineRecord> {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo")?;
    let meminfo = fs::read_to_string("/proc/meminfo")?;
    Ok(MachineRecord {
        cpu: named(&cpuinfo, "model name")
            .unwrap_or("unknown")
            .to_owned(),
        cpus: cpus(),
        memory_bytes: size(&meminfo, "MemTotal")
            .ok_or_else(|| io::Error::other("/proc/meminfo names no MemTotal"))?,
        kernel: fs::read_to_string("/proc/sys/kernel/osrelease")?
            .trim()
            .to_owned(),
        accelerator: accelerator.to_string(),
        note: "both hosts are network namespaces of one machine, and share its processors"
            .to_owned(),
    })
}

fn named<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let values = text.lines().filter_map(|line| line.split_once(':'));
    values
        .map(|(key, value)| (key.trim(), value.trim()))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

/// How many guests of such memory this machine bears at once.
pub(super) fn most_guests(memory: Bytes) -> io::Result<u32> {
    let meminfo = fs::read_to_string("/proc/meminfo")?;
    let available = size(&meminfo, "MemAvailable")
        .ok_or_else(|| io::Error::other("/proc/meminfo names no MemAvailable"))?;
    Ok(fitting(available, memory, cpus()))
}

/// By memory, which both ends take, each with QEMU's own; and by processors: more guests than two a
/// processor wait for each other and not for what is measured.
fn fitting(available: Bytes, memory: Bytes, cpus: u32) -> u32 {
    let each = 2 * (memory.0 + QEMU_OWN.0);
    let by_memory = u32::try_from(available.0 / each).unwrap_or(u32::MAX);
    by_memory.min(2 * cpus)
}

fn cpus() -> u32 {
    std::thread::available_parallelism().map_or(1, |n| n.get() as u32)
}

fn size(meminfo: &str, name: &str) -> Option<Bytes> {
    let kib: u64 = named(meminfo, name)?
        .strip_suffix("kB")?
        .trim()
        .parse()
        .ok()?;
    Some(Bytes(kib << 10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guests_stand_side_by_side_as_memory_and_processors_bear() {
        let memory = Bytes::from_mib(384);
        let of = |available, cpus| fitting(Bytes::from_mib(available), memory, cpus);
        assert_eq!(of(1000, 8), 0);
        assert_eq!(of(4 * 1152, 8), 4);
        assert_eq!(of(20_000, 8), 16, "the processors");
        assert!(most_guests(Bytes::from_mib(1)).expect("this machine") > 0);
    }

    #[test]
    fn memory_is_read_in_kib() {
        let meminfo = "MemFree: 1 kB\nMemTotal:       24684236 kB\n";
        assert_eq!(size(meminfo, "MemTotal"), Some(Bytes(24_684_236 << 10)));
        assert_eq!(size(meminfo, "MemAvailable"), None);
        assert_eq!(size("MemTotal: much\n", "MemTotal"), None);
        assert_eq!(named("model name\t: A CPU\n", "model name"), Some("A CPU"));
    }
}
