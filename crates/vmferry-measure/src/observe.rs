//! One observation of one guest: everything that is looked at before a forecast.

use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use vmferry_core::{
    DirtyCurve, GuestInfo, Millis, Observation, ObservationCost, ObservationMethod, PageHistory,
    PageMix, Pages, Ratio,
};
use vmferry_hypervisor::qmp::Guest;

use crate::MeasureError;
use crate::background;
use crate::calc_dirty_rate;
use crate::census::rewritten_pages;
use crate::cpu_clock::thread_cpu_time;
use crate::dirty_curve::nested_dirty_curve;
use crate::memory::GuestMemory;
use crate::page_mix::{ZeroCount, count_zero_pages};
use crate::pages::{PageOptions, PageWatch, Progress, watch};
use crate::vcpu::VcpuMeter;

/// A census reads everything twice and hashes it: so many times what counting zero pages took.
const CENSUS: f64 = 3.0;

/// The two readings of a census are this part of the window apart,
const BETWEEN_READINGS: u32 = 7;
/// and no more than this, lest pages written once in minutes pass for busy ones.
const LONGEST_BETWEEN: Duration = Duration::from_secs(2);
/// A reading that takes longer within the budget tells no more what is written often.
const LONGEST_READING: Duration = Duration::from_secs(5);

/// How a guest is observed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ObserveOptions {
    /// The window, the sample of pages and the budget.
    pub pages: PageOptions,
    /// By which means.
    pub method: Method,
}

/// By which means a guest is observed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    /// Pages from outside; QMP where they cannot be read, with a note that says so.
    #[default]
    Auto,
    /// Pages from outside, or an error.
    Pages,
    /// QEMU's own `calc-dirty-rate`.
    Qmp,
}

/// Observes a guest for the window given. Dropping the future ends the observation.
///
/// # Errors
/// [`MeasureError::NotRunning`] for a guest that does not run, or stops on the way;
/// [`MeasureError::is_unreadable`] where [`Method::Pages`] was wanted and the memory is out of
/// reach; [`MeasureError::GuestExited`]; [`MeasureError::BadOption`]; the hypervisor's own.
pub async fn observe(guest: &Guest, options: &ObserveOptions) -> Result<Observation, MeasureError> {
    observe_with(guest, options, |_| ()).await
}

/// As [`observe`], telling how far it is after every look.
///
/// # Errors
/// As [`observe`].
pub async fn observe_with(
    guest: &Guest,
    options: &ObserveOptions,
    progress: impl FnMut(Progress) + Send + 'static,
) -> Result<Observation, MeasureError> {
    options.pages.check()?;
    let info = guest.info().await?;
    require_running(guest, &info).await?;
    let mut notes = Vec::new();
    let before = guest.migration().await?;
    if before.status.is_under_way() {
        notes.push(
            "the guest was migrating while it was observed, which slows it and its writes"
                .to_owned(),
        );
    }

    let started_at = jiff::Timestamp::now();
    let meter = vcpu_meter(guest).await?;
    let seen = match readable(guest, &info, options.method, &mut notes)? {
        Some(memory) => by_pages(memory, options.pages, progress).await?,
        None => by_qmp(guest, &info, options.pages.window, progress).await?,
    };
    let vcpu_use = meter.and_then(|meter| meter.now().ok()).map(|u| u.share);
    // A guest that stopped on the way was seen too quiet.
    require_running(guest, &info).await?;

    notes.extend(seen.notes);
    Ok(Observation {
        started_at,
        method: seen.method,
        host: guest.host_info(),
        guest: info,
        window_ms: Millis::from(seen.window),
        window_ended_at: seen.window_ended_at,
        dirty_curve: seen.dirty_curve,
        page_mix: seen.page_mix,
        page_history: seen.page_history,
        slow_page_history: seen.slow_page_history,
        vcpu_use,
        cost: seen.cost,
        notes,
    })
}

/// What either method gives.
struct Seen {
    method: ObservationMethod,
    window: Duration,
    window_ended_at: Option<jiff::Timestamp>,
    dirty_curve: vmferry_core::DirtyCurve,
    page_mix: PageMix,
    page_history: Option<vmferry_core::PageHistory>,
    slow_page_history: Option<vmferry_core::PageHistory>,
    cost: ObservationCost,
    notes: Vec<String>,
}

pub(crate) async fn require_running(guest: &Guest, info: &GuestInfo) -> Result<(), MeasureError> {
    let state = guest.run_state().await?;
    if state.running == Some(false) {
        return Err(MeasureError::NotRunning {
            guest: info.label(),
            status: state.status.unwrap_or_else(|| "not running".to_owned()),
        });
    }
    Ok(())
}

/// A meter where the threads of the virtual CPUs are on this machine and can be seen.
async fn vcpu_meter(guest: &Guest) -> Result<Option<VcpuMeter>, MeasureError> {
    let Some(pid) = guest.pid() else {
        return Ok(None);
    };
    let vcpus = match guest.vcpus().await {
        Ok(vcpus) => vcpus,
        Err(error) if error.is_unreachable() => return Err(error.into()),
        Err(_) => return Ok(None),
    };
    let threads: Option<Vec<u32>> = vcpus.iter().map(|vcpu| vcpu.thread_id).collect();
    Ok(threads.and_then(|threads| VcpuMeter::start(pid, &threads).ok()))
}

