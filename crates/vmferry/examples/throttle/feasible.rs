//! Which promises can be kept at all: a search over the dirt that was recorded of each guest, by
//! QEMU's rules page by page, beside what `curve` makes of the same dirt.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use vmferry::core::{ByteRate, LinkSpeed, Millis, Observation, Promise, Ratio};
use vmferry::model::analysis::curve_fit::extended;
use vmferry::model::{Assumptions, at_one_pace};
use vmferry_control::throttle::trial::{Trial, TrialEnd, TrialOutcome};
use vmferry_control::throttle::{
    Controller, Governor, Known, Look, ObservedOutlook, Outlook, Policy, Promises, Steersman, Wish,
    promise_forecast,
};
use vmferry_precopy::HostCosts;
use vmferry_precopy::dirt::Recording;

use crate::cells::{GUESTS, MAX_DOWNTIME_MS, Part};
use crate::record::Record;
use crate::run::Fault;
use crate::steering::Steering;

/// Pauses that are tried, ms; the bench's own among them.
const PAUSES_MS: [f64; 3] = [100.0, MAX_DOWNTIME_MS, 1000.0];
/// Times that are tried, as shares of the bench's own.
const TIMES: [f64; 3] = [0.35, 0.6, 1.0];
/// Of the draws behind an acceptance.
const SEED: u64 = 1;
/// Caps that the search tries, from none to the floor of `balanced` and of `jin2011`.
const SHARES: [f64; 17] = [
    1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6, 0.55, 0.5, 0.45, 0.4, 0.35, 0.3, 0.25, 0.2,
];
/// When the cap begins, s from the command.
const SINCE_S: [f64; 6] = [0.0, 3.0, 6.0, 10.0, 20.0, 30.0];

/// One promise for one guest.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Verdict {
    pub(crate) guest: String,
    pub(crate) max_downtime_ms: f64,
    pub(crate) within_s: f64,
    /// The cap that keeps the promise and loses least; `None` where none keeps it.
    pub(crate) cap: Option<Cap>,
    /// Whether `vmferry migrate --throttle curve` would begin the move.
    #[serde(default)]
    pub(crate) accepted: bool,
    /// How `curve` ends over the same dirt.
    pub(crate) curve: CurveEnd,
    /// What the steps of `curve` took.
    pub(crate) steps: Steps,
}

/// A cap from an instant on.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Cap {
    pub(crate) share: f64,
    pub(crate) since_s: f64,
    pub(crate) lost_s: f64,
}

/// How `curve` ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum CurveEnd {
    /// Within the promise.
    Kept,
    /// It moved the guest, and not as promised.
    Missed,
    /// It gave up on the way.
    GaveUp,
}

/// What asking a controller takes.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Steps {
    pub(crate) count: usize,
    pub(crate) total_us: f64,
    pub(crate) median_us: f64,
    /// 99 of 100 took no longer.
    pub(crate) p99_us: f64,
    pub(crate) longest_us: f64,
    /// From the command to the end, by the replay's clock.
    pub(crate) over_s: f64,
}

/// Searches, for every guest that was observed: before a move under `curve`, or before another
/// where there is none. The first such record of a guest counts.
pub(crate) fn search(records: &[Record]) -> Result<Vec<Verdict>, Fault> {
    let mut verdicts = Vec::new();
    for kind in GUESTS {
        let of = |record: &&Record| {
            record.cell.part == Part::Guests
                && record.cell.guest == kind.name
                && record.cell.is_current()
                && record.observation.is_some()
        };
        let by_curve = |record: &&&Record| record.cell.steering == Steering::CURVE;
        let observed: Vec<&Record> = records.iter().filter(of).collect();
        let Some(record) = observed.iter().find(by_curve).or(observed.first()) else {
            continue;
        };
        let (Some(observation), Some(link)) = (&record.observation, &record.link) else {
            continue;
        };
        let Some(guest) = Replayed::new(observation, link) else {
            continue;
        };
        for pause in PAUSES_MS {
            for time in TIMES {
                let within_s = record.cell.within_s * time;
                verdicts.push(guest.verdict(kind.name, pause, within_s)?);
            }
        }
    }
    Ok(verdicts)
}

