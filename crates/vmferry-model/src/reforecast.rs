//! The forecast of what is left of a move, made in the middle of it.

use std::time::Duration;

use vmferry_core::plan::MoveLimits;
use vmferry_core::{ByteRate, Bytes, Interval, LinkSpeed, Millis, Observation, PAGE_SIZE};
use vmferry_precopy::HostCosts;
use vmferry_precopy::dirt::UnitDirt;
use vmferry_precopy::qemu::{Start, Underway};

use crate::assumptions::Assumptions;
use crate::error::ModelError;
use crate::forecast::{downtime_ms, total_ms};
use crate::sampler::{Begin, Sample, Sampler};

/// After so long the rate seen weighs as much as the rate assumed before.
const TRUST_AFTER: Duration = Duration::from_secs(2);
/// Replays behind a reforecast: it is made at every pass.
const SAMPLES: u32 = 60;

/// A move under way, as `query-migrate` tells it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// Time since the command.
    pub elapsed: Duration,
    /// Memory yet to be sent now (`ram.remaining`).
    pub remaining: Bytes,
    /// Passes so far (`dirty-sync-count`); 1 within the first.
    pub passes: u64,
    /// Bytes of stream so far (`ram.transferred`).
    pub transferred: Bytes,
    /// Time since the pass now running began.
    pub in_pass: Duration,
    /// Length of the pass before; `None` within the first.
    pub last_pass: Option<Duration>,
    /// Rate of the stream so far, bytes per second; `None` to use the link's.
    pub measured_rate: Option<ByteRate>,
}

/// The forecast of the rest of a move.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reforecast {
    /// Pass it was made at.
    pub pass: u64,
    /// Probability of converging within what is left of the deadline, 0..1.
    pub converges_probability: f64,
    /// Median time from the command to the end; `None` if hardly any replay
    /// converges.
    pub total_time_ms: Option<Millis>,
    /// Median from STOP at the source to RESUME at the destination.
    pub downtime_ms: Option<Millis>,
}

/// Forecasts what is left of a move: the replays of
/// [`forecast`](crate::forecast()), begun with what remains now instead of all
/// memory. Which pages remain is taken from the history: in the first pass
/// those not reached yet, later those written within the last pass.
///
/// # Errors
/// As for [`forecast`](crate::forecast()).
pub fn reforecast(
    observation: &Observation,
    link: &LinkSpeed,
    limits: &MoveLimits,
    assumptions: &Assumptions,
    progress: &Progress,
    seed: u64,
) -> Result<Reforecast, ModelError> {
    let assumptions = Assumptions {
        samples: assumptions.samples.min(SAMPLES),
        ..*assumptions
    };
    let mut sampler = Sampler::new(observation, link, limits, &assumptions, seed)?;
    sampler.planned.stream_rate = rate_ahead(&sampler, progress);
    sampler.after_command = progress.elapsed.as_secs_f64();
    let samples: Vec<Sample> = (0..sampler.count())
        .map(|number| sampler.sample(number, &sampler.planned, progress))
        .filter(|s| s.replay.converged_within(sampler.deadline))
        .collect();
    let probability = samples.len() as f64 / f64::from(sampler.count());
    let median = |of: fn(&Sample) -> f64| {
        let values: Vec<f64> = samples.iter().map(of).collect();
        Interval::of_samples(&values).map(|i| Millis(i.p50))
    };
    Ok(Reforecast {
        pass: progress.passes,
        converges_probability: probability,
        total_time_ms: median(total_ms),
        downtime_ms: median(downtime_ms),
    })
}

/// The stream rate to expect: what was assumed, corrected by what was seen
/// the more the longer it was seen.
fn rate_ahead(sampler: &Sampler<'_>, progress: &Progress) -> f64 {
    let assumed = sampler.planned.stream_rate;
    let Some(seen) = progress
        .measured_rate
        .filter(|r| r.0.is_finite() && r.0 > 1.0)
    else {
        return assumed;
    };
    let held = sampler.planned.rules.max_bandwidth;
    if held.is_some_and(|cap| seen.0 >= 0.95 * cap.0 && assumed > cap.0) {
        // The cap was seen, not the link.
        return assumed;
    }
    let trust = progress.elapsed.as_secs_f64() / (progress.elapsed + TRUST_AFTER).as_secs_f64();
    assumed.powf(1.0 - trust) * seen.0.powf(trust)
}

impl Begin for Progress {
    fn begin<D: UnitDirt>(&self, dirt: &D, costs: &HostCosts, rate: f64) -> Start {
        let units = dirt.units();
        let remaining = self.remaining.0 as f64 / PAGE_SIZE.0 as f64;
        let first = self.passes <= 1;
        let now = self.elapsed.as_secs_f64();
        let mut pending = if first {
            vec![1.0; units.len()]
        } else {
            written_lately(self, dirt, remaining)
        };
        // What the scan has passed is sent: drop from the front what is too much.
        let pages: f64 = units.iter().zip(&pending).map(|(u, p)| u.pages * p).sum();
        let mut surplus = (pages - remaining).max(0.0);
        let mut cursor = 0;
        for (unit, share) in units.iter().zip(&mut pending) {
            let here = unit.pages * *share;
            if here > surplus {
                *share -= surplus / unit.pages;
                break;
            }
            surplus -= here;
            *share = 0.0;
            cursor += 1;
        }
        let last_sync = if first {
            costs.setup.as_secs_f64().min(now)
        } else {
            (now - self.in_pass.as_secs_f64()).max(0.0)
        };
        Start::Underway(Underway {
            elapsed: self.elapsed,
            dirty_syncs: self.passes,
            transferred: self.transferred,
            pending,
            last_sync: Duration::from_secs_f64(last_sync),
            cursor,
            never_sent: first,
            measured_rate: ByteRate(rate),
        })
    }
}

/// Shares of the units written just before the pass now running, looking back
/// as far as it takes to find what remains.
fn written_lately<D: UnitDirt>(progress: &Progress, dirt: &D, remaining: f64) -> Vec<f64> {
    let units = dirt.units();
    let until = progress.elapsed.as_secs_f64() - progress.in_pass.as_secs_f64();
    let mut back = progress
        .last_pass
        .unwrap_or(progress.in_pass)
        .as_secs_f64()
        .max(0.05);
    let mut shares = vec![0.0; units.len()];
    let mut found = 0.0;
    for _ in 0..12 {
        found = 0.0;
        dirt.visit_dirtied(0..units.len(), until - back, until, &mut |unit, share| {
            shares[unit] = share;
            found += units[unit].pages * share;
        });
        if found >= remaining {
            return shares;
        }
        back *= 2.0;
    }
    // The guest wrote more than ever observed: spread the rest.
    let clean: f64 = units.iter().map(|u| u.pages).sum::<f64>() - found;
    if clean > 0.0 {
        let share = ((remaining - found) / clean).clamp(0.0, 1.0);
        for s in &mut shares {
            *s += (1.0 - *s) * share;
        }
    }
    shares
}
