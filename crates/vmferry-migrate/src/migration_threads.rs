//! Caps on the threads that carry a migration stream: those that send at the
//! source, the one that loads at the destination (`dom0cpu`: migration time
//! against the CPU given to the migration).
//!
//! | end | thread | exists |
//! |---|---|---|
//! | source | `mig/src/main` (`live_migration` before QEMU 9), and multifd's | from the command until the end |
//! | destination | QEMU's main thread | always: it runs the monitor too, and must be free when the guest resumes |
//!
//! The groups are those of [`crate::cpu_cap`], with their undo in the journal
//! before they are made. What the threads really use is metered beside: a cap
//! that does not bite, or does not hold, shows there.

use std::fs;
use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};
use uuid::Uuid;
use vmferry_core::{GuestUri, Ratio};
use vmferry_hypervisor::qmp::Guest;
use vmferry_measure::{VcpuMeter, VcpuUse};

use crate::cpu_cap::{CpuCap, CpuCapError, CpuCapOptions, Grouping, VcpuThreads};
use crate::error::{End, MigrateError};
use crate::journal::Journal;

/// How often a quota is filled up. The shorter, the smoother the stream: a
/// thread that has used up its quota stands still until the next period, and
/// the sockets (some MiB) drain meanwhile. Caps below 5 % get a longer one,
/// since the kernel takes no quota below [`LEAST_QUOTA`].
const PERIOD: Duration = Duration::from_millis(20);
/// The least quota.
const LEAST_QUOTA: Duration = Duration::from_millis(1);
/// The least cap: the least quota in a period of 100 ms. In a longer one a
/// guest may wait at its switchover for a thread that has used up its quota.
pub const LEAST_CAP: Ratio = Ratio(0.01);

/// How long the source's thread may take to appear after the command.
const APPEARANCE: Duration = Duration::from_secs(2);
/// Pause before it is looked for again.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// Begins of the names of sending threads: the main one's and multifd's since QEMU 9, multifd's
/// before, the main one's before. The kernel keeps 15 characters.
const SENDERS: [&str; 5] = [
    "mig/src/main",
    "mig/src/send",
    "multifdsend",
    "live_migration",
    "migration",
];

/// Whether a QEMU thread of this name (`comm` in `/proc`) sends a migration.
#[must_use]
pub fn sends(thread_name: &str) -> bool {
    SENDERS.iter().any(|begin| thread_name.starts_with(begin))
}

/// Threads of one QEMU that carry the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamThreads {
    end: End,
    pid: u32,
    tids: Vec<u32>,
}

impl StreamThreads {
    /// The threads that send, of a migration whose command was just given:
    /// waits for them to appear. Asked of QEMU (`query-migrationthreads`);
    /// where it lacks the command, looked for by name (`-name
    /// GUEST,debug-threads=on`).
    ///
    /// # Errors
    /// [`CpuCapError::NotOnThisMachine`] for a QEMU elsewhere,
    /// [`CpuCapError::NoStreamThread`] where none appears within 2 s: the
    /// migration is over already, or QEMU names no threads.
    pub async fn sending(source: &Guest) -> Result<Self, MigrateError> {
        let pid = local(source)?;
        let look = async {
            loop {
                let tids = senders(source, pid).await?;
                if !tids.is_empty() {
                    return Ok::<_, MigrateError>(tids);
                }
                sleep(LOOK_AGAIN).await;
            }
        };
        let tids = match timeout(APPEARANCE, look).await {
            Ok(found) => found?,
            Err(_) => return Err(CpuCapError::NoStreamThread { pid }.into()),
        };
        Ok(Self {
            end: End::Source,
            pid,
            tids,
        })
    }

    /// The thread that loads: QEMU's main one, which is there from the start.
    ///
    /// # Errors
    /// [`CpuCapError::NotOnThisMachine`] for a QEMU elsewhere.
    pub fn loading(destination: &Guest) -> Result<Self, MigrateError> {
        let pid = local(destination)?;
        Ok(Self {
            end: End::Destination,
            pid,
            tids: vec![pid],
        })
    }

    /// The same where the threads are known, by the numbers that their own
    /// process gives them.
    pub fn in_process(end: End, pid: u32, tids: Vec<u32>) -> Self {
        Self { end, pid, tids }
    }

    /// Which end they are of.
    pub fn end(&self) -> End {
        self.end
    }

    fn purpose(&self) -> &'static str {
        match self.end {
            End::Source => "-sending",
            End::Destination => "-loading",
        }
    }
}

