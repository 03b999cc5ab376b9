//! A guest made ready to be moved many times.

use std::time::Duration;

use vmferry_core::plan::MoveLimits;
use vmferry_core::{ByteRate, Bytes, DirtyCurve, LinkSpeed, Millis, Observation, Pages, Ratio};
use vmferry_precopy::dirt::{ConstantDirt, CurveDirt, PageTrace, Recording, Unit, Writes};
use vmferry_precopy::{ZERO_PAGE_ON_STREAM, textbook};

use super::cost::{Cost, Played};
use super::{Axis, Model, Rules, Settings, Sweep, SweepError, limits};
use crate::assumptions::Assumptions;
use crate::predictor::hist::{recorded, whole_memory};
use crate::predictor::rules::{Draw, RuleSet};
use crate::predictor::{CannotForecast, Case, ClosedForm, Predictor, Textbook};
use crate::sampler::{Sampler, Scenario, resize, resized_zero, written};

/// A link to build a sampler with: each point brings its own rate.
const ANY_LINK: LinkSpeed = LinkSpeed::given(ByteRate::from_mbit_per_s(1000.0));

/// A guest made ready to be moved many times.
pub(super) struct Guest<'a> {
    model: Model,
    observation: &'a Observation,
    whole: Option<&'a PageTrace>,
    assumptions: &'a Assumptions,
    asked: &'a Sweep<'a>,
    /// Memory that was written within the window.
    written: Pages,
    /// Whether there is memory that was not.
    has_clean: bool,
    dirt: Source<'a>,
}

/// Where its dirt comes from.
enum Source<'a> {
    /// `pages`, `curve`.
    Drawn(Box<Sampler<'a>>),
    /// `hist`.
    Recorded {
        recording: Box<Recording<'a>>,
        units: Vec<Unit>,
        /// Instants of the looks that a replay starts from, seconds.
        starts: Vec<f64>,
    },
    /// `avg`: bytes per second.
    Constant(ByteRate),
    /// `textbook`, `closed-form`.
    Formula,
}

impl<'a> Guest<'a> {
    /// Makes it ready.
    pub(super) fn new(
        asked: &'a Sweep<'a>,
        model: Model,
        without_pages: &'a Observation,
    ) -> Result<Self, SweepError> {
        let with_pages = matches!(model, Model::Pages | Model::Hist);
        let observation = if with_pages {
            asked.observation
        } else {
            without_pages
        };
        let mut guest = Self {
            model,
            observation,
            whole: asked.whole.filter(|_| with_pages),
            assumptions: &asked.assumptions,
            asked,
            written: written(&observation.dirty_curve),
            has_clean: true,
            dirt: Source::Formula,
        };
        let case = guest.case(
            ANY_LINK,
            MoveLimits {
                deadline_ms: asked.deadline,
                ..MoveLimits::default()
            },
        );
        case.check(model.name(), &[case.technique])?;
        guest.dirt = match model {
            Model::Auto | Model::Pages | Model::Curve => {
                if model == Model::Pages {
                    recorded(&case, model.name())?;
                }
                let sampler = Sampler::new(
                    observation,
                    &ANY_LINK,
                    &case.limits,
                    &asked.assumptions,
                    asked.seed,
                )?;
                Source::Drawn(Box::new(sampler))
            }
            Model::Hist => {
                let (history, recording) = recorded(&case, model.name())?;
                let looks = history.intervals();
                let starts = (asked.assumptions.samples.max(1) as usize).min(looks);
                let look = |n: usize| history.interval_us(n * looks / starts).0 as f64 / 1e6;
                Source::Recorded {
                    units: whole_memory(&case, history, recording.units()),
                    recording: Box::new(recording),
                    starts: (0..starts).map(look).collect(),
                }
            }
            Model::Avg => Source::Constant(case.known_dirty_rate(model.name())?),
            Model::Textbook | Model::ClosedForm => {
                case.known_dirty_rate(model.name())?;
                Source::Formula
            }
        };
        let total = observation.page_mix.total_pages;
        let (units, never_written) = match &guest.dirt {
            Source::Drawn(sampler) => match sampler.recording() {
                Some(recording) => (recording.units(), recording.never_written()),
                None => (&[][..], &[][..]),
            },
            Source::Recorded {
                recording, units, ..
            } => (&units[..], recording.never_written()),
            Source::Constant(_) | Source::Formula => (&[][..], &[][..]),
        };
        if units.is_empty() {
            guest.has_clean = guest.written < total;
        } else {
            let all: f64 = units.iter().map(|unit| unit.pages).sum();
            let clean: f64 = never_written.iter().map(|unit| units[*unit].pages).sum();
            guest.written = Pages((total.0 as f64 * (1.0 - clean / all)).round() as u64);
            guest.has_clean = !never_written.is_empty();
        }
        Ok(guest)
    }

