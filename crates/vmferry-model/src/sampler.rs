//! Many replays, each with its own draw of what is not known.

use std::time::Duration;

use vmferry_core::plan::MoveLimits;
use vmferry_core::{
    ByteRate, Bytes, COUNTED_WEIGHT, DirtyCurve, LinkSpeed, Observation, PageMix, Pages, Ratio,
};
use vmferry_precopy::dirt::{CurveDirt, Dirt, PageTrace, RecordedDirt, Recording, Unit, UnitDirt};
use vmferry_precopy::postcopy::{self, PostCopy};
use vmferry_precopy::qemu::{self, Rules, Start};
use vmferry_precopy::{HostCosts, Replay, RuleSet};

use crate::analysis::curve_fit::extended;
use crate::analysis::drift;
use crate::assumptions::Assumptions;
use crate::cycle::{Cycle, VAGUE_S};
use crate::draws::Draws;
use crate::error::ModelError;
use crate::merged_history::merged;

/// Relative standard deviation of a dirty curve without pages behind it: how
/// far `calc-dirty-rate` and a later migration differ is not better known.
const CURVE_SD: f64 = 0.25;
/// Range of the zero share where it is unknown.
const UNKNOWN_ZERO: (f64, f64) = (0.0, 0.9);

/// What is tried: the move as planned, or with one remedy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scenario {
    pub(crate) rules: Rules,
    /// Stream rate before noise, bytes per second.
    pub(crate) stream_rate: f64,
    /// Speed of the guest, 1 as observed.
    pub(crate) speed: f64,
    /// Memory of the guest, where another is assumed than was observed: what
    /// was never written shrinks or grows, with its share of zero pages.
    pub(crate) memory: Option<Pages>,
}

/// What one draw assumes.
struct Drawn {
    /// For what is drawn beside.
    draws: Draws,
    /// Stream rate of the link, bytes per second.
    rate: f64,
    costs: HostCosts,
    speed: f64,
    overhead: f64,
    /// Share of zero pages in the memory observed.
    zero: f64,
}

/// One replay with what its draw says beside it.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) replay: Replay,
    /// Share of the guest's speed the running migration takes.
    pub(crate) overhead: f64,
}

/// Where the dirt comes from.
enum Source<'a> {
    Pages {
        recording: Box<Recording<'a>>,
        /// Zero pages when the window began.
        zero: Vec<bool>,
        /// How the guest's writing changed within the window, as a logarithm; `None` where it
        /// did not.
        drift: Option<f64>,
        /// Where in its round the guest is at the command, where that is known.
        cycle: Option<Cycle>,
    },
    Curve(&'a DirtyCurve),
}

/// Everything that the samples of one forecast share.
pub(crate) struct Sampler<'a> {
    source: Source<'a>,
    mix: &'a PageMix,
    link: &'a LinkSpeed,
    assumptions: &'a Assumptions,
    /// Least and greatest share of the guest's speed a running migration takes.
    overhead: (f64, f64),
    seed: u64,
    pub(crate) deadline: Duration,
    pub(crate) planned: Scenario,
    /// How long after the command the replays begin, seconds.
    pub(crate) after_command: f64,
}

/// Begins a replay once its dirt is known; the number is the stream rate.
pub(crate) trait Begin {
    /// The state to start from.
    fn begin<D: UnitDirt>(&self, dirt: &D, costs: &HostCosts, rate: f64) -> Start;
}

/// Begins at the command.
pub(crate) struct AtCommand;

impl Begin for AtCommand {
    fn begin<D: UnitDirt>(&self, _: &D, _: &HostCosts, _: f64) -> Start {
        Start::Command
    }
}

/// What is done with the dirt, the hosts' costs and the link's rate of a draw.
pub trait Play {
    /// What comes of it.
    type Played;
    /// Moves the guest; `rate` is that of the stream.
    fn play<D: UnitDirt>(&self, dirt: D, costs: &HostCosts, rate: ByteRate) -> Self::Played;
}

struct PreCopy<'a, B> {
    rules: &'a Rules,
    begin: &'a B,
    deadline: Duration,
}

impl<B: Begin> Play for PreCopy<'_, B> {
    type Played = Replay;
    fn play<D: UnitDirt>(&self, dirt: D, costs: &HostCosts, rate: ByteRate) -> Replay {
        let start = self.begin.begin(&dirt, costs, rate.0);
        qemu::replay(&dirt, self.rules, costs, rate, &start, self.deadline)
    }
}

/// Any hypervisor's pre-copy, from its command.
struct Any<'a> {
    rules: &'a RuleSet,
    /// `max-bandwidth`, of which QEMU's rules know themselves.
    cap: Option<ByteRate>,
    deadline: Duration,
}

