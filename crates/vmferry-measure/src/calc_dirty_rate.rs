//! The dirty curve by QEMU's own hand: `calc-dirty-rate` over windows of several lengths. Coarser
//! than hashing pages from outside, but all that is left where memory cannot be read.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use vmferry_core::{Bytes, CurvePoint, DirtyCurve, Millis, Pages};
use vmferry_hypervisor::qmp::{DirtyRateMode, DirtyRateRequest, Guest};

use crate::MeasureError;
use crate::pages::Progress;

/// Pages to sample in all.
const SAMPLED_PAGES: f64 = 4096.0;

/// What QEMU accepts for `sample-pages`.
const PAGES_PER_GIB: std::ops::RangeInclusive<u64> = 128..=16384;

/// QEMU does not sample smaller blocks.
const SMALLEST_BLOCK: Bytes = Bytes::from_mib(128);

/// The longest window QEMU accepts.
const LONGEST_WINDOW: Duration = Duration::from_secs(60);

/// How long after its window a measurement may be due: hashing takes time.
const PATIENCE: Duration = Duration::from_secs(10);

/// What QEMU measured.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct QemuCurve {
    pub(crate) curve: DirtyCurve,
    pub(crate) pages: Pages,
    pub(crate) windows: u64,
}

/// Measures windows of growing length that together fit into `window`. `sampled` is the memory in
/// blocks that QEMU samples, see [`sampled_bytes`].
pub(crate) async fn measure(
    guest: &Guest,
    label: &str,
    sampled: Bytes,
    window: Duration,
    mut progress: impl FnMut(Progress),
) -> Result<QemuCurve, MeasureError> {
    if sampled == Bytes(0) {
        return Err(MeasureError::CalcDirtyRate {
            guest: label.to_owned(),
            reason: format!("it samples no memory blocks below {SMALLEST_BLOCK}"),
        });
    }
    let schema = guest.schema().await?;
    let milliseconds = schema.takes("calc-dirty-rate", "calc-time-unit");
    let windows = windows(window, milliseconds);
    let Some(first) = windows.first() else {
        return Err(MeasureError::BadOption {
            option: "window",
            problem: "is too short: this QEMU measures whole seconds; give at least 2s".to_owned(),
        });
    };
    let per_gib = (SAMPLED_PAGES / (sampled.as_mib() / 1024.0)).round() as u64;
    let per_gib = per_gib.clamp(*PAGES_PER_GIB.start(), *PAGES_PER_GIB.end());
    let pages = Pages((sampled.as_mib() / 1024.0 * per_gib as f64).round() as u64);
    let sample_pages_per_gib = schema
        .takes("calc-dirty-rate", "sample-pages")
        .then_some(per_gib);

    let start = Instant::now();
    let mut points: Vec<CurvePoint> = Vec::new();
    let mut looks = 0;
    // The first measurement after a guest's start is garbage: it is made, and thrown away.
    for (number, length) in std::iter::once(first).chain(&windows).enumerate() {
        let request = DirtyRateRequest {
            window: *length,
            mode: DirtyRateMode::PageSampling,
            sample_pages_per_gib,
        };
        let mib_per_s = one(guest, label, request).await?;
        looks += 1;
        progress(Progress {
            elapsed: start.elapsed(),
            window,
            looks,
        });
        if number > 0 {
            points.push(point(*length, mib_per_s, sampled, pages));
        }
    }
    for at in 1..points.len() {
        points[at].dirtied_bytes = points[at].dirtied_bytes.max(points[at - 1].dirtied_bytes);
    }
    Ok(QemuCurve {
        curve: DirtyCurve { points },
        pages,
        windows: looks,
    })
}

/// The part of a guest's blocks that QEMU samples.
pub(crate) fn sampled_bytes(blocks: &[vmferry_core::RamBlock]) -> Bytes {
    blocks
        .iter()
        .map(|block| block.used_bytes)
        .filter(|used| *used >= SMALLEST_BLOCK)
        .sum()
}

