//! The least changes with which a promise could be kept.
//!
//! A closed-form plan at the command finds about where a change suffices; trials
//! then find the least step near it that does.

use std::time::Duration;

use vmferry_core::{ByteRate, Change, Millis, Preset, Promise, Ratio, Relaxation, Throttle};
use vmferry_precopy::tuning::Settings;

use super::chosen::{policy, steered_by};
use super::curve::Curve;
use super::feasibility::{Case, TrialResult, interval, kept_share};
use super::governor::Controller;
use super::look::{Look, Stage};
use crate::error::ControlError;

/// Share of the trials that have to keep a relaxed promise. More than it takes
/// to accept one: a proposal should not stand at the edge.
const SUFFICIENT: Ratio = Ratio(0.95);
/// Ratio of neighbouring values that are tried.
const STEP: f64 = 1.1;
/// Fastest link worth proposing.
const FASTEST_LINK: ByteRate = ByteRate::from_mbit_per_s(100_000.0);
/// Most steps that trials go down from where the closed form begins to plan,
const DOWN: u32 = 2;
/// and the steps above it that they try in turn: where dirt answers less to a cap
/// than was foreseen it takes a lot more.
const UP: [u32; 7] = [1, 2, 4, 7, 12, 20, 35];

/// Finds them.
pub(super) fn relaxations(
    case: &Case<'_>,
    promise: &Promise,
) -> Result<Vec<Relaxation>, ControlError> {
    let promises = case.outlook(promise, 1.0)?.promises(promise);
    let steps = |from: f64, to: f64| ((to / from).ln() / STEP.ln()).ceil().max(0.0) as u32;
    let grown = |from: f64, step: u32| from * STEP.powi(step as i32);

    let pause = promises.max_downtime.as_secs_f64() * 1e3;
    let deadline = promises.deadline.as_secs_f64();
    // 10 ms, whole seconds, whole percent, whole Mbit/s: what people write.
    let longer = |step| Change::MaxDowntime {
        max_downtime_ms: Millis((grown(pause, step) / 10.0).ceil() * 10.0),
    };
    let later = |step| Change::Deadline {
        deadline_ms: Millis(grown(deadline, step).ceil() * 1e3),
    };
    let whole_mbit = |rate: f64| ByteRate::from_mbit_per_s(ByteRate(rate).mbit_per_s().ceil());
    let link = case.link.wire_rate.0;
    let faster = |step| Change::Link {
        bandwidth: whole_mbit(grown(link, step)),
    };
    let search = Search { case, promise };
    let mut found = vec![
        search.least(steps(pause, 1e3 * deadline / STEP), longer)?,
        search.least(steps(1.0, 10.0), later)?,
    ];
    if let Some(most) = promise.max_slowdown {
        let percent = most.percent().floor();
        let more = |step: u32| Change::MaxSlowdown {
            max_slowdown: Ratio((percent + f64::from(step)) / 100.0),
        };
        found.push(search.least((99.0 - percent).max(0.0) as u32, more)?);
    }
    if let Some(most) = promise.max_bandwidth {
        let stream = case.link.stream_rate().0;
        let raised = |step| Change::MaxBandwidth {
            max_bandwidth: whole_mbit(grown(most.0, step).min(stream)),
        };
        found.push(search.least(steps(most.0, stream), raised)?);
    }
    found.push(search.least(steps(link, FASTEST_LINK.0), faster)?);
    found.extend(search.other_ways()?.into_iter().map(Some));
    Ok(found.into_iter().flatten().collect())
}

struct Search<'a> {
    case: &'a Case<'a>,
    promise: &'a Promise,
}

