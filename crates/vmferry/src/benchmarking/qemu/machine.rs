//! What machine a benchmark runs on.

use std::fs;
use std::io;

use vmferry_bench::record::MachineRecord;
use vmferry_core::Bytes;
use vmferry_testbed::Accelerator;

/// Reads it from `/proc`.
pub(super) fn read(accelerator: Accelerator) -> io::Result<MachineRecord> {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo")?;
    let meminfo = fs::read_to_string("/proc/meminfo")?;
    Ok(MachineRecord {
        cpu: named(&cpuinfo, "model name")
            .unwrap_or("unknown")
            .to_owned(),
        cpus: std::thread::available_parallelism().map_or(1, |n| n.get() as u32),
        memory_bytes: memory(&meminfo)
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

fn memory(meminfo: &str) -> Option<Bytes> {
    let kib: u64 = named(meminfo, "MemTotal")?
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
    fn memory_is_read_in_kib() {
        assert_eq!(
            memory("MemFree: 1 kB\nMemTotal:       24684236 kB\n"),
            Some(Bytes(24_684_236 << 10))
        );
        assert_eq!(memory("MemTotal: much\n"), None);
        assert_eq!(named("model name\t: A CPU\n", "model name"), Some("A CPU"));
    }
}
