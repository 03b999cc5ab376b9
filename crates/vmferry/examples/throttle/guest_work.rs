//! What a guest does, by its own count and by the processor time of its virtual CPUs, unmoved and
//! while it moves.

use std::fs;
use std::time::{Duration, Instant};

use vmferry::core::{Millis, Ratio};
use vmferry::hypervisor::qmp::Guest;
use vmferry::testbed::{ConsoleWatch, Side, TestGuest};
use vmferry_measure::{MeasureError, VcpuMeter};

use crate::record::Cost;
use crate::run::Fault;
use crate::unmoved::{Cycle, Unmoved};

/// After a boot nothing is counted for so long.
const SETTLE: Duration = Duration::from_secs(1);
/// The guest unmoved.
const UNMOVED: Duration = Duration::from_secs(10);
/// A guest that goes round is metered a little longer than a round.
const BEYOND: Duration = Duration::from_millis(500);
/// How long a report of the load may take, and how often it is looked for.
const REPORT_PATIENCE: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The meters of one guest.
pub(crate) struct Meters {
    console: ConsoleWatch,
    threads: Threads,
}

/// Process and threads of the virtual CPUs, source first.
#[derive(Clone)]
pub(crate) struct Threads([(u32, Vec<u32>); 2]);

/// The guest unmoved.
pub(crate) struct Before {
    pub(crate) work: Unmoved,
    /// Bytes done over bytes aimed at; `None` where none are.
    pub(crate) of_aim: Option<Ratio>,
    vcpu: Ratio,
}

/// The meters at the beginning of a move.
pub(crate) struct Metered {
    vcpus: [VcpuMeter; 2],
    own: Option<Duration>,
    began: Instant,
}

/// What was used since.
#[derive(Clone, Copy)]
pub(crate) struct Used {
    vcpu_s: f64,
    own_s: Option<f64>,
    elapsed_s: f64,
}

impl Meters {
    pub(crate) async fn start(guest: &TestGuest) -> Result<Self, Fault> {
        let mut threads = Vec::new();
        for side in Side::BOTH {
            let monitor = guest.watch(side).await?;
            let pid = guest.pid(side).ok_or("QEMU has ended")?;
            threads.push((pid, vcpu_threads(&monitor).await?));
        }
        Ok(Self {
            console: guest.console_watch(),
            threads: Threads(threads.try_into().map_err(|_| "a move has two ends")?),
        })
    }

    /// Meters the guest for ten seconds, or for a round of one that goes round.
    pub(crate) async fn unmoved(&self, period: Option<Duration>) -> Result<Before, Fault> {
        tokio::time::sleep(SETTLE).await;
        let (pid, threads) = &self.threads.0[0];
        let meter = VcpuMeter::start(*pid, threads)?;
        let from = Instant::now();
        let length = period.map_or(UNMOVED, |period| period + BEYOND);
        tokio::time::sleep(length).await;
        let used = meter.now()?;
        let to = Instant::now();
        let work = self
            .work(from, to)
            .await
            .ok_or("the load does not report")?;
        let seconds = (to - from).as_secs_f64();
        let work = match period {
            None => Unmoved::Steady(work.into_iter().map(|work| work / seconds).collect()),
            Some(period) => {
                let reports = self.console.reports().into_iter();
                let within = reports.filter(|report| (from..=to).contains(&report.at));
                let seen: Vec<_> = within
                    .map(|report| (report.progress.time, report.progress.work))
                    .collect();
                let cycle = Cycle::of(&seen, period).ok_or("the load reports too little")?;
                Unmoved::Cyclic(cycle)
            }
        };
        Ok(Before {
            work,
            of_aim: self.of_aim(from, to),
            vcpu: used.share,
        })
    }

    fn of_aim(&self, from: Instant, to: Instant) -> Option<Ratio> {
        let reports = self.console.reports();
        let within = reports.iter().filter(|r| (from..=to).contains(&r.at));
        let (mut done, mut aimed) = (0.0, 0.0);
        for report in within {
            done += report.progress.rate as f64;
            aimed += report.progress.aim? as f64;
        }
        (aimed > 0.0).then(|| Ratio(done / aimed))
    }