/// The guest's memory; `None` where QMP is to be used.
pub(crate) fn readable(
    guest: &Guest,
    info: &GuestInfo,
    method: Method,
    notes: &mut Vec<String>,
) -> Result<Option<GuestMemory>, MeasureError> {
    if method == Method::Qmp {
        return Ok(None);
    }
    let label = info.label();
    let memory = match guest.pid() {
        Some(pid) => GuestMemory::open(pid, &label, &info.ram_blocks),
        None => Err(MeasureError::NotReadable {
            guest: label,
            reason: match guest.uri().destination() {
                Some(_) => "it runs on another machine",
                None => "the process behind its monitor is no QEMU",
            },
        }),
    };
    match memory {
        Ok(memory) => Ok(Some(memory)),
        Err(error) if error.is_unreadable() && method == Method::Auto => {
            notes.push(format!(
                "measured by QEMU's calc-dirty-rate, which sees neither zero pages nor which pages are dirtied: {error}"
            ));
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

async fn by_pages(
    memory: GuestMemory,
    options: PageOptions,
    progress: impl FnMut(Progress) + Send + 'static,
) -> Result<Seen, MeasureError> {
    background::run("pages", move |cancel| {
        see_pages(&memory, &options, cancel, progress)
    })
    .await
}

fn see_pages(
    memory: &GuestMemory,
    options: &PageOptions,
    cancel: &AtomicBool,
    progress: impl FnMut(Progress),
) -> Result<Seen, MeasureError> {
    let (start, cpu_start) = (Instant::now(), thread_cpu_time());
    // The count may make the observation half as long again, at the same share of a core.
    let cpu_limit = options.window.mul_f64(options.budget.0 / 2.0);
    let zero = count_zero_pages(memory, cpu_limit, options.budget, options.seed, cancel)?;
    let reading = zero.cpu_time.mul_f64(CENSUS / 2.0 / options.budget.0);
    let affordable = zero.cpu_time.mul_f64(1.0 + CENSUS) <= cpu_limit;
    let census = zero.exact && affordable && reading <= LONGEST_READING;
    let rewritten = if census {
        rewritten_pages(
            memory,
            (options.window / BETWEEN_READINGS).min(LONGEST_BETWEEN),
            options.budget,
            cancel,
        )?
    } else {
        Vec::new()
    };
    let seen = watch(memory, options, &rewritten, cancel, progress)?;
    let window_ended_at = Some(jiff::Timestamp::now());
    let cpu = (thread_cpu_time() - cpu_start).as_secs_f64() / start.elapsed().as_secs_f64();

    let mut notes = seen.notes.clone();
    if !census {
        notes.push(format!(
            "no census of rewritten pages, since two readings of all memory in use take more than {} of a core allows; a longer --window or a larger --budget gives a sharper verdict near the boundary of convergence",
            options.budget
        ));
    }
    if memory.is_partial() {
        notes.push(
            "this QEMU does not say where its smaller memory blocks are; they were not seen"
                .to_owned(),
        );
    }
    if zero.swapped_pages.0 > 0 {
        notes.push(format!(
            "{} of the guest are swapped out and count as non-zero; a migration reads them back",
            zero.swapped_pages.bytes()
        ));
    }
    Ok(Seen {
        method: ObservationMethod::PageHash,
        window: Duration::from_micros(seen.history.window_us()),
        window_ended_at,
        dirty_curve: curve_of(&seen),
        page_mix: page_mix(&zero, &seen),
        cost: ObservationCost {
            pages: Pages(seen.history.pages().len() as u64),
            looks: seen.looks,
            cpu: Ratio(cpu),
        },
        page_history: Some(seen.history),
        slow_page_history: seen.slow_history,
        notes,
    })
}

/// The curve of all paces: the pace of most pages tells the size, quicker ones the shape before it.
fn curve_of(seen: &PageWatch) -> DirtyCurve {
    let fine = seen.fine_history.as_ref();
    // Pages that saw nothing have no shape to tell.
    let wrote = |history: &&PageHistory| {
        (0..history.intervals()).any(|i| history.row(i).iter().any(|w| *w > 0))
    };
    match fine.filter(wrote) {
        Some(fine) => nested_dirty_curve(fine, Some(&seen.history)),
        None => nested_dirty_curve(&seen.history, seen.slow_history.as_ref()),
    }
}

fn page_mix(zero: &ZeroCount, seen: &PageWatch) -> PageMix {
    PageMix {
        total_pages: zero.total_pages,
        zero: Some(zero.zero),
        zero_standard_error: Some(zero.standard_error),
        duplicate: seen.content.duplicate(),
        compressed: seen.content.compressed(),
        exact: zero.exact,
    }
}

async fn by_qmp(
    guest: &Guest,
    info: &GuestInfo,
    window: Duration,
    progress: impl FnMut(Progress),
) -> Result<Seen, MeasureError> {
    let sampled = calc_dirty_rate::sampled_bytes(&info.ram_blocks);
    let measured =
        calc_dirty_rate::measure(guest, &info.label(), sampled, window, progress).await?;
    let total = info.migrated_bytes().or(info.memory_bytes);
    let longest = measured.curve.points.last();
    Ok(Seen {
        method: ObservationMethod::CalcDirtyRate,
        window: longest.map_or(window, |point| point.window_ms.duration()),
        window_ended_at: None,
        page_mix: PageMix {
            total_pages: total.unwrap_or_default().pages(),
            zero: None,
            zero_standard_error: None,
            duplicate: None,
            compressed: None,
            exact: false,
        },
        page_history: None,
        slow_page_history: None,
        cost: ObservationCost {
            pages: measured.pages,
            looks: measured.windows * 2,
            // QEMU samples in a thread of its own.
            cpu: Ratio(0.0),
        },
        dirty_curve: measured.curve,
        notes: vec![
            "the share of zero pages is unknown, so traffic and time are upper bounds".to_owned(),
            "QEMU's own sampling took processor time that is not counted here".to_owned(),
        ],
    })
}
