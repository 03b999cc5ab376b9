//! The base model of `liu2011` (Algorithm 1).

use vmferry_core::{ByteRate, Bytes, PAGE_SIZE};

use super::closed_form::T_RESUME;
use super::gamma::Gamma;
use super::rules::{DRAWS, Draw, RuleSet};
use super::{CannotForecast, Case, Ended, Predicted, Predictor, Technique};

/// What Algorithm 1 starts from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Algorithm1 {
    /// V_mem, bytes.
    pub memory: f64,
    /// V_thd, bytes.
    pub threshold: f64,
    /// D.
    pub dirty_rate: ByteRate,
    /// R, round by round.
    pub rate: TransferRate,
    /// Share of hot pages.
    pub gamma: Gamma,
    /// Most rounds after the first; what remains then is the downtime's data.
    pub max_round: u32,
}

/// R of `liu2011` section 4.3.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TransferRate {
    /// The same in every round.
    Fixed(ByteRate),
    /// The last round's dirty rate and an increment, within bounds.
    Adaptive(AdaptiveRate),
}

/// R = D + delta within bounds: a courtesy to the neighbours on the link.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdaptiveRate {
    /// delta.
    pub increment: ByteRate,
    /// Least R.
    pub least: ByteRate,
    /// Greatest R.
    pub most: ByteRate,
}

impl Default for AdaptiveRate {
    /// 100 Mbit/s, within 400..800 Mbit/s.
    fn default() -> Self {
        Self {
            increment: ByteRate::from_mbit_per_s(100.0),
            least: ByteRate::from_mbit_per_s(400.0),
            most: ByteRate::from_mbit_per_s(800.0),
        }
    }
}

impl TransferRate {
    /// R of a round, by the dirty rate of the round before.
    fn after(self, dirty_rate: ByteRate) -> f64 {
        let rate = match self {
            Self::Fixed(rate) => rate.0,
            Self::Adaptive(adaptive) => (dirty_rate.0 + adaptive.increment.0)
                .max(adaptive.least.0)
                .min(adaptive.most.0),
        };
        rate.max(1.0)
    }
}

/// How Algorithm 1 came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// What remained was at most V_thd.
    Threshold,
    /// A round found more than the one before.
    Growing,
    /// It ran into `max_round`.
    MaxRound,
}

/// What Algorithm 1 says.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// V_i: bytes sent in each round, the last with the guest stopped.
    pub volumes: Vec<f64>,
    /// T_i: seconds of each.
    pub times_s: Vec<f64>,
    /// Why it ended.
    pub end: End,
    /// Rounds in which gamma was held within 0..1.
    pub clamped: u32,
}

impl Run {
    /// V_mig, T_mig and T_down.
    pub fn cost(&self) -> Ended {
        Ended {
            total_s: self.times_s.iter().sum(),
            downtime_s: self.times_s.last().copied().unwrap_or(0.0) + T_RESUME,
            transferred: self.volumes.iter().sum(),
        }
    }
}

impl Algorithm1 {
    /// Runs it: T_i = V_i / R, gamma = a T_i + b D + c,
    /// V_(i+1) = T_i D - gamma T_i D until V_(i+1) <= V_thd or
    /// V_(i+1) > V_i; then V_(i+1) = T_i D with the guest stopped.
    pub fn run(&self) -> Run {
        let (mut volumes, mut times_s) = (vec![self.memory], Vec::new());
        let mut clamped = 0;
        let mut round = 0;
        let end = loop {
            let volume = volumes[volumes.len() - 1];
            let time = volume / self.rate.after(self.dirty_rate);
            times_s.push(time);
            let share = self.gamma.at(time, self.dirty_rate);
            clamped += u32::from(share.clamped);
            let dirtied = time * self.dirty_rate.0;
            let next = dirtied * (1.0 - share.value);
            let end = if next <= self.threshold {
                Some(End::Threshold)
            } else if next > volume {
                Some(End::Growing)
            } else if round >= self.max_round {
                Some(End::MaxRound)
            } else {
                None
            };
            if let Some(end) = end {
                volumes.push(dirtied);
                times_s.push(dirtied / self.rate.after(self.dirty_rate));
                break end;
            }
            volumes.push(next);
            round += 1;
        };
        Run {
            volumes,
            times_s,
            end,
            clamped,
        }
    }
}