    /// Whether the guest can have that much memory.
    pub(super) fn check_memory(&self, memory: Bytes) -> Result<(), SweepError> {
        let guest = || self.observation.guest.label();
        if memory.pages() == self.observation.page_mix.total_pages {
            return Ok(());
        }
        if !self.has_clean {
            return Err(SweepError::NothingClean { guest: guest() });
        }
        if memory.pages() < self.written {
            return Err(SweepError::TooSmall {
                guest: guest(),
                written: self.written.bytes(),
                memory,
            });
        }
        Ok(())
    }

    /// What a move costs at a point.
    pub(super) fn cost(&self, at: &Settings) -> Result<Cost, SweepError> {
        let link = LinkSpeed::given(at.bandwidth);
        let case = self.case(link, limits(self.asked, at));
        case.check(self.model.name(), &[case.technique])?;
        let deadline = case.deadline();
        let draws: Vec<Played> = match &self.dirt {
            Source::Drawn(sampler) => (0..sampler.count())
                .map(|number| self.drawn(sampler, number, at, &case))
                .collect(),
            Source::Recorded {
                recording,
                units,
                starts,
            } => {
                let mut units = units.clone();
                if let Some(memory) = self.other_memory(at) {
                    resize(&mut units, recording.never_written(), memory);
                }
                let numbered = (0..).zip(starts);
                numbered
                    .map(|(number, start)| {
                        let draw = Draw::of(&case, self.asked.seed, number);
                        let speed = draw.dirt * at.dirt;
                        match (at.rules.pre_copy(), self.whole_for(at)) {
                            (Some(rules), Some(trace)) => {
                                let dirt = trace.replayed(*start, speed);
                                Played::from(&rules.replay(&case, &draw, &dirt))
                            }
                            (Some(rules), None) => {
                                let dirt = recording.replayed(*start, speed, units.clone());
                                Played::from(&rules.replay(&case, &draw, &dirt))
                            }
                            (None, _) => {
                                let dirt = recording.replayed(*start, speed, units.clone());
                                RuleSet::post_copy(&case, &draw, &dirt).into()
                            }
                        }
                    })
                    .collect()
            }
            Source::Constant(dirty_rate) => (0..self.assumptions.samples.max(1))
                .map(|number| self.constant(*dirty_rate, number, at, &case))
                .collect(),
            Source::Formula => return self.formula(at, &case),
        };
        Ok(Cost::of(&draws, deadline))
    }

