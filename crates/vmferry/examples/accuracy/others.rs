//! What other ways of forecasting would have said of the same migration.

use vmferry::core::{ByteRate, PAGE_SIZE, Ratio};
use vmferry_precopy::dirt::CurveAmount;
use vmferry_precopy::textbook;

use crate::record::Record;

/// V / R: memory over rate.
pub(crate) fn volume_over_rate(record: &Record) -> Option<f64> {
    Some(memory(record) / stream(record).0 * 1e3)
}

/// V / (R - D), with the dirty rate over one second.
pub(crate) fn volume_over_difference(record: &Record) -> Option<f64> {
    let dirty = record
        .observation
        .dirty_curve
        .rate_over(std::time::Duration::from_secs(1));
    let left = stream(record).0 - dirty.0;
    (left > 0.0).then(|| memory(record) / left * 1e3)
}

/// The textbook simulation over the dirty curve, total time in ms.
pub(crate) fn textbook(record: &Record) -> Option<f64> {
    let mix = &record.observation.page_mix;
    let zero = mix.zero.unwrap_or(Ratio(0.0));
    let dirt = CurveAmount::new(
        record.observation.dirty_curve.clone(),
        mix.total_pages,
        zero,
    );
    let rules = textbook::Rules {
        downtime_limit: record.limits.max_downtime_ms.map(|limit| limit.duration()),
        ..textbook::Rules::default()
    };
    let replay = textbook::replay(
        &dirt,
        &rules,
        stream(record),
        record.limits.deadline_ms.duration(),
    );
    replay
        .switchover
        .is_some()
        .then_some(replay.total_time.as_secs_f64() * 1e3)
}

/// QEMU's last `expected-downtime`, ms.
pub(crate) fn expected_downtime(record: &Record) -> Option<f64> {
    record
        .outcome
        .pass_list
        .iter()
        .rev()
        .find_map(|pass| pass.expected_downtime_ms)
        .map(|ms| ms.0)
}

fn stream(record: &Record) -> ByteRate {
    record.link.stream_rate()
}

fn memory(record: &Record) -> f64 {
    (record.observation.page_mix.total_pages.0 * PAGE_SIZE.0) as f64
}
