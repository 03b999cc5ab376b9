//! A census of what is written: every page is read twice, and those that changed in between are
//! listed.
//!
//! Few pages are written often, and a sample of one page in sixteen says little of them: the few
//! dozen that a guest's kernel writes at every tick are hit too often or not at all, and are all
//! that a pass of 50 ms near the end of a migration finds beside the load's own. So the pages that
//! the census found are sampled apart from the others, and more densely.

use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use vmferry_core::{PAGE_SIZE, Ratio};

use crate::MeasureError;
use crate::backing::{Backing, PageTables};
use crate::memory::{BATCH, GuestMemory, PageBuffer};
use crate::pace::Pace;
use crate::page_mix::STRETCH;
use crate::pages::{ZERO, hash};

/// A cancellation is noticed within this time.
const ATTENTIVE: Duration = Duration::from_millis(100);

/// The content of a page that is not there, or that no reading saw: that of a zero page.
const ABSENT: u64 = ZERO;

/// Positions, in sending order, of the pages that changed between two readings of all memory that
/// begin `apart`, or as far apart as one reading takes within the budget. Blocks its thread.
///
/// # Errors
/// [`MeasureError::Cancelled`], [`MeasureError::GuestExited`], [`MeasureError::Memory`] and
/// [`MeasureError::PermissionDenied`].
pub fn rewritten_pages(
    memory: &GuestMemory,
    apart: Duration,
    budget: Ratio,
    cancel: &AtomicBool,
) -> Result<Vec<u64>, MeasureError> {
    let tables = PageTables::open(memory.process())?;
    let pace = Pace::start(budget, cancel);
    let mut contents = vec![ABSENT; memory.pages() as usize];
    let mut buffer = PageBuffer::new(BATCH);
    let mut changed = Vec::new();
    let begin = Instant::now();
    for reading in 0..2 {
        while reading > 0 && begin.elapsed() < apart {
            let rest = apart.saturating_sub(begin.elapsed()).min(ATTENTIVE);
            if memory.process().exits_within(rest) {
                return Err(memory.process().exited());
            }
            pace.keep(memory.process())?;
        }
        let mut position = 0;
        for block in memory.blocks() {
            for done in (0..block.pages).step_by(STRETCH) {
                let pages = (block.pages - done).min(STRETCH as u64) as usize;
                let address = block.address + done * PAGE_SIZE.0;
                let present: Vec<usize> = tables
                    .backing(address, pages)
                    .iter()
                    .enumerate()
                    .filter(|(_, backing)| **backing == Backing::Present)
                    .map(|(page, _)| page)
                    .collect();
                for batch in present.chunks(BATCH) {
                    let addresses: Vec<u64> = batch
                        .iter()
                        .map(|page| address + *page as u64 * PAGE_SIZE.0)
                        .collect();
                    memory.read(&addresses, &mut buffer)?;
                    for (page, content) in batch.iter().zip(buffer.pages()) {
                        let last = &mut contents[position + page];
                        let now = hash(content);
                        if reading > 0 && *last != now {
                            changed.push(block.first_page + done + *page as u64);
                        }
                        *last = now;
                    }
                    pace.keep(memory.process())?;
                }
                position += pages;
                pace.keep(memory.process())?;
            }
        }
    }
    Ok(changed)
}