/// Whole seconds halving from half of the window, then parts of a second, shortest first; they fit
/// into the window with the shortest measured twice.
fn windows(window: Duration, milliseconds: bool) -> Vec<Duration> {
    let mut windows = Vec::new();
    let mut seconds = (window.as_secs() / 2).min(LONGEST_WINDOW.as_secs());
    while seconds > 0 {
        windows.push(Duration::from_secs(seconds));
        seconds /= 2;
    }
    if milliseconds {
        windows.extend([500, 250, 100].map(Duration::from_millis));
    }
    windows.reverse();
    let mut left = window.saturating_sub(windows.first().copied().unwrap_or_default());
    windows.retain(|length| match left.checked_sub(*length) {
        Some(rest) => {
            left = rest;
            true
        }
        None => false,
    });
    windows
}

async fn one(guest: &Guest, label: &str, request: DirtyRateRequest) -> Result<u64, MeasureError> {
    guest.calc_dirty_rate(request).await?;
    let start = Instant::now();
    sleep(request.window).await;
    loop {
        let answer = guest.dirty_rate().await?;
        if answer.is_measured() {
            return answer.mib_per_s.ok_or_else(|| MeasureError::CalcDirtyRate {
                guest: label.to_owned(),
                reason: format!("its answer holds no rate: {}", answer.raw),
            });
        }
        if start.elapsed() > request.window + PATIENCE {
            return Err(MeasureError::CalcDirtyRate {
                guest: label.to_owned(),
                reason: format!(
                    "it is still {} {PATIENCE:?} after its window",
                    answer.status.as_deref().unwrap_or("unfinished")
                ),
            });
        }
        // QEMU has no event for the end of a measurement.
        sleep(Duration::from_millis(20)).await;
    }
}

fn point(length: Duration, mib_per_s: u64, sampled: Bytes, pages: Pages) -> CurvePoint {
    let mib = (1u64 << 20) as f64;
    let dirtied = mib_per_s as f64 * mib * length.as_secs_f64();
    let share = (dirtied / sampled.0 as f64).clamp(0.0, 1.0);
    let of_pages = sampled.0 as f64 * (share * (1.0 - share) / pages.0.max(1) as f64).sqrt();
    // QEMU gives whole MiB/s.
    let of_rounding = mib * length.as_secs_f64() / 12f64.sqrt();
    CurvePoint {
        window_ms: Millis::from(length),
        dirtied_bytes: Bytes(dirtied.min(sampled.0 as f64) as u64),
        standard_error_bytes: Bytes(of_pages.hypot(of_rounding) as u64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_fit_into_the_window() {
        let ms = |window, fine| -> Vec<u128> {
            windows(Duration::from_millis(window), fine)
                .iter()
                .map(Duration::as_millis)
                .collect()
        };
        assert_eq!(ms(10_000, true), [100, 250, 500, 1000, 2000, 5000]);
        assert_eq!(ms(10_000, false), [1000, 2000, 5000]);
        assert_eq!(ms(1_000, true), [100, 250, 500]);
        assert_eq!(ms(2_000, false), [1000]);
        assert!(ms(1_900, false).is_empty());
        assert_eq!(ms(600_000, false).last(), Some(&60_000));
        for window in (200..70_000).step_by(111) {
            let lengths = ms(window, true);
            let with_the_first_twice = lengths.iter().sum::<u128>() + lengths[0];
            assert!(with_the_first_twice <= u128::from(window), "{window}");
        }
    }

    #[test]
    fn a_rate_becomes_bytes_with_an_error() {
        let point = point(
            Duration::from_millis(500),
            100,
            Bytes::from_mib(256),
            Pages(4096),
        );
        assert_eq!(point.dirtied_bytes, Bytes::from_mib(50));
        let error = point.standard_error_bytes.as_mib();
        assert!((1.4..1.8).contains(&error), "{error}");
    }
}
