//! The recorder: looks at a steady pace, within a budget, until it is told to end.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use vmferry_core::Ratio;
use vmferry_hypervisor::qmp::Guest;

use super::choice::{Chosen, choose};
use super::{RecordOptions, RecordedPages};
use crate::cpu_clock::thread_cpu_time;
use crate::memory::GuestMemory;
use crate::observe::{Method, readable, require_running};
use crate::{MeasureError, background};

/// How soon a wish to end is noticed at the latest.
const PATIENCE: Duration = Duration::from_millis(100);

/// Where looks go. Both calls block the recorder: what they take makes the interval longer, and
/// counts for the budget. A break ends the recording.
pub trait PageSink: Send + 'static {
    /// The recorded pages at the first look; called once, before any interval.
    fn begin(&mut self, pages: RecordedPages) -> ControlFlow<()>;

    /// The interval that ends with the look at `end_us` microseconds from the first, which grows
    /// strictly; `dirty` are the positions of the pages that changed, strictly growing.
    fn interval(&mut self, end_us: u64, dirty: &[usize]) -> ControlFlow<()>;
}

/// Why a recording ended.
#[derive(Debug)]
pub enum RecordEnd {
    /// It lasted as long as was asked.
    Complete,
    /// The caller's flag was set.
    Stopped,
    /// The sink wanted no more.
    SinkClosed,
    /// The guest's memory can no longer be read: [`MeasureError::GuestExited`] or
    /// [`MeasureError::Memory`].
    Failed(MeasureError),
}

/// A recording that has ended. What went to the sink before is sound whatever the end.
#[derive(Debug)]
pub struct Recorded<S> {
    /// The sink.
    pub sink: S,
    /// Why it ended.
    pub end: RecordEnd,
    /// Processor time used, as a share of one core over the recording; with what the sink took.
    pub cpu: Ratio,
    /// What the reader should know, each a sentence.
    pub notes: Vec<String>,
}

/// Records a guest until the duration is over or `stop` is set. Dropping the future ends the
/// recording too.
///
/// # Errors
/// Where it cannot begin: [`MeasureError::BadOption`], [`MeasureError::NotRunning`], those of
/// [`GuestMemory::open`], the hypervisor's own. What happens after the first look is in
/// [`Recorded::end`].
pub async fn record<S: PageSink>(
    guest: &Guest,
    options: &RecordOptions,
    stop: Arc<AtomicBool>,
    sink: S,
) -> Result<Recorded<S>, MeasureError> {
    options.check()?;
    let info = guest.info().await?;
    require_running(guest, &info).await?;
    let mut notes = Vec::new();
    if guest.migration().await?.status.is_under_way() {
        notes.push(
            "the guest was migrating while it was recorded, which slows it and its writes"
                .to_owned(),
        );
    }
    let memory = readable(guest, &info, Method::Pages, &mut notes)?.ok_or_else(|| {
        MeasureError::NotReadable {
            guest: info.label(),
            reason: "its pages are not on this machine",
        }
    })?;
    let options = *options;
    let mut recorded = background::run("recording", move |cancel| {
        record_memory(&memory, &options, &[cancel, &stop], sink)
    })
    .await?;
    // A guest that stopped on the way was seen too quiet. Where the monitor is lost, what was
    // recorded is still sound.
    if let Err(MeasureError::NotRunning { status, .. }) = require_running(guest, &info).await {
        notes.push(format!(
            "the guest was {status} when the recording ended; intervals since it stopped are empty"
        ));
    }
    notes.append(&mut recorded.notes);
    recorded.notes = notes;
    Ok(recorded)
}

/// Records a guest's memory until the duration is over or one of the flags is set. Blocks its
/// thread: call it on one of its own.
///
/// # Errors
/// As [`record`], before the first look.
pub fn record_memory<S: PageSink>(
    memory: &GuestMemory,
    options: &RecordOptions,
    stop: &[&AtomicBool],
    mut sink: S,
) -> Result<Recorded<S>, MeasureError> {
    options.check()?;
    let (chosen, pages) = choose(memory, options)?;
    let mut notes = Vec::new();
    if memory.is_partial() {
        notes.push(
            "this QEMU does not say where its smaller memory blocks are; they were not recorded"
                .to_owned(),
        );
    }
    let cpu_start = thread_cpu_time();
    let baseline = chosen.baseline;
    let (end, late) = match sink.begin(pages) {
        ControlFlow::Break(()) => (RecordEnd::SinkClosed, 0),
        ControlFlow::Continue(()) => look_on(memory, options, stop, chosen, &mut sink),
    };
    let elapsed = baseline.elapsed().max(Duration::from_micros(1));
    if late > 0 {
        notes.push(format!(
            "{late} intervals are longer than {:.0} ms, because looks came late or to stay within {} of a core",
            options.interval.as_secs_f64() * 1.5e3,
            options.budget,
        ));
    }
    let cpu = (thread_cpu_time() - cpu_start).as_secs_f64() / elapsed.as_secs_f64();
    Ok(Recorded {
        sink,
        end,
        cpu: Ratio(cpu),
        notes,
    })
}

/// Looks again and again; returns why it ended, and how many intervals were too long.
fn look_on<S: PageSink>(
    memory: &GuestMemory,
    options: &RecordOptions,
    stop: &[&AtomicBool],
    chosen: Chosen,
    sink: &mut S,
) -> (RecordEnd, u64) {
    let Chosen {
        mut looker,
        addresses,
        baseline,
        mut cost,
    } = chosen;
    let end = baseline + options.duration;
    let too_long = micros(options.interval.mul_f64(1.5));
    let pace = |cost: Duration| options.interval.max(cost.div_f64(options.budget.0));
    let mut due = baseline + pace(cost);
    let (mut last_us, mut late) = (0, 0);
    let mut cpu_before = thread_cpu_time();
    loop {
        // The last look is made when the time is over, so that nothing of it is lost.
        due = due.min(end);
        if let Some(early) = wait(memory, due, stop) {
            return (early, late);
        }
        let at = Instant::now();
        let changed = match looker.look(memory, &addresses, |_, _| ()) {
            Ok(changed) => changed,
            Err(error) => return (RecordEnd::Failed(error), late),
        };
        let end_us = micros(at - baseline).max(last_us + 1);
        late += u64::from(end_us - last_us > too_long);
        last_us = end_us;
        if sink.interval(end_us, &changed).is_break() {
            return (RecordEnd::SinkClosed, late);
        }
        if at >= end {
            return (RecordEnd::Complete, late);
        }
        let cpu = thread_cpu_time();
        // Smoothed, so that a single interrupted look does not leave a gap.
        cost = cost.mul_f64(0.9) + (cpu - cpu_before).mul_f64(0.1);
        cpu_before = cpu;
        // Late: the looks that were missed are not made up for.
        due = (due + pace(cost)).max(Instant::now());
    }
}

/// Waits for the next look; says why there is none.
fn wait(memory: &GuestMemory, due: Instant, stop: &[&AtomicBool]) -> Option<RecordEnd> {
    loop {
        if stop.iter().any(|flag| flag.load(Ordering::Relaxed)) {
            return Some(RecordEnd::Stopped);
        }
        let left = due.checked_duration_since(Instant::now())?;
        if memory.process().exits_within(left.min(PATIENCE)) {
            return Some(RecordEnd::Failed(memory.process().exited()));
        }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