impl Any<'_> {
    fn replay<D: Dirt>(&self, dirt: &D, costs: &HostCosts, rate: ByteRate) -> Replay {
        let rate = match (self.rules, self.cap) {
            (RuleSet::Qemu(_), _) | (_, None) => rate,
            (_, Some(cap)) => ByteRate(rate.0.min(cap.0)),
        };
        self.rules.replay(dirt, costs, rate, self.deadline)
    }
}

impl Play for Any<'_> {
    type Played = Replay;
    fn play<D: UnitDirt>(&self, dirt: D, costs: &HostCosts, rate: ByteRate) -> Replay {
        self.replay(&dirt, costs, rate)
    }
}

impl Play for postcopy::Rules {
    type Played = PostCopy;
    fn play<D: UnitDirt>(&self, dirt: D, costs: &HostCosts, rate: ByteRate) -> PostCopy {
        postcopy::replay(&dirt, self, costs, rate)
    }
}

impl<'a> Sampler<'a> {
    pub(crate) fn new(
        observation: &'a Observation,
        link: &'a LinkSpeed,
        limits: &MoveLimits,
        assumptions: &'a Assumptions,
        seed: u64,
    ) -> Result<Self, ModelError> {
        let rate = link.stream_rate().0;
        if !(rate.is_finite() && rate >= 1.0) {
            return Err(ModelError::BadLink {
                wire_rate_bytes_per_s: link.wire_rate.0,
                efficiency: link.efficiency.0,
            });
        }
        let positive = |what, value_ms: f64| {
            if value_ms.is_finite() && value_ms > 0.0 {
                Ok(())
            } else {
                Err(ModelError::BadLimit { what, value_ms })
            }
        };
        positive("a deadline", limits.deadline_ms.0)?;
        if let Some(limit) = limits.max_downtime_ms {
            positive("a downtime limit", limit.0)?;
        }
        let guest = || observation.guest.label();
        if observation.page_mix.total_pages.0 == 0 {
            return Err(ModelError::NoMemory { guest: guest() });
        }
        let history = observation.page_history.as_ref();
        let slow = observation.slow_page_history.as_ref();
        let merged = history.zip(slow).and_then(|(h, slow)| merged(h, slow));
        let (ended, command) = (observation.window_ended_at, assumptions.command_at);
        let cycle = history.and_then(|history| Cycle::of(history, ended, command));
        let recording = match (merged, &cycle) {
            (Some(merged), Some(cycle)) => Recording::owning(cycle.whole_rounds(&merged)),
            (Some(merged), None) => Recording::owning(merged),
            (None, Some(cycle)) => {
                history.and_then(|history| Recording::owning(cycle.whole_rounds(history)))
            }
            (None, None) => history.and_then(Recording::new),
        };
        let source = match recording {
            Some(recording) => Source::Pages {
                zero: recording.history().pages().iter().map(|p| p.zero).collect(),
                drift: history.and_then(drift::drift),
                cycle,
                recording: Box::new(recording.extended_by(extended(
                    &observation.dirty_curve,
                    observation.page_mix.total_pages.bytes(),
                ))),
            },
            None if observation.dirty_curve.points.is_empty() => {
                return Err(ModelError::TooLittleData { guest: guest() });
            }
            None => Source::Curve(&observation.dirty_curve),
        };
        Ok(Self {
            source,
            mix: &observation.page_mix,
            link,
            assumptions,
            overhead: assumptions.overhead_at(observation.vcpu_use, observation.guest.vcpus),
            seed,
            deadline: limits.deadline_ms.duration(),
            planned: Scenario {
                rules: assumptions.rules_under(limits),
                stream_rate: rate,
                speed: 1.0,
                memory: None,
            },
            after_command: 0.0,
        })
    }

    /// Number of samples in a forecast.
    pub(crate) fn count(&self) -> u32 {
        self.assumptions.samples.max(1)
    }

    /// Whether post-copy may be proposed.
    pub(crate) fn may_post_copy(&self) -> bool {
        self.assumptions.post_copy
    }