/// The verdicts that were kept; none where nothing was searched yet.
pub(crate) fn read(path: &Path) -> Result<Vec<Verdict>, Fault> {
    match fs::read(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        bytes => Ok(serde_json::from_slice(&bytes?)?),
    }
}

/// Keeps verdicts.
pub(crate) fn write(path: &Path, verdicts: &[Verdict]) -> Result<(), Fault> {
    Ok(fs::write(path, serde_json::to_vec_pretty(verdicts)?)?)
}

/// A guest as it was observed, to be moved by replay.
struct Replayed<'a> {
    observation: &'a Observation,
    link: &'a LinkSpeed,
    assumptions: Assumptions,
    recording: Recording<'static>,
}

impl<'a> Replayed<'a> {
    /// `None` where no pages were seen.
    fn new(observation: &'a Observation, link: &'a LinkSpeed) -> Option<Self> {
        let history = at_one_pace(observation.clone()).page_history?;
        let memory = observation.page_mix.total_pages.bytes();
        let recording =
            Recording::owning(history)?.extended_by(extended(&observation.dirty_curve, memory));
        let mut assumptions = Assumptions::for_guest(&observation.guest);
        // As the bench sets it: no limit but the link.
        assumptions.rules.max_bandwidth = Some(ByteRate(1e9));
        Some(Self {
            observation,
            link,
            assumptions,
            recording,
        })
    }

    fn trial(&self, within: Duration) -> Trial {
        let rate = self.link.stream_rate();
        let assumptions = &self.assumptions;
        let middle = |(least, most): (Duration, Duration)| (least + most) / 2;
        Trial {
            rules: assumptions.rules,
            costs: HostCosts {
                device_save: middle(assumptions.device_save),
                destination_start: middle(assumptions.destination_start),
                socket_buffer: assumptions.socket_fill.at(rate),
                ..assumptions.costs
            },
            link: rate,
            link_changes: Vec::new(),
            elasticity: 1.0,
            forced_after: within,
            disturbance: None,
        }
    }

    fn run<C: Controller>(&self, within: Duration, governor: &mut Governor<C>) -> TrialOutcome {
        let units = self.recording.units().to_vec();
        let dirt = self.recording.replayed(0.0, 1.0, units);
        self.trial(within).run(dirt, governor)
    }

    fn verdict(&self, guest: &str, pause_ms: f64, within_s: f64) -> Result<Verdict, Fault> {
        let within = Duration::from_secs_f64(within_s);
        let promise = Steering::CURVE.promise(Millis(pause_ms), Millis(within_s * 1e3));
        let (curve, steps) = self.by_curve(&promise, within)?;
        Ok(Verdict {
            guest: guest.to_owned(),
            max_downtime_ms: pause_ms,
            within_s,
            cap: self.least_cap(&promise, within)?,
            accepted: self.accepts(&promise)?,
            curve,
            steps,
        })
    }

    fn accepts(&self, promise: &Promise) -> Result<bool, Fault> {
        let (link, assumptions) = (self.link, &self.assumptions);
        let told = promise_forecast(self.observation, link, assumptions, promise, SEED)?;
        Ok(told.accepted)
    }

