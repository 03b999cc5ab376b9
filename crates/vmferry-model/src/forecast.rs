//! The forecast of a move before it starts.

use vmferry_core::plan::MoveLimits;
use vmferry_core::{
    Bytes, Forecast, Interval, LinkSpeed, Millis, ModelInfo, Observation, PAGE_SIZE, Ratio,
};

use crate::assumptions::Assumptions;
use crate::error::ModelError;
use crate::remedies::{SUFFICIENT_PROBABILITY, remedies};
use crate::sampler::{AtCommand, Sample, Sampler};

/// Version of the model's arithmetic: records of different versions do not
/// compare.
pub const MODEL_VERSION: u32 = 1;

/// Names under which our own forecasts are recorded.
pub(crate) const OURS: [&str; 2] = ["pages", "curve"];

/// Quantities are given where at least this share of the moves ends in time.
pub(crate) const SPEAKABLE_PROBABILITY: f64 = 0.05;
/// A unit of sampled memory above this share of the threshold is too coarse:
/// passes then differ by luck more than in a real guest, and luck converges
/// (one guest near the edge was forecast at 89 % with 4 % and did not).
const COARSE: f64 = 0.02;

/// What a move will cost: replays of the hypervisor's rules over what was
/// observed (HIST of `akoush2010`, with QEMU's rules in place of Xen's).
///
/// Each of [`Assumptions::samples`] replays starts at its own place in the
/// window and draws anew: weights of the sampled pages (Bayesian bootstrap),
/// link rate, share of zero pages, the destination's start and the overhead.
/// The same arguments give the same forecast.
///
/// # Errors
/// When the observation holds too little, or link or limits make no sense.
pub fn forecast(
    observation: &Observation,
    link: &LinkSpeed,
    limits: &MoveLimits,
    assumptions: &Assumptions,
    seed: u64,
) -> Result<Forecast, ModelError> {
    made((observation, link, limits, assumptions), seed, true)
}

/// What a forecast is made from.
pub(crate) type Known<'a> = (
    &'a Observation,
    &'a LinkSpeed,
    &'a MoveLimits,
    &'a Assumptions,
);

/// The forecast; remedies of a move that does not converge take longer than all
/// else and may be left out.
pub(crate) fn made(
    (observation, link, limits, assumptions): Known<'_>,
    seed: u64,
    with_remedies: bool,
) -> Result<Forecast, ModelError> {
    let sampler = Sampler::new(observation, link, limits, assumptions, seed)?;
    let samples: Vec<Sample> = (0..sampler.count())
        .map(|number| sampler.sample(number, &sampler.planned, &AtCommand))
        .collect();
    let converged: Vec<&Sample> = samples
        .iter()
        .filter(|s| s.replay.converged_within(sampler.deadline))
        .collect();
    let probability = converged.len() as f64 / samples.len() as f64;
    let interval = |of: &dyn Fn(&Sample) -> f64| {
        let values: Vec<f64> = converged.iter().map(|s| of(s)).collect();
        (probability >= SPEAKABLE_PROBABILITY)
            .then(|| Interval::of_samples(&values))
            .flatten()
    };
    let bytes = |i: Interval<f64>| i.map(|b| Bytes(b.round() as u64));
    let transferred = |s: &Sample| s.replay.transferred.0 as f64;

    let mut notes = notes(observation, &sampler, &samples);
    notes.push(match assumptions.learned_from {
        0 => "Nothing learned yet of link, sockets and dirt from earlier moves over this route."
            .to_owned(),
        1 => "Link, sockets and dirt as learned from one earlier move over this route.".to_owned(),
        n => format!("Link, sockets and dirt as learned from {n} earlier moves over this route."),
    });
    let remedies = if with_remedies && probability < SUFFICIENT_PROBABILITY {
        let (found, note) = remedies(&sampler, link);
        notes.extend(note);
        found
    } else {
        Vec::new()
    };
    Ok(Forecast {
        converges_probability: probability,
        deadline_ms: limits.deadline_ms,
        total_time_ms: interval(&total_ms).map(|i| i.map(Millis)),
        downtime_ms: interval(&downtime_ms).map(|i| i.map(Millis)),
        qemu_downtime_ms: interval(&qemu_downtime_ms).map(|i| i.map(Millis)),
        transferred_bytes: interval(&transferred).map(bytes),
        wire_bytes: interval(&|s| transferred(s) / link.efficiency.0).map(bytes),
        slowdown: interval(&slowdown).map(|i| i.map(Ratio)),
        passes: interval(&|s| s.replay.dirty_syncs as f64),
        remedies,
        observation: observation.summary(),
        model: ModelInfo {
            name: OURS[usize::from(sampler.recording().is_none())].to_owned(),
            version: MODEL_VERSION,
            rules: "qemu".to_owned(),
            samples: sampler.count(),
            wire_rate_bytes_per_s: link.wire_rate.0,
            max_downtime_ms: sampler.planned.rules.downtime_limit.into(),
            dirt_factor: assumptions.dirt.median,
            uncorrected: None,
            notes,
        },
    })
}