    /// The recording, where pages were seen.
    pub(crate) fn recording(&self) -> Option<&Recording<'a>> {
        match &self.source {
            Source::Pages { recording, .. } => Some(recording),
            Source::Curve(_) => None,
        }
    }

    /// How the guest's writing changed within the window, as a logarithm of the end over the
    /// beginning; `None` where it did not.
    pub(crate) fn drift(&self) -> Option<f64> {
        match &self.source {
            Source::Pages { drift, .. } => *drift,
            Source::Curve(_) => None,
        }
    }

    /// Whether replays begin at the guest's place in its round.
    pub(crate) fn knows_the_place(&self) -> bool {
        matches!(&self.source, Source::Pages { cycle: Some(_), .. })
    }

    /// Replay `number` of a scenario. Every scenario sees the same draws, so
    /// that two differ by what was changed and not by luck.
    pub(crate) fn sample(&self, number: u32, scenario: &Scenario, begin: &impl Begin) -> Sample {
        let rules = &scenario.rules;
        let deadline = self.deadline;
        let play = PreCopy {
            rules,
            begin,
            deadline,
        };
        let (replay, overhead) = self.played(number, scenario, &play);
        Sample { replay, overhead }
    }

    /// Replay `number` of a scenario by post-copy.
    pub(crate) fn by_post_copy(&self, number: u32, scenario: &Scenario) -> PostCopy {
        let rules = postcopy::Rules {
            max_bandwidth: scenario.rules.max_bandwidth,
            ..postcopy::Rules::default()
        };
        self.played(number, scenario, &rules).0
    }

    /// Replay `number` of a scenario by any hypervisor's rules.
    pub(crate) fn by_rules(&self, number: u32, scenario: &Scenario, rules: &RuleSet) -> Replay {
        let any = self.any(scenario, rules);
        self.played(number, scenario, &any).0
    }

    /// The same over a trace of the whole guest, of which every page is known.
    pub(crate) fn over_trace(
        &self,
        number: u32,
        scenario: &Scenario,
        rules: &RuleSet,
        trace: &PageTrace,
    ) -> Replay {
        let mut drawn = self.drawn(number, scenario);
        let offset = self.place(number, &mut drawn.draws) * trace.window();
        let dirt = trace.replayed(offset, drawn.speed);
        let any = self.any(scenario, rules);
        any.replay(&dirt, &drawn.costs, ByteRate(drawn.rate))
    }

    fn any<'b>(&self, scenario: &Scenario, rules: &'b RuleSet) -> Any<'b> {
        Any {
            rules,
            cap: scenario.rules.max_bandwidth,
            deadline: self.deadline,
        }
    }

    /// Where a replay starts, 0..1: starts are spread over the whole window.
    fn place(&self, number: u32, draws: &mut Draws) -> f64 {
        ((f64::from(number) + draws.uniform()) / f64::from(self.count())).fract()
    }

    /// What draw `number` assumes.
    fn drawn(&self, number: u32, scenario: &Scenario) -> Drawn {
        let mut draws = Draws::of_sample(self.seed, number);
        let noise = 1.0 + self.link.relative_sd.0.max(0.0) * draws.normal();
        let known = self.assumptions.link_rate.drawn(draws.normal());
        let rate = scenario.stream_rate * noise.max(0.1) * known;
        let (least, most) = self.assumptions.destination_start;
        let start = draws.between(least.as_secs_f64(), most.as_secs_f64());
        let (least, most) = self.assumptions.device_save;
        let save = draws.between(least.as_secs_f64(), most.as_secs_f64());
        let (low, high) = self.overhead;
        let overhead = draws.between(low, high);
        let fill = self.assumptions.socket_fill;
        let speed = scenario.speed * self.assumptions.dirt.drawn(draws.normal());
        let mut costs = HostCosts {
            device_save: Duration::from_secs_f64(save),
            destination_start: Duration::from_secs_f64(start),
            socket_buffer: fill.drawn(rate, draws.normal()),
            ..self.assumptions.costs
        };
        let zero = self.zero_share(&mut draws);
        let (least, most) = self.assumptions.socket_wake;
        costs.socket_wake = Bytes(draws.between(least.0 as f64, most.0 as f64) as u64);
        Drawn {
            draws,
            rate,
            costs,
            speed,
            overhead,
            zero,
        }
    }

    /// What comes of draw `number`, with the overhead drawn.
    pub(crate) fn played<P: Play>(
        &self,
        number: u32,
        scenario: &Scenario,
        play: &P,
    ) -> (P::Played, f64) {
        let Drawn {
            mut draws,
            rate,
            costs,
            speed,
            overhead,
            zero,
        } = self.drawn(number, scenario);
        let played = match &self.source {
            Source::Pages {
                recording,
                zero: flags,
                drift,
                cycle,
            } => {
                let place = self.place(number, &mut draws);
                let offset = match cycle {
                    // Every place between the least and the latest is as likely.
                    Some(cycle) => {
                        let vague = draws.between(-VAGUE_S, VAGUE_S);
                        cycle.start(number, vague + self.after_command)
                    }
                    None => place * recording.window(),
                };
                let mut units = self.weighed(recording, flags, zero, &mut draws);
                if let Some(memory) = scenario.memory {
                    resize(&mut units, recording.never_written(), memory);
                }
                let speed = match drift {
                    Some(change) => speed * drift::factor(*change, draws.uniform()),
                    None => speed,
                };
                let dirt: RecordedDirt<'_> = recording.replayed(offset, speed, units);
                play.play(dirt, &costs, ByteRate(rate))
            }
            Source::Curve(curve) => {
                let factor = (CURVE_SD * draws.normal()).exp();
                let observed = self.mix.total_pages;
                let memory = scenario.memory.unwrap_or(observed);
                let zero = resized_zero(Ratio(zero), written(curve), observed, memory);
                let mut curve = (*curve).clone();
                for point in &mut curve.points {
                    point.dirtied_bytes = point.dirtied_bytes * Ratio(factor);
                }
                let dirt = CurveDirt::new(&curve, memory, zero, speed);
                play.play(dirt, &costs, ByteRate(rate))
            }
        };
        (played, overhead)
    }

    /// Draws the share of zero pages.
    fn zero_share(&self, draws: &mut Draws) -> f64 {
        let (normal, any) = (
            draws.normal(),
            draws.between(UNKNOWN_ZERO.0, UNKNOWN_ZERO.1),
        );
        match self.mix.zero {
            Some(zero) if self.mix.exact => zero.0,
            Some(zero) => {
                let error = self.mix.zero_standard_error.map_or(0.0, |e| e.0);
                zero.0 + error * normal
            }
            None => any,
        }
        .clamp(0.0, 1.0)
    }

    /// The recorded units with bootstrap weights, made to agree with the whole
    /// memory and the share of zero pages.
    fn weighed(
        &self,
        recording: &Recording<'_>,
        flags: &[bool],
        zero: f64,
        draws: &mut Draws,
    ) -> Vec<Unit> {
        let recorded = recording.units();
        let mut units = recorded.to_vec();
        // Pages drawn more densely than the others are those a census counted: how many they are
        // is known, and only the others make up for the rest of memory.
        let border = recording.history().border();
        let dense = |at: usize| recorded[at].pages <= border;
        let (mut known, mut drawn) = (0.0, 0.0);
        for (at, unit) in units.iter_mut().enumerate() {
            let draw = draws.exponential();
            if unit.pages > COUNTED_WEIGHT {
                // One page seen of w has a variance of w (w - 1).
                let spread = (1.0 - 1.0 / unit.pages).sqrt();
                unit.pages *= (1.0 + spread * (draw - 1.0)).max(1e-3);
            }
            if dense(at) {
                known += recorded[at].pages;
                drawn += unit.pages;
            }
        }
        let mut sums = [[0.0; 2]; 2];
        for (at, (unit, flag)) in units.iter_mut().zip(flags).enumerate() {
            if dense(at) {
                unit.pages *= known / drawn;
            }
            sums[usize::from(dense(at))][usize::from(*flag)] += unit.pages;
        }
        let total = self.mix.total_pages.0 as f64;
        let [others, dense_sums] = sums;
        let any = |flag: usize| others[flag] + dense_sums[flag] > 0.0;
        if any(0) && any(1) {
            let wanted = [total * (1.0 - zero), total * zero];
            let factor = |flag: usize| (wanted[flag] - dense_sums[flag]).max(0.0) / others[flag];
            let factors = [factor(0), factor(1)];
            for (at, (unit, flag)) in units.iter_mut().zip(flags).enumerate() {
                if !dense(at) {
                    // A page that stands for next to nothing must not be nothing.
                    unit.pages *= factors[usize::from(*flag)].max(1e-9);
                }
            }
        } else {
            let all: f64 = units.iter().map(|unit| unit.pages).sum();
            for unit in &mut units {
                unit.pages *= total / all;
                unit.zero = if unit.zero > 0.0 || !any(1) {
                    zero
                } else {
                    0.0
                };
            }
        }
        units
    }
}

