//! The processor time of a guest's virtual CPUs.

use std::fs;
use std::time::{Duration, Instant};

use vmferry_core::Ratio;

use crate::MeasureError;

/// Meters the threads of a guest's virtual CPUs from a start on.
///
/// Under TCG and KVM alike this is the time in which the guest's code ran, including what the
/// hypervisor spent on its behalf in the same thread.
#[derive(Debug)]
pub struct VcpuMeter {
    pid: u32,
    threads: Vec<u32>,
    vcpus: usize,
    start: Instant,
    before: Duration,
}

/// What virtual CPUs used since the meter's start.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VcpuUse {
    /// Processor time of all of them together.
    pub cpu_time: Duration,
    /// Since the start.
    pub elapsed: Duration,
    /// Mean share of each virtual CPU, 0..1.
    pub share: Ratio,
}

impl VcpuMeter {
    /// Starts to meter the threads `tids` of process `pid`, one for every virtual CPU (as
    /// `query-cpus-fast` gives them; one thread may serve several).
    ///
    /// # Errors
    /// [`MeasureError::Kernel`] where a thread is not there, and [`MeasureError::BadOption`]
    /// where none is given.
    pub fn start(pid: u32, tids: &[u32]) -> Result<Self, MeasureError> {
        if tids.is_empty() {
            return Err(MeasureError::BadOption {
                option: "virtual CPUs",
                problem: format!("no threads of PID {pid} were given"),
            });
        }
        let mut threads = tids.to_vec();
        threads.sort_unstable();
        threads.dedup();
        let before = cpu_time(pid, &threads)?;
        Ok(Self {
            pid,
            threads,
            vcpus: tids.len(),
            start: Instant::now(),
            before,
        })
    }

    /// What was used from the start until now.
    ///
    /// # Errors
    /// [`MeasureError::Kernel`] where a thread has ended, for example with its guest.
    pub fn now(&self) -> Result<VcpuUse, MeasureError> {
        let used = cpu_time(self.pid, &self.threads)?.saturating_sub(self.before);
        let elapsed = self.start.elapsed();
        let possible = elapsed.as_secs_f64() * self.vcpus as f64;
        Ok(VcpuUse {
            cpu_time: used,
            elapsed,
            share: Ratio((used.as_secs_f64() / possible.max(1e-9)).min(1.0)),
        })
    }
}

fn cpu_time(pid: u32, threads: &[u32]) -> Result<Duration, MeasureError> {
    threads.iter().map(|tid| thread_time(pid, *tid)).sum()
}

/// Time on a processor: in nanoseconds from `schedstat`, or in clock ticks from `stat` on kernels
/// built without it.
fn thread_time(pid: u32, tid: u32) -> Result<Duration, MeasureError> {
    let path = format!("/proc/{pid}/task/{tid}/schedstat");
    if let Some(time) = fs::read_to_string(path).ok().and_then(|t| on_cpu(&t)) {
        return Ok(time);
    }
    let path = format!("/proc/{pid}/task/{tid}/stat");
    let text = fs::read_to_string(&path).map_err(MeasureError::kernel(path.clone()))?;
    ticks(&text)
        .map(|ticks| Duration::from_millis(ticks * 10))
        .ok_or_else(|| MeasureError::Kernel {
            path,
            source: std::io::Error::other("it has no times"),
        })
}

/// The first field of `schedstat`; a kernel that does not keep it shows zeros.
fn on_cpu(schedstat: &str) -> Option<Duration> {
    let nanos = schedstat.split_ascii_whitespace().next()?.parse().ok()?;
    (nanos > 0).then(|| Duration::from_nanos(nanos))
}

/// `utime` + `stime` of `stat`, in clock ticks: 10 ms on every Linux of our platforms.
fn ticks(stat: &str) -> Option<u64> {
    // The name may hold spaces and brackets; the last bracket ends it.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    Some(user + fields.next()?.parse::<u64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_thread_is_seen_busy() {
        let own = std::process::id();
        let tid = u32::try_from(nix::unistd::gettid().as_raw()).unwrap();
        let meter = VcpuMeter::start(own, &[tid, tid]).unwrap();
        let before = crate::cpu_clock::thread_cpu_time();
        let mut x = 1u64;
        while crate::cpu_clock::thread_cpu_time() - before < Duration::from_millis(60) {
            x = std::hint::black_box(x.wrapping_mul(3));
        }
        let used = meter.now().unwrap();
        assert!(used.cpu_time >= Duration::from_millis(30), "{used:?}");
        assert!(used.share.0 > 0.0 && used.share.0 <= 0.55, "{used:?}");
    }

    #[test]
    fn reads_the_kernel_s_formats() {
        assert_eq!(on_cpu("1500 20 3\n"), Some(Duration::from_nanos(1500)));
        assert_eq!(on_cpu("0 0 0\n"), None);
        let stat = "42 (CPU 0/KVM (x)) S 1 2 3 4 5 6 7 8 9 10 11 12 0 0";
        assert_eq!(ticks(stat), Some(11 + 12));
        assert_eq!(ticks("42 (x) S 1"), None);
    }

    #[test]
    fn a_thread_that_is_not_there_is_an_error() {
        let text = VcpuMeter::start(std::process::id(), &[1])
            .unwrap_err()
            .to_string();
        assert!(text.contains("/task/1/stat"), "{text}");
        assert!(VcpuMeter::start(1, &[]).is_err());
    }
}
