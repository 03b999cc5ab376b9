//! What a guest does unmoved, and what it would have done in the time of a move.

use std::time::Duration;

/// Work of a guest that nobody moves, one number a part of the load.
pub(crate) enum Unmoved {
    /// A second, at any time.
    Steady(Vec<f64>),
    /// By its place in a cycle.
    Cyclic(Cycle),
}

/// A cycle as it was seen once.
pub(crate) struct Cycle {
    period_s: f64,
    /// Guest's clock at its begin, s.
    begin_s: f64,
    /// Time since its begin, s, and all work since then; by growing time, beyond the period.
    done: Vec<(f64, Vec<f64>)>,
}

impl Cycle {
    /// From the guest's clock and all work till then, again and again over a little more than the
    /// period; `None` where they cover less.
    pub(crate) fn of(seen: &[(Duration, Vec<u64>)], period: Duration) -> Option<Self> {
        let (begin, before) = seen.first()?;
        let begin_s = begin.as_secs_f64();
        let done: Vec<(f64, Vec<f64>)> = seen
            .iter()
            .map(|(clock, work)| {
                let work = work.iter().zip(before);
                let since = clock.as_secs_f64() - begin_s;
                (since, work.map(|(now, then)| (now - then) as f64).collect())
            })
            .collect();
        let period_s = period.as_secs_f64();
        (done.last()?.0 >= period_s).then_some(Self {
            period_s,
            begin_s,
            done,
        })
    }

    /// Work within `length_s` from a moment of the guest's clock on.
    fn between(&self, from_s: f64, length_s: f64) -> Vec<f64> {
        let at = |moment: f64| self.since_begin(moment - self.begin_s);
        let (from, to) = (at(from_s), at(from_s + length_s));
        to.into_iter()
            .zip(from)
            .map(|(to, from)| to - from)
            .collect()
    }

    /// All work since the begin of the first cycle, as if it had gone on the same ever after.
    fn since_begin(&self, s: f64) -> Vec<f64> {
        let rounds = (s / self.period_s).floor();
        let whole = self.within(self.period_s);
        let part = self.within(s - rounds * self.period_s);
        let sums = whole.into_iter().zip(part);
        sums.map(|(whole, part)| rounds * whole + part).collect()
    }

    /// Work since the begin at a place of the cycle, on a straight line between two reports.
    fn within(&self, s: f64) -> Vec<f64> {
        let after = self.done.iter().position(|(at, _)| *at >= s);
        let after = after.unwrap_or(self.done.len() - 1);
        let (later, more) = &self.done[after];
        let (earlier, less) = &self.done[after.saturating_sub(1)];
        let share = if later > earlier {
            ((s - earlier) / (later - earlier)).clamp(0.0, 1.0)
        } else {
            1.0
        };
        let pairs = less.iter().zip(more);
        pairs
            .map(|(less, more)| less + (more - less) * share)
            .collect()
    }
}

impl Unmoved {
    /// Work that a guest would have done within a time, from a moment of its clock on.
    pub(crate) fn expected(&self, clock: Duration, length: Duration) -> Vec<f64> {
        let seconds = length.as_secs_f64();
        match self {
            Self::Steady(rates) => rates.iter().map(|rate| rate * seconds).collect(),
            Self::Cyclic(cycle) => cycle.between(clock.as_secs_f64(), seconds),
        }
    }

    /// Work a second, the mean over a cycle where there is one.
    pub(crate) fn per_s(&self) -> Vec<f64> {
        match self {
            Self::Steady(rates) => rates.clone(),
            Self::Cyclic(cycle) => {
                let whole = cycle.within(cycle.period_s);
                whole
                    .into_iter()
                    .map(|work| work / cycle.period_s)
                    .collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cycle_is_met_where_the_guest_is_in_it() {
        // Ten units a second for 1 s, none for 1 s, from the guest's tenth second on.
        let ms = Duration::from_millis;
        let seen = [(0, 0), (500, 5), (1000, 10), (1500, 10), (2100, 11)]
            .map(|(at, work)| (ms(10_000 + at), vec![work]));
        let cycle = Cycle::of(&seen, ms(2000)).expect("they suffice");
        let cycle = Unmoved::Cyclic(cycle);
        let expected = |from: u64, length: u64| cycle.expected(ms(10_000 + from), ms(length))[0];
        assert!((expected(500, 1000) - 5.0).abs() < 1e-9);
        assert!(expected(1000, 500).abs() < 1e-9);
        assert!((expected(500, 4000) - 4.0 * cycle.per_s()[0]).abs() < 1e-9);
        assert!((expected(7500, 500) - expected(1500, 500)).abs() < 1e-9);
        assert!(Cycle::of(&seen, ms(3000)).is_none());
    }
}