/// Makes units stand for another size of memory: those never written make up
/// the difference, the others stay.
pub(crate) fn resize(units: &mut [Unit], never_written: &[usize], memory: Pages) {
    let clean: f64 = never_written.iter().map(|unit| units[*unit].pages).sum();
    let written = units.iter().map(|unit| unit.pages).sum::<f64>() - clean;
    // A page that stands for next to nothing must not be nothing.
    let factor = ((memory.0 as f64 - written) / clean).max(1e-9);
    for unit in never_written {
        units[*unit].pages *= factor;
    }
}

/// Share of zero pages in a guest of another size, when `written` of its pages
/// are not zero and the rest is mixed as before.
pub(crate) fn resized_zero(zero: Ratio, written: Pages, observed: Pages, memory: Pages) -> Ratio {
    let clean = |total: Pages| (total.0 as f64 - written.0 as f64).max(0.0);
    if observed == memory || clean(observed) == 0.0 {
        return zero;
    }
    let zero_pages = zero.0 * observed.0 as f64 * clean(memory) / clean(observed);
    Ratio((zero_pages / memory.0 as f64).clamp(0.0, 1.0))
}

/// Pages that a curve says were written within its window.
pub(crate) fn written(curve: &DirtyCurve) -> Pages {
    curve
        .points
        .last()
        .map_or(Pages(0), |point| point.dirtied_bytes.pages())
}