fn local(guest: &Guest) -> Result<u32, MigrateError> {
    let elsewhere = || CpuCapError::NotOnThisMachine {
        guest: Box::new(guest.uri().clone()),
    };
    Ok(guest.pid().ok_or_else(elsewhere)?)
}

async fn senders(source: &Guest, pid: u32) -> Result<Vec<u32>, MigrateError> {
    match source.migration_threads().await {
        Ok(threads) => Ok(threads.iter().filter_map(|t| t.thread_id).collect()),
        Err(error) if error.is_unsupported() => Ok(named(pid)),
        Err(error) => Err(MigrateError::at(End::Source)(error)),
    }
}

/// Threads of a process that bear a sender's name.
fn named(pid: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task"));
    let tasks = tasks.into_iter().flatten().flatten();
    tasks
        .filter(|task| {
            let name = fs::read_to_string(task.path().join("comm")).unwrap_or_default();
            sends(name.trim())
        })
        .filter_map(|task| task.file_name().to_str()?.parse().ok())
        .collect()
}

/// What threads used while they were metered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StreamUse {
    /// Processor time of all of them.
    pub cpu_time: Duration,
    /// How long they were metered.
    pub elapsed: Duration,
}

impl StreamUse {
    /// Share of one CPU, on average; above 1 for several threads.
    pub fn share(&self) -> Ratio {
        Ratio(self.cpu_time.as_secs_f64() / self.elapsed.as_secs_f64().max(1e-9))
    }
}

/// Stream threads that are metered, and capped where that is asked for.
/// Dropped without a word, a cap stays on: the journal knows how to undo it.
#[derive(Debug)]
pub struct StreamCap {
    cap: Option<CpuCap>,
    share: Option<Ratio>,
    meter: VcpuMeter,
    since: Instant,
    last: Option<VcpuUse>,
}

impl StreamCap {
    /// Meters threads from now on and, with a share of one CPU for all of them
    /// together, 0..1, caps them. Every step is in the journal first.
    ///
    /// # Errors
    /// As [`CpuCap::install`] and [`CpuCap::set`]: what was done is undone or
    /// left in the journal; [`CpuCapError::StreamGone`] where the threads have
    /// ended meanwhile.
    pub fn install(
        journal: &mut Journal,
        guest: &GuestUri,
        move_id: Uuid,
        threads: &StreamThreads,
        share: Option<Ratio>,
    ) -> Result<Self, MigrateError> {
        let cap = match share {
            None => None,
            Some(share) => {
                if !(LEAST_CAP..=Ratio(1.0)).contains(&share) {
                    let beside = ", and at least 0.01";
                    let share = share.0;
                    return Err(CpuCapError::BadShare { share, beside }.into());
                }
                let found = VcpuThreads::of_stream(threads.pid, &threads.tids, threads.purpose())?;
                let options = CpuCapOptions {
                    grouping: Grouping::Together,
                    period: PERIOD.max(LEAST_QUOTA.div_f64(share.0.max(LEAST_CAP.0))),
                };
                let mut cap = CpuCap::install(journal, guest, move_id, found, options)?;
                let each = Ratio(share.0 / threads.tids.len() as f64);
                if let Err(refused) = cap.set(Some(each)) {
                    cap.release(journal)?;
                    return Err(refused.into());
                }
                Some(cap)
            }
        };
        let pid = threads.pid;
        let meter =
            VcpuMeter::start(pid, &threads.tids).map_err(|_| CpuCapError::StreamGone { pid })?;
        Ok(Self {
            cap,
            share,
            meter,
            since: Instant::now(),
            last: None,
        })
    }

    /// The share asked for.
    pub fn share(&self) -> Option<Ratio> {
        self.share
    }

    /// When the meter, and the cap, began.
    pub fn since(&self) -> Instant {
        self.since
    }

    /// Reads the meter; call it often, since threads that have ended cannot be
    /// read any more. Returns what is known.
    pub fn read(&mut self) -> Option<StreamUse> {
        self.last = self.meter.now().ok().or(self.last);
        self.used()
    }

    /// What was used up to the last reading.
    pub fn used(&self) -> Option<StreamUse> {
        self.last.map(|last| StreamUse {
            cpu_time: last.cpu_time,
            elapsed: last.elapsed,
        })
    }

    /// Takes the cap off: at the destination right before the guest resumes.
    /// The meter ends with it. Returns what was used.
    ///
    /// # Errors
    /// What could not be undone; it stays in the journal.
    pub fn lift(&mut self, journal: &mut Journal) -> Result<Option<StreamUse>, MigrateError> {
        let used = self.read();
        if let Some(cap) = self.cap.take() {
            cap.release(journal)?;
        }
        Ok(used)
    }
}