    /// As `vmferry migrate --throttle curve` would steer it.
    fn by_curve(&self, promise: &Promise, within: Duration) -> Result<(CurveEnd, Steps), Fault> {
        let known = Known {
            observation: self.observation,
            link: self.link,
            assumptions: &self.assumptions,
        };
        let steersman = Steersman::of(promise, &self.assumptions.rules, Some(known))?;
        let timed = Timed {
            controller: steersman.controller,
            took_us: Vec::new(),
        };
        let mut governor = Governor::new(timed, steersman.promises, steersman.outside);
        let outcome = self.run(within, &mut governor);
        let end = match outcome.end {
            _ if keeps(&outcome, promise, within) => CurveEnd::Kept,
            TrialEnd::GaveUp(_) => CurveEnd::GaveUp,
            _ => CurveEnd::Missed,
        };
        let steps = Steps {
            over_s: outcome.total_time.as_secs_f64(),
            ..governor.controller().steps()
        };
        Ok((end, steps))
    }

    fn least_cap(&self, promise: &Promise, within: Duration) -> Result<Option<Cap>, Fault> {
        let (rules, link) = (&self.assumptions, self.link);
        let outlook = ObservedOutlook::new(self.observation, link, rules, within * 2)?;
        let outside = outlook.outside();
        let floor = Policy::from(promise.policy).least_share.0;
        let mut best: Option<Cap> = None;
        for since_s in SINCE_S.into_iter().filter(|s| *s < within.as_secs_f64()) {
            for share in SHARES.into_iter().filter(|share| *share >= floor) {
                // No cap is the same whenever it begins.
                if share == 1.0 && since_s > 0.0 {
                    continue;
                }
                let since = Duration::from_secs_f64(since_s);
                let cap = Constant {
                    share: Ratio(share),
                    since,
                };
                let mut governor = Governor::new(cap, Promises::from(promise), outside);
                let outcome = self.run(within, &mut governor);
                if !keeps(&outcome, promise, within) {
                    continue;
                }
                let lost_s = outcome.lost.as_secs_f64();
                if best.is_none_or(|best| lost_s < best.lost_s) {
                    best = Some(Cap {
                        share,
                        since_s,
                        lost_s,
                    });
                }
                // A deeper cap from then on keeps it too, and loses more.
                break;
            }
        }
        Ok(best)
    }
}

fn keeps(outcome: &TrialOutcome, promise: &Promise, within: Duration) -> bool {
    let most = promise.max_downtime_ms.map(Millis::duration);
    outcome.end == TrialEnd::SwitchedOver
        && outcome.total_time <= within
        && outcome
            .downtime
            .zip(most)
            .is_some_and(|(was, most)| was <= most)
}

/// The same cap from an instant on.
struct Constant {
    share: Ratio,
    since: Duration,
}

impl Controller for Constant {
    fn decide(&mut self, look: &Look, _: Duration) -> Wish {
        let share = if look.now >= self.since {
            self.share
        } else {
            Ratio(1.0)
        };
        Wish {
            share,
            ..Wish::default()
        }
    }
}

/// A controller whose answers are timed.
struct Timed<C> {
    controller: C,
    took_us: Vec<f64>,
}

impl<C> Timed<C> {
    fn steps(&self) -> Steps {
        let mut sorted = self.took_us.clone();
        sorted.sort_by(f64::total_cmp);
        let at = |q: f64| {
            let last = sorted.len().saturating_sub(1);
            sorted.get((q * last as f64).round() as usize).copied()
        };
        Steps {
            count: sorted.len(),
            total_us: sorted.iter().sum(),
            median_us: at(0.5).unwrap_or_default(),
            p99_us: at(0.99).unwrap_or_default(),
            longest_us: at(1.0).unwrap_or_default(),
            over_s: 0.0,
        }
    }
}

impl<C: Controller> Controller for Timed<C> {
    fn decide(&mut self, look: &Look, lost: Duration) -> Wish {
        let asked = Instant::now();
        let wish = self.controller.decide(look, lost);
        self.took_us.push(asked.elapsed().as_secs_f64() * 1e6);
        wish
    }

    fn foreseen_end(&self) -> Option<Duration> {
        self.controller.foreseen_end()
    }

    fn cannot_cap(&mut self) {
        self.controller.cannot_cap();
    }
}