/// Most rounds where a hypervisor sets no bound: only a guard.
const UNBOUNDED: u32 = 10_000;

impl RuleSet {
    /// V_thd: what the downtime limit lets through, or Xen's 50 pages.
    fn threshold(self, case: &Case<'_>, rate: ByteRate) -> Bytes {
        match self {
            Self::Qemu | Self::Textbook => rate * case.downtime_limit(),
            Self::Xen | Self::XenLegacy => Bytes(50 * PAGE_SIZE.0),
        }
    }

    /// `max_round`: rounds after the first.
    const fn max_round(self) -> u32 {
        match self {
            Self::Qemu | Self::Textbook => UNBOUNDED,
            Self::Xen => 4,
            Self::XenLegacy => 28,
        }
    }

    /// Whether the guest is stopped in the end whatever remains. QEMU goes on
    /// for ever where the paper's loop gives up.
    const fn always_ends(self) -> bool {
        matches!(self, Self::Xen | Self::XenLegacy)
    }
}

/// Algorithm 1 of `liu2011` as a predictor.
///
/// Xen skips pages that are found dirty again and sends them with the guest
/// stopped: gamma is their share. QEMU skips nothing; there gamma is what it
/// measures, pages that are dirty again in the next peek and do not add to
/// what a longer round dirties. It is fitted to the guest's recorded history
/// where there is one, else the published coefficients are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Base {
    /// Whose limits end the iteration.
    pub rules: RuleSet,
    /// Takes the published gamma even where a history was recorded.
    pub published_gamma: bool,
    /// Sets R by the dirty rate; `None` takes what the link carries.
    pub adaptive: Option<AdaptiveRate>,
}

impl Base {
    /// Algorithm 1 for a case, at a dirty rate.
    pub(crate) fn at(&self, case: &Case<'_>, dirty_rate: ByteRate, seed: u64) -> Predicted {
        let history = case.observation.and_then(|seen| seen.page_history.as_ref());
        let fitted = history
            .filter(|_| !self.published_gamma)
            .and_then(Gamma::of_history);
        let gamma = fitted.unwrap_or(Gamma::PUBLISHED);
        let runs: Vec<Run> = (0..DRAWS)
            .map(|number| {
                let draw = Draw::of(case, seed, number);
                let link = draw.stream_rate(case);
                Algorithm1 {
                    memory: self.rules.first_pass(case),
                    threshold: self.rules.threshold(case, link).0 as f64,
                    dirty_rate: ByteRate(dirty_rate.0 * draw.dirt),
                    rate: self.adaptive.map_or(TransferRate::Fixed(link), |adaptive| {
                        TransferRate::Adaptive(AdaptiveRate {
                            most: ByteRate(adaptive.most.0.min(link.0)),
                            ..adaptive
                        })
                    }),
                    gamma,
                    max_round: self.rules.max_round(),
                }
                .run()
            })
            .collect();
        // QEMU ends by its threshold or not at all.
        let ends = |run: &Run| self.rules.always_ends() || run.end == End::Threshold;
        let draws: Vec<Option<Ended>> = runs
            .iter()
            .map(|run| ends(run).then(|| run.cost()))
            .collect();
        let mut said = Predicted::of_draws(&draws, case.deadline());
        said.notes.push(match fitted {
            Some(gamma) => format!(
                "Share of pages dirty again fitted to the recorded history (R2 {:.2}).",
                gamma.r_squared
            ),
            None => "Share of pages dirty again as published (liu2011), from other guests.".into(),
        });
        if runs.iter().any(|run| run.clamped > 0) {
            said.notes.push(
                "The fitted share of pages dirty again left 0..1 in a round and was held there."
                    .into(),
            );
        }
        if runs.iter().any(|run| run.end == End::MaxRound && ends(run)) {
            said.notes.push(format!(
                "It ran into the bound of {} rounds: what remained is sent with the guest stopped.",
                self.rules.max_round()
            ));
        }
        said
    }
}