    /// Work between two moments; waits for the report after the second.
    async fn work(&self, from: Instant, to: Instant) -> Option<Vec<f64>> {
        let deadline = Instant::now() + REPORT_PATIENCE;
        loop {
            let work = self.console.work_between(from, to);
            if work.is_some() || Instant::now() > deadline {
                return work;
            }
            // The console is a file: nothing tells that it has grown.
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// What a move is metered by.
    pub(crate) fn threads(&self) -> Threads {
        self.threads.clone()
    }

    /// What a move from the first moment of `span` to the second cost. All parts of the load count
    /// alike; those that do nothing do not.
    pub(crate) async fn cost(
        &self,
        before: &Before,
        span: (Instant, Instant),
        used: Option<Used>,
    ) -> Cost {
        let (from, to) = span;
        let moved = self.work(from, to).await;
        let reports = self.console.reports();
        let last = reports.iter().rfind(|report| report.at <= from);
        let clock = last.map(|last| last.progress.time + (from - last.at));
        let unmoved = clock.map(|clock| before.work.expected(clock, to - from));
        let lost = unmoved.zip(moved).and_then(|(unmoved, moved)| {
            let parts = unmoved.into_iter().zip(moved);
            let shares: Vec<f64> = parts
                .filter(|(unmoved, _)| *unmoved > 0.0)
                .map(|(unmoved, moved)| 1.0 - moved / unmoved)
                .collect();
            (!shares.is_empty()).then(|| Ratio(shares.iter().sum::<f64>() / shares.len() as f64))
        });
        let of_guest = |at: Instant| from <= at && at <= to;
        let own_pause = reports
            .iter()
            .filter(|report| of_guest(report.at))
            .map(|report| report.progress.pause)
            .max();
        Cost {
            span_ms: Millis::from(to - from),
            lost,
            vcpu_unmoved: Some(before.vcpu),
            vcpu_moved: used.map(|used| Ratio(used.vcpu_s / used.elapsed_s)),
            freeze_ms: self.console.longest_silence(from, to).map(Millis::from),
            own_pause_ms: own_pause.map(Millis::from),
            steering_cpu: used.and_then(|used| used.own_s.map(|own| Ratio(own / used.elapsed_s))),
        }
    }
}

impl Threads {
    /// Begins to meter a move.
    pub(crate) fn begin(&self) -> Result<Metered, MeasureError> {
        let meter = |(pid, threads): &(u32, Vec<u32>)| VcpuMeter::start(*pid, threads);
        let [source, destination] = &self.0;
        Ok(Metered {
            vcpus: [meter(source)?, meter(destination)?],
            own: own_cpu(),
            began: Instant::now(),
        })
    }
}

impl Metered {
    pub(crate) fn end(&self) -> Used {
        // The threads of a source that is gone ran for as long as nobody can say.
        let cpu = |meter: &VcpuMeter| meter.now().map_or(0.0, |used| used.cpu_time.as_secs_f64());
        let own = own_cpu().zip(self.own).map(|(now, then)| now - then);
        Used {
            vcpu_s: self.vcpus.iter().map(cpu).sum(),
            own_s: own.map(|own| own.as_secs_f64()),
            elapsed_s: self.began.elapsed().as_secs_f64(),
        }
    }
}

async fn vcpu_threads(monitor: &Guest) -> Result<Vec<u32>, Fault> {
    let vcpus = monitor.vcpus().await?;
    let threads: Option<Vec<u32>> = vcpus.iter().map(|vcpu| vcpu.thread_id).collect();
    Ok(threads.ok_or("QEMU does not name the threads of its virtual CPUs")?)
}

/// Processor time of this process.
fn own_cpu() -> Option<Duration> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_ascii_whitespace().skip(11);
    let mut ticks = || times.next()?.parse::<u64>().ok();
    // Clock ticks: 10 ms on every Linux of our platforms.
    Some(Duration::from_millis((ticks()? + ticks()?) * 10))
}

/// QEMU's command lines, source first.
pub(crate) fn command_lines(guest: &TestGuest) -> [String; 2] {
    Side::BOTH.map(|side| {
        let words = guest
            .pid(side)
            .and_then(|pid| fs::read(format!("/proc/{pid}/cmdline")).ok())
            .unwrap_or_default();
        let words = words.split(|byte| *byte == 0);
        let words: Vec<_> = words.map(String::from_utf8_lossy).collect();
        words.join(" ").trim_end().to_owned()
    })
}