    /// The guest as observed, about to move.
    fn case(&self, link: LinkSpeed, limits: MoveLimits) -> Case<'a> {
        let mut assumptions = *self.assumptions;
        // The operator's word alone counts here: no hypervisor is asked.
        assumptions.rules.max_bandwidth = limits.max_bandwidth;
        Case::observed(self.observation, link, limits, assumptions)
    }

    /// The memory assumed, where it is not as observed.
    fn other_memory(&self, at: &Settings) -> Option<Pages> {
        let pages = at.memory.pages();
        (pages != self.observation.page_mix.total_pages).then_some(pages)
    }

    /// The trace of all pages, where it applies.
    fn whole_for(&self, at: &Settings) -> Option<&'a PageTrace> {
        self.whole.filter(|_| self.other_memory(at).is_none())
    }

    /// Share of zero pages in a guest of that memory, where only amounts are known.
    fn zero(&self, at: &Settings) -> Option<Ratio> {
        let mix = &self.observation.page_mix;
        let pages = at.memory.pages();
        mix.zero
            .map(|zero| resized_zero(zero, self.written, mix.total_pages, pages))
    }

    fn drawn(&self, sampler: &Sampler<'_>, number: u32, at: &Settings, case: &Case<'_>) -> Played {
        let rules = case.assumptions.rules_under(&case.limits);
        let scenario = Scenario {
            rules,
            stream_rate: case.link.stream_rate().0,
            speed: at.dirt,
            memory: self.other_memory(at),
        };
        let rules = match at.rules {
            Rules::PostCopy => return sampler.by_post_copy(number, &scenario).into(),
            Rules::Qemu => vmferry_precopy::RuleSet::Qemu(rules),
            Rules::Xen => vmferry_precopy::RuleSet::Xen(Default::default()),
            Rules::XenLegacy => vmferry_precopy::RuleSet::XenLegacy(Default::default()),
            Rules::Textbook => vmferry_precopy::RuleSet::Textbook(textbook::Rules {
                downtime_limit: Some(rules.downtime_limit),
                zero_page: ZERO_PAGE_ON_STREAM,
                ..textbook::Rules::default()
            }),
        };
        let replay = match self.whole_for(at) {
            Some(trace) => sampler.over_trace(number, &scenario, &rules, trace),
            None => sampler.by_rules(number, &scenario, &rules),
        };
        Played::from(&replay)
    }

    fn constant(&self, rate: ByteRate, number: u32, at: &Settings, case: &Case<'_>) -> Played {
        let draw = Draw::of(case, self.asked.seed, number);
        let rate = ByteRate(rate.0 * draw.dirt * at.dirt);
        let (pages, zero) = (at.memory.pages(), self.zero(at).unwrap_or_default());
        match at.rules.pre_copy() {
            Some(rules) => {
                let dirt = ConstantDirt::new(rate, pages, Writes::Sequential, pages, zero);
                Played::from(&rules.replay_amount(case, &draw, &dirt))
            }
            None => {
                let dirt = CurveDirt::constant(rate, pages, zero);
                RuleSet::post_copy(case, &draw, &dirt).into()
            }
        }
    }

    fn formula(&self, at: &Settings, case: &Case<'_>) -> Result<Cost, SweepError> {
        let seen = Observation {
            dirty_curve: faster(&self.observation.dirty_curve, at.dirt),
            ..self.observation.without_pages()
        };
        let mut case = Case {
            memory: at.memory,
            zero: self.zero(at),
            ..Case::observed(&seen, case.link.clone(), case.limits, case.assumptions)
        };
        if at.dirt == 0.0 {
            case.dirty_rate = Some(ByteRate(0.0));
        }
        let said = match self.model {
            Model::ClosedForm => ClosedForm.forecast(&case, self.asked.seed),
            _ => Textbook::default().forecast(&case, self.asked.seed),
        };
        match said {
            Ok(said) => Ok(said.into()),
            Err(CannotForecast::Diverges { .. }) => Ok(Cost::of_nothing()),
            Err(error) => Err(error.into()),
        }
    }

    /// What its dirt follows, a sentence each.
    pub(super) fn sources(&self) -> Vec<String> {
        let samples = self.assumptions.samples.max(1);
        let grid = self.asked.grid;
        let starts = match &self.dirt {
            Source::Recorded { starts, .. } => starts.len(),
            _ => samples as usize,
        };
        let sampled = |recording: &Recording<'_>| {
            let points = grid.points();
            let over_whole =
                |at: &&Settings| at.rules.pre_copy().is_some() && self.whole_for(at).is_some();
            let whole = points.iter().filter(over_whole).count();
            let mut notes = Vec::new();
            if let (Some(trace), 1..) = (self.whole, whole) {
                let which = if whole < points.len() {
                    "Pre-copy with the memory observed"
                } else {
                    "Every point"
                };
                notes.push(format!(
                    "{which}: {starts} replays of all {} pages, begun all over {:.1} s of trace.",
                    trace.pages(),
                    trace.window()
                ));
            }
            if whole < points.len() {
                let which = if notes.is_empty() {
                    "Every point"
                } else {
                    "Post-copy, and points with another memory"
                };
                notes.push(format!(
                    "{which}: {starts} replays of {} sampled pages, begun all over {:.1} s of history.",
                    recording.units().len(),
                    recording.window()
                ));
            }
            notes
        };
        match &self.dirt {
            Source::Drawn(sampler) => sampler.recording().map_or_else(
                || {
                    vec![format!(
                        "Every point: {samples} replays of the dirty curve alone, which does not tell which pages are written again."
                    )]
                },
                sampled,
            ),
            Source::Recorded { recording, .. } => sampled(recording),
            Source::Constant(rate) => vec![format!(
                "Every point: {samples} replays of a constant dirty rate of {rate}."
            )],
            Source::Formula if self.model == Model::ClosedForm => vec![
                "A formula for a constant dirty rate: it has no interval of its own.".to_owned(),
            ],
            Source::Formula => vec![
                "The textbook's formula over the dirty curve, which knows no costs of hosts."
                    .to_owned(),
            ],
        }
    }

    /// Says where passes are longer than what was watched.
    pub(super) fn window_note(&self, asked: &Sweep<'_>) -> Option<String> {
        let slowest = *asked.grid.values(Axis::Bandwidth).first()?;
        let largest = *asked.grid.values(Axis::Memory).last()?;
        let dirt = *asked.grid.values(Axis::Dirt).last()?;
        let zero = self.observation.page_mix.zero.map_or(0.0, |zero| zero.0);
        let rate = LinkSpeed::given(ByteRate(slowest)).stream_rate();
        let first: Duration = Bytes((largest * (1.0 - zero)) as u64) / rate;
        let lived = Millis(Millis::from(first).0 * dirt);
        (lived.0 > self.observation.window_ms.0).then(|| {
            format!(
                "At the slowest point the guest lives through about {lived} in the first pass but was watched for {}; what it writes beyond that is extrapolated.",
                self.observation.window_ms
            )
        })
    }
}

/// The curve of a guest whose time runs so many times as fast.
fn faster(curve: &DirtyCurve, factor: f64) -> DirtyCurve {
    let mut curve = curve.clone();
    for point in &mut curve.points {
        if factor > 0.0 {
            point.window_ms = Millis(point.window_ms.0 / factor);
        } else {
            point.dirtied_bytes = Bytes(0);
            point.standard_error_bytes = Bytes(0);
        }
    }
    curve
}