impl Predictor for Base {
    fn name(&self) -> &'static str {
        "base"
    }

    fn rules(&self) -> RuleSet {
        self.rules
    }

    fn forecast(&self, case: &Case<'_>, seed: u64) -> Result<Predicted, CannotForecast> {
        case.check(self.name(), &[Technique::PreCopy])?;
        let dirty_rate = case.known_dirty_rate(self.name())?;
        Ok(self.at(case, dirty_rate, seed).by(self.name()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOTHING_HOT: Gamma = Gamma {
        per_second: 0.0,
        per_mb_per_s: 0.0,
        constant: 0.0,
        r_squared: 1.0,
    };

    fn xen(dirty_mbit: f64, rate: TransferRate) -> Algorithm1 {
        Algorithm1 {
            memory: Bytes::from_mib(1024).0 as f64,
            threshold: 50.0 * 4096.0,
            dirty_rate: ByteRate::from_mbit_per_s(dirty_mbit),
            rate,
            gamma: Gamma::PUBLISHED,
            max_round: 29,
        }
    }

    #[test]
    fn a_guest_of_the_papers_testbed() {
        let rate = TransferRate::Fixed(ByteRate::from_mbit_per_s(800.0));
        let run = xen(200.0, rate).run();
        // The first round takes 10.7 s: beyond 7.7 s nothing is skipped.
        assert_eq!((run.end, run.clamped), (End::Threshold, 1));
        assert!((run.volumes[1] / run.volumes[0] - 0.25).abs() < 1e-9);
        // The second takes 2.68 s: gamma is 0.3586 - 0.1243 - 0.0025.
        let gamma = 0.3586 - 0.0463 * run.times_s[1] - 0.0001 * 25.0;
        assert!((run.volumes[2] / run.volumes[1] - 0.25 * (1.0 - gamma)).abs() < 1e-9);
        // At the end hot pages are sent too, and the guest takes 20 ms to resume.
        let last = run.times_s.len() - 1;
        let dirtied = run.times_s[last - 1] * 25e6;
        assert!((run.volumes[last] - dirtied).abs() < 1e-6);
        assert!((run.cost().downtime_s - dirtied / 100e6 - 0.020).abs() < 1e-12);
    }

    #[test]
    fn a_guest_that_outruns_the_link_ends_at_once_or_at_the_bound() {
        let rate = TransferRate::Fixed(ByteRate::from_mbit_per_s(400.0));
        let run = xen(500.0, rate).run();
        assert_eq!((run.end, run.volumes.len()), (End::Growing, 2));
        // Everything that the first round left behind goes with the guest stopped.
        assert!((run.volumes[1] / run.volumes[0] - 1.25).abs() < 1e-9);
        let slow = Algorithm1 {
            max_round: 3,
            ..xen(390.0, rate)
        };
        let run = slow.run();
        assert_eq!((run.end, run.volumes.len()), (End::MaxRound, 5));
        assert!((run.volumes[4] - run.times_s[3] * 48.75e6).abs() < 1e-3);
    }

    #[test]
    fn the_rate_follows_the_dirt_within_bounds() {
        let adaptive = TransferRate::Adaptive(AdaptiveRate::default());
        let rate = |mbit: f64| {
            ByteRate(adaptive.after(ByteRate::from_mbit_per_s(mbit)))
                .mbit_per_s()
                .round()
        };
        assert_eq!([rate(0.0), rate(350.0), rate(900.0)], [400.0, 450.0, 800.0]);
    }

    proptest! {
        /// Without hot pages Algorithm 1 is the closed form.
        #[test]
        fn without_hot_pages_it_is_the_closed_form(lambda in 0.01f64..0.9, mib in 64u64..65_536) {
            let rate = ByteRate(1e8);
            let memory = Bytes::from_mib(mib);
            let run = Algorithm1 {
                memory: memory.0 as f64,
                dirty_rate: ByteRate(lambda * rate.0),
                rate: TransferRate::Fixed(rate),
                gamma: NOTHING_HOT,
                max_round: 1000,
                ..xen(0.0, TransferRate::Fixed(rate))
            }
            .run();
            let closed =
                super::super::closed_form::cost(memory, ByteRate(lambda * rate.0), rate, Bytes(50 * 4096))
                    .unwrap();
            let cost = run.cost();
            prop_assert!((cost.transferred / closed.transferred - 1.0).abs() < 1e-9);
            prop_assert!((cost.downtime_s - closed.downtime_s).abs() < 1e-9);
        }
    }
}