pub(crate) fn total_ms(sample: &Sample) -> f64 {
    Millis::from(sample.replay.total_time).0
}

pub(crate) fn downtime_ms(sample: &Sample) -> f64 {
    sample
        .replay
        .switchover
        .map_or(f64::NAN, |s| Millis::from(s.downtime).0)
}

fn qemu_downtime_ms(sample: &Sample) -> f64 {
    sample
        .replay
        .switchover
        .map_or(f64::NAN, |s| Millis::from(s.qemu_downtime).0)
}

/// Share of the guest's work lost from the command to the end: all of it
/// while it is stopped, the migration's overhead while it runs (`jin2011`
/// eq. 6-7 with equal use before and after).
fn slowdown(sample: &Sample) -> f64 {
    let total = total_ms(sample).max(1.0);
    let stopped = (downtime_ms(sample) / total).clamp(0.0, 1.0);
    stopped + sample.overhead * (1.0 - stopped)
}

fn notes(observation: &Observation, sampler: &Sampler<'_>, samples: &[Sample]) -> Vec<String> {
    let mut notes = Vec::new();
    let rules = &sampler.planned.rules;
    let rate = rules
        .max_bandwidth
        .map_or(sampler.planned.stream_rate, |cap| {
            cap.0.min(sampler.planned.stream_rate)
        });
    if let Some(cap) = rules.max_bandwidth
        && cap.0 < sampler.planned.stream_rate
    {
        notes.push(format!(
            "max-bandwidth of {cap} holds the stream below what the link carries; raise it with --max-bandwidth."
        ));
    }
    if observation.page_mix.zero.is_none() {
        notes.push(
            "The share of zero pages is unknown; anything from none to nine tenths was assumed."
                .to_owned(),
        );
    }
    let window_ms = observation.window_ms.0;
    let mut first: Vec<f64> = samples
        .iter()
        .filter_map(|s| s.replay.passes.get(1))
        .map(|pass| Millis::from(pass.start).0)
        .collect();
    first.sort_by(f64::total_cmp);
    let first = first.get(first.len() / 2).copied();
    if let Some(first) = first
        && first > window_ms
    {
        notes.push(format!(
            "The first pass takes about {} but the guest was watched for {}; what it writes beyond that is extrapolated: measure with a longer --window.",
            Millis(first),
            Millis(window_ms)
        ));
    }
    if sampler.knows_the_place() {
        notes.push(
            "The guest goes round; the forecast is for a command given now, at its place in the round."
                .to_owned(),
        );
    }
    if let Some(change) = sampler.drift() {
        notes.push(format!(
            "The guest wrote {:.1} times as much at the end of the window as at its beginning; the forecast allows for this to go on, or to turn back.",
            change.exp()
        ));
    }
    match sampler.recording() {
        None => notes.push(
            "No page history: the forecast follows the dirty curve alone and cannot know which pages are written again."
                .to_owned(),
        ),
        Some(recording) => {
            let unit = observation.page_mix.total_pages.0 as f64 / recording.units().len() as f64
                * PAGE_SIZE.0 as f64;
            let threshold = rate * rules.downtime_limit.as_secs_f64();
            if unit > COARSE * threshold {
                notes.push(format!(
                    "Each sampled page stands for {} while {} may remain at the switchover; sample more pages for a sharper verdict on convergence.",
                    Bytes(unit as u64),
                    Bytes(threshold as u64)
                ));
            }
        }
    }
    notes
}