impl Search<'_> {
    /// The least step from 1 to `most` whose change suffices.
    fn least(
        &self,
        most: u32,
        at: impl Fn(u32) -> Change,
    ) -> Result<Option<Relaxation>, ControlError> {
        if most == 0 || !self.is_foreseen(&at(most))? {
            return Ok(None);
        }
        let (mut fails, mut works) = (0, most);
        while works - fails > 1 {
            let middle = fails + (works - fails) / 2;
            if self.is_foreseen(&at(middle))? {
                works = middle;
            } else {
                fails = middle;
            }
        }
        if let Some(mut found) = self.verified(at(works))? {
            for step in (works.saturating_sub(DOWN).max(1)..works).rev() {
                match self.verified(at(step))? {
                    Some(less) => found = less,
                    None => break,
                }
            }
            return Ok(Some(found));
        }
        for step in UP.map(|up| works + up).into_iter().filter(|s| *s <= most) {
            let Some(mut found) = self.verified(at(step))? else {
                fails = step;
                continue;
            };
            fails = fails.max(works);
            works = step;
            while works - fails > 1 {
                let middle = fails + (works - fails) / 2;
                match self.verified(at(middle))? {
                    Some(less) => (works, found) = (middle, less),
                    None => fails = middle,
                }
            }
            return Ok(Some(found));
        }
        Ok(None)
    }

    /// What is no matter of more or less.
    fn other_ways(&self) -> Result<Vec<Relaxation>, ControlError> {
        let promise = self.promise;
        let mut found = Vec::new();
        let throttle = steered_by(promise);
        if matches!(
            throttle,
            Throttle::Curve | Throttle::Deadline | Throttle::DirtyLimit
        ) {
            let milder = Preset::ALL
                .into_iter()
                .skip_while(|policy| *policy != promise.policy)
                .skip(1);
            for policy in milder {
                if let Some(relaxation) = self.verified(Change::Policy { policy })? {
                    found.push(relaxation);
                    break;
                }
            }
        }
        if throttle != Throttle::Curve {
            let auto = Change::Throttle {
                throttle: Throttle::Auto,
            };
            let change = match steered_by(&auto.applied(promise)) {
                Throttle::Curve => auto,
                _ => Change::Throttle {
                    throttle: Throttle::Curve,
                },
            };
            found.extend(self.verified(change)?);
        }
        if !promise.allow_postcopy && self.case.assumptions.post_copy {
            found.extend(self.verified(Change::AllowPostcopy)?);
        }
        Ok(found)
    }

    fn faster(&self, change: &Change) -> f64 {
        match change {
            Change::Link { bandwidth } => bandwidth.0 / self.case.link.wire_rate.0,
            _ => 1.0,
        }
    }

    /// Whether a plan made at the command would keep the changed promise.
    fn is_foreseen(&self, change: &Change) -> Result<bool, ControlError> {
        let promise = change.applied(self.promise);
        let outlook = self.case.outlook(&promise, self.faster(change))?;
        let promises = outlook.promises(&promise);
        let mut curve = Curve::new(outlook, promises, policy(&promise));
        let look = Look {
            now: Duration::ZERO,
            stage: Stage::PreCopy,
            pass: 1,
            in_pass: Duration::ZERO,
            remaining: self.case.memory(),
            transferred: vmferry_core::Bytes(0),
            last_round: None,
            in_force: Settings {
                rate: promise.max_bandwidth,
                speed: Ratio(1.0),
            },
        };
        curve.decide(&look, Duration::ZERO);
        Ok(curve.foreseen_end().is_some())
    }

    /// The change, where trials keep the changed promise often enough.
    fn verified(&self, change: Change) -> Result<Option<Relaxation>, ControlError> {
        let promise = change.applied(self.promise);
        let faster = self.faster(&change);
        let ends = self.case.ends(&promise, faster, SUFFICIENT)?;
        if kept_share(&ends) < SUFFICIENT.0 - 1e-9 {
            return Ok(None);
        }
        let median = |of: fn(&TrialResult) -> f64| interval(&ends, of).map(|i| i.p50);
        Ok(Some(Relaxation {
            change,
            kept_probability: kept_share(&ends),
            total_time_ms: median(|end| end.total_time.0).map(Millis),
            downtime_ms: median(|end| end.downtime.map_or(f64::NAN, |d| d.0)).map(Millis),
            slowdown: median(|end| end.slowdown.0).map(Ratio),
        }))
    }
}
