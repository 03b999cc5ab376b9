//! The page mix: how much of what a migration sends is zero.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use vmferry_core::{PAGE_SIZE, Pages, Ratio};

use crate::MeasureError;
use crate::backing::{Backing, PageTables};
use crate::cpu_clock::thread_cpu_time;
use crate::memory::{BATCH, GuestMemory, PageBuffer, is_zero};
use crate::pace::Pace;

/// Pages whose backing is asked for at once: 256 MiB of guest for half a MiB of ours.
pub(crate) const STRETCH: usize = 1 << 16;

/// Pages read to learn the speed of reading.
const TRIAL: u64 = 4096;

/// The zero pages of a guest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ZeroCount {
    /// Pages that a migration sends.
    pub total_pages: Pages,
    /// Share of zero pages, 0..1.
    pub zero: Ratio,
    /// Standard error of that share; 0 when counted.
    pub standard_error: Ratio,
    /// Whether every page that may hold something was read.
    pub exact: bool,
    /// Pages swapped out, which count as non-zero without being brought back.
    pub swapped_pages: Pages,
    /// Processor time used.
    pub cpu_time: Duration,
}

/// Counts the zero pages of a guest: pages without memory behind them from its page tables, the
/// others by reading them. Where reading all would take more than `cpu_limit` of processor time,
/// an evenly spread sample of them is read instead. Never uses more than the share `budget` of a
/// core. Blocks its thread.
///
/// # Errors
/// [`MeasureError::Cancelled`], [`MeasureError::GuestExited`], [`MeasureError::Memory`] and
/// [`MeasureError::PermissionDenied`].
pub fn count_zero_pages(
    memory: &GuestMemory,
    cpu_limit: Duration,
    budget: Ratio,
    seed: u64,
    cancel: &AtomicBool,
) -> Result<ZeroCount, MeasureError> {
    let tables = PageTables::open(memory.process())?;
    let mut pass = Pass {
        memory,
        tables: &tables,
        pace: Pace::start(budget, cancel),
        buffer: PageBuffer::new(BATCH),
    };

    let mut present = 0u64;
    let mut swapped = 0u64;
    pass.each_backing(|page| {
        present += u64::from(page == Backing::Present);
        swapped += u64::from(page == Backing::Swapped);
    })?;

    let stratum = pass.stratum(present, cpu_limit, seed)?;
    let (read, zero_read) = pass.read_one_of(stratum, seed)?;

    let total = memory.pages();
    let share = if read == 0 {
        0.0
    } else {
        zero_read as f64 / read as f64
    };
    let exact = stratum == 1;
    // Pages come and go while they are counted; what was read last is what counts.
    let present = if exact { read } else { present };
    let absent = total.saturating_sub(present + swapped);
    let scale = present as f64 / total as f64;
    let error = if exact || read == 0 {
        0.0
    } else {
        (share * (1.0 - share) / read as f64 * (1.0 - 1.0 / stratum as f64)).sqrt() * scale
    };
    Ok(ZeroCount {
        total_pages: memory.size().pages(),
        zero: Ratio(absent as f64 / total as f64 + share * scale),
        standard_error: Ratio(error),
        exact,
        swapped_pages: Pages(swapped),
        cpu_time: pass.pace.cpu_time(),
    })
}

struct Pass<'a> {
    memory: &'a GuestMemory,
    tables: &'a PageTables,
    pace: Pace<'a>,
    buffer: PageBuffer,
}

impl Pass<'_> {
    /// One page in how many can be read within the limit; 1 reads all.
    fn stratum(
        &mut self,
        present: u64,
        cpu_limit: Duration,
        seed: u64,
    ) -> Result<u64, MeasureError> {
        if present <= TRIAL {
            return Ok(1);
        }
        let before = thread_cpu_time();
        let (read, _) = self.read_one_of(present.div_ceil(TRIAL), seed ^ 1)?;
        let cost = (thread_cpu_time() - before).as_secs_f64() / read.max(1) as f64;
        let affordable = (cpu_limit.as_secs_f64() / cost).max(TRIAL as f64);
        Ok((present as f64 / affordable).ceil() as u64)
    }

    /// Reads one page at random of every `stratum` present ones; gives how many were read and how
    /// many of those were zero.
    fn read_one_of(&mut self, stratum: u64, seed: u64) -> Result<(u64, u64), MeasureError> {
        let mut random = SmallRng::seed_from_u64(seed);
        let mut skip = random.random_range(0..stratum);
        let mut rest = stratum - 1 - skip;
        let (mut read, mut zero) = (0, 0);
        let mut batch = Vec::with_capacity(BATCH);
        let blocks = self.memory.blocks();
        for block in blocks {
            let mut done = 0;
            while done < block.pages {
                let pages = (block.pages - done).min(STRETCH as u64);
                let address = block.address + done * PAGE_SIZE.0;
                let backing = self.tables.backing(address, pages as usize);
                for (page, backing) in backing.iter().enumerate() {
                    if *backing != Backing::Present {
                        continue;
                    }
                    if skip > 0 {
                        skip -= 1;
                        continue;
                    }
                    let next = random.random_range(0..stratum);
                    skip = rest + next;
                    rest = stratum - 1 - next;
                    batch.push(address + page as u64 * PAGE_SIZE.0);
                    if batch.len() == BATCH {
                        zero += self.count(&batch)?;
                        read += batch.len() as u64;
                        batch.clear();
                    }
                }
                done += pages;
            }
        }
        zero += self.count(&batch)?;
        Ok((read + batch.len() as u64, zero))
    }

    fn count(&mut self, addresses: &[u64]) -> Result<u64, MeasureError> {
        if addresses.is_empty() {
            return Ok(0);
        }
        self.memory.read(addresses, &mut self.buffer)?;
        let pages = &self.buffer.pages()[..addresses.len()];
        let zero = pages.iter().filter(|page| is_zero(page)).count() as u64;
        self.pace.keep(self.memory.process())?;
        Ok(zero)
    }

    fn each_backing(&self, mut seen: impl FnMut(Backing)) -> Result<(), MeasureError> {
        for block in self.memory.blocks() {
            let mut done = 0;
            while done < block.pages {
                let pages = (block.pages - done).min(STRETCH as u64) as usize;
                let address = block.address + done * PAGE_SIZE.0;
                self.tables
                    .backing(address, pages)
                    .into_iter()
                    .for_each(&mut seen);
                done += pages as u64;
                self.pace.keep(self.memory.process())?;
            }
        }
        Ok(())
    }
}
