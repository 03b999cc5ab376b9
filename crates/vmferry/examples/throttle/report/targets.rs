//! What is aimed at, and what came.

use serde::Serialize;

use super::Report;
use super::rows::{self, Row};
use crate::cells::{CAP_S, MAX_DOWNTIME_MS};
use crate::feasible::{CurveEnd, Steps, Verdict};
use crate::record::{self, Record};
use crate::steering::Steering;

/// Fall of the downtime that is aimed at: what `jin2011` prints of Tomcat.
const FALL: f64 = 0.88;
/// Shares of its CPU from here on leave a guest alone.
const UNTHROTTLED: f64 = 0.995;

/// One aim.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Target {
    pub(crate) what: String,
    pub(crate) aim: String,
    pub(crate) measured: String,
    /// `None` where nothing was measured.
    pub(crate) met: Option<bool>,
}

/// Which way is good.
#[derive(Clone, Copy)]
enum Good {
    AtLeast(f64),
    AtMost(f64),
}

impl Good {
    fn holds(self, value: f64) -> bool {
        match self {
            Self::AtLeast(least) => value >= least,
            Self::AtMost(most) => value <= most,
        }
    }

    fn aim(self, unit: Unit) -> String {
        match self {
            Self::AtLeast(least) => format!(">= {}", unit.of(least)),
            Self::AtMost(most) => format!("<= {}", unit.of(most)),
        }
    }

    fn missed_by(self, value: f64) -> f64 {
        match self {
            Self::AtLeast(bound) | Self::AtMost(bound) => (value - bound).abs(),
        }
    }
}

#[derive(Clone, Copy)]
enum Unit {
    Share,
    Microseconds,
    Times,
}

impl Unit {
    fn of(self, value: f64) -> String {
        match self {
            Self::Share => format!("{:.1} %", value * 100.0),
            Self::Microseconds => format!("{value:.0} us"),
            Self::Times => format!("{value:.2} times"),
        }
    }
}

fn target(what: &str, good: Good, unit: Unit, value: Option<f64>, basis: &str) -> Target {
    let met = value.map(|value| good.holds(value));
    let measured = match (value, met) {
        (None, _) => "not measured".to_owned(),
        (Some(value), Some(false)) => format!(
            "{} ({basis}), missed by {}",
            unit.of(value),
            unit.of(good.missed_by(value))
        ),
        (Some(value), _) => format!("{} ({basis})", unit.of(value)),
    };
    Target {
        what: what.to_owned(),
        aim: good.aim(unit),
        measured,
        met,
    }
}

fn share(part: usize, all: usize) -> Option<f64> {
    (all > 0).then(|| part as f64 / all as f64)
}

impl Report<'_> {
    pub(super) fn targets(&self) -> Vec<Target> {
        let mut targets = Vec::new();
        self.promises(&mut targets);
        self.against_auto_converge(&mut targets);
        self.against_jin(&mut targets);
        self.against_off(&mut targets);
        self.deadlines(&mut targets);
        self.steps(&mut targets);
        if !self.sweep.is_empty() {
            super::sweep::targets(&self.sweep, &mut targets);
        }
        targets
    }

    fn promises(&self, targets: &mut Vec<Target>) {
        let runs: Vec<&Record> = self.curve_runs().collect();
        let accepted: Vec<&&Record> = runs.iter().filter(|run| run.accepted()).collect();
        let kept = accepted.iter().filter(|run| run.kept()).count();
        targets.push(target(
            "`curve` keeps the promises it accepts",
            Good::AtLeast(0.97),
            Unit::Share,
            share(kept, accepted.len()),
            &format!("{kept} of {} moves", accepted.len()),
        ));
        let (feasible, taken) = self.feasible_and_accepted();
        targets.push(target(
            "`curve` accepts what is feasible, in moves",
            Good::AtLeast(0.9),
            Unit::Share,
            share(taken, feasible),
            &format!("{taken} of {feasible} guests"),
        ));
        let feasible: Vec<&Verdict> = self.verdicts.iter().filter(|v| v.cap.is_some()).collect();
        let taken = feasible.iter().filter(|v| v.accepted).count();
        targets.push(target(
            "the same over recorded dirt, three pauses and three times each",
            Good::AtLeast(0.9),
            Unit::Share,
            share(taken, feasible.len()),
            &format!("{taken} of {} promises", feasible.len()),
        ));
        let judged: Vec<&Verdict> = self.verdicts.iter().filter(|v| v.accepted).collect();
        let kept = judged.iter().filter(|v| v.curve == CurveEnd::Kept).count();
        targets.push(target(
            "`curve` keeps what it accepts over recorded dirt",
            Good::AtLeast(0.97),
            Unit::Share,
            share(kept, judged.len()),
            &format!("{kept} of {} promises", judged.len()),
        ));
    }

    fn curve_runs(&self) -> impl Iterator<Item = &Record> {
        let rows = self.guests.iter().chain(&self.sweep);
        let rows = rows.filter(|row| row.by == Steering::CURVE);
        rows.flat_map(|row| row.runs.iter().copied())
    }

    /// Guests for which a search finds a cap that keeps the bench's promise, and how many of them
    /// `curve` took on.
    fn feasible_and_accepted(&self) -> (usize, usize) {
        let own = |v: &&Verdict| v.max_downtime_ms == MAX_DOWNTIME_MS && v.within_s == CAP_S;
        let feasible = self.verdicts.iter().filter(own).filter(|v| v.cap.is_some());
        let rows: Vec<&Row<'_>> = feasible
            .filter_map(|v| rows::of(&self.guests, &v.guest, Steering::CURVE))
            .collect();
        let taken = rows
            .iter()
            .filter(|row| row.runs.iter().all(|run| run.accepted()));
        (rows.len(), taken.count())
    }

    /// Guests that both controllers moved by themselves in time.
    pub(super) fn both(&self, one: Steering, other: Steering) -> Vec<(&Row<'_>, &Row<'_>)> {
        let pair = |guest: &str| {
            let (one, other) = (
                rows::of(&self.guests, guest, one)?,
                rows::of(&self.guests, guest, other)?,
            );
            (one.finished() && other.finished()).then_some((one, other))
        };
        let guests = rows::guests(&self.guests);
        guests.into_iter().filter_map(pair).collect()
    }

    fn against_auto_converge(&self, targets: &mut Vec<Target>) {
        let throttled = |(_, qemu): &(&Row<'_>, &Row<'_>)| {
            let least = qemu.median(|run| Some(run.least_share()));
            least.is_some_and(|share| share < UNTHROTTLED)
        };
        let all = self.both(Steering::CURVE, Steering::QEMU);
        let bites: Vec<_> = all.iter().copied().filter(throttled).collect();
        for (pairs, which) in [
            (&all, "where both end in time"),
            (&bites, "of these, where it throttles"),
        ] {
            let ratios = |of: fn(&Row<'_>) -> Option<f64>| -> Vec<f64> {
                let ratio = |(curve, qemu): &(&Row<'_>, &Row<'_>)| Some(of(curve)? / of(qemu)?);
                pairs.iter().filter_map(ratio).collect()
            };
            for (what, ratios) in [
                ("total time", ratios(|row| row.total_s())),
                ("work lost", ratios(|row| row.lost_s())),
            ] {
                targets.push(target(
                    &format!("`curve`'s {what} over auto-converge's, median, {which}"),
                    Good::AtMost(0.5),
                    Unit::Share,
                    record::median(&ratios),
                    &format!("{} guests", ratios.len()),
                ));
            }
        }
    }

    /// By how much work lost differs, s, between moves of the same guest that nobody throttled: the
    /// median over guests.
    fn noise_s(&self) -> f64 {
        let unthrottled =
            |row: &&Row<'_>| row.runs.iter().all(|run| run.least_share() >= UNTHROTTLED);
        let spread = |guest: &str| {
            let rows = self
                .guests
                .iter()
                .filter(|row| row.guest == guest && row.finished());
            let lost = rows.filter(unthrottled).flat_map(|row| row.runs.iter());
            let lost: Vec<f64> = lost.filter_map(|run| run.lost_s()).collect();
            let least = lost.iter().copied().reduce(f64::min)?;
            (lost.len() > 1).then(|| lost.iter().copied().fold(least, f64::max) - least)
        };
        let guests = rows::guests(&self.guests);
        let spreads: Vec<f64> = guests.into_iter().filter_map(spread).collect();
        record::median(&spreads).unwrap_or(0.0)
    }

    /// Guest by guest and C by C: work lost by `curve` and by `jin`, where `jin` ended in time with
    /// no shorter pause.
    pub(super) fn beside_jin(&self) -> Vec<(&str, Steering, f64, f64)> {
        let mut beside = Vec::new();
        for row in self.guests.iter().filter(|row| row.by.expectant.is_some()) {
            let Some(curve) = rows::of(&self.guests, row.guest, Steering::CURVE) else {
                continue;
            };
            if !(row.finished() && curve.finished()) || row.downtime_ms() < curve.downtime_ms() {
                continue;
            }
            if let Some((ours, theirs)) = curve.lost_s().zip(row.lost_s()) {
                beside.push((row.guest, row.by, ours, theirs));
            }
        }
        beside
    }

    fn against_jin(&self, targets: &mut Vec<Target>) {
        let beside = self.beside_jin();
        let more: Vec<f64> = beside
            .iter()
            .map(|(_, _, ours, theirs)| ours - theirs)
            .filter(|more| *more > 0.0)
            .collect();
        let (most, noise) = (more.iter().copied().fold(0.0, f64::max), self.noise_s());
        let beyond = more.iter().filter(|more| **more > noise).count();
        let measured = match (beside.len(), more.len()) {
            (0, _) => "not measured".to_owned(),
            (all, 0) => format!("never, in {all} comparisons"),
            (all, more) => format!(
                "in {more} of {all} comparisons, by {most:.2} s at most; in {beyond} by more than unthrottled moves of one \
                 guest differ ({noise:.2} s)"
            ),
        };
        targets.push(Target {
            what: "`curve` loses more work than `jin` with no shorter pause".to_owned(),
            aim: "never".to_owned(),
            measured,
            met: (!beside.is_empty()).then_some(beyond == 0),
        });
    }

    /// Guests that `off` never moved by itself: its downtime, and `curve`'s.
    pub(super) fn beside_off(&self) -> Vec<(&str, f64, Option<f64>)> {
        let off = self.guests.iter().filter(|row| row.by == Steering::OFF);
        off.filter(|row| !row.finished())
            .filter_map(|row| {
                let curve = rows::of(&self.guests, row.guest, Steering::CURVE)?;
                let ours = curve.downtime_ms().filter(|_| curve.finished());
                Some((row.guest, row.downtime_ms()?, ours))
            })
            .collect()
    }

    fn against_off(&self, targets: &mut Vec<Target>) {
        let beside = self.beside_off();
        let falls: Vec<f64> = beside
            .iter()
            .filter_map(|(_, off, curve)| Some(1.0 - (*curve)? / off))
            .collect();
        let least = falls.iter().copied().reduce(f64::min);
        let far = falls.iter().filter(|fall| **fall >= FALL).count();
        let basis = format!(
            "least of {} guests, reached by {far}, median {}; {} guests that `curve` did not move",
            falls.len(),
            record::median(&falls).map_or_else(|| "-".to_owned(), |m| Unit::Share.of(m)),
            beside.len() - falls.len()
        );
        targets.push(target(
            "fall of the downtime where `off` never ends by itself",
            Good::AtLeast(FALL),
            Unit::Share,
            least,
            &basis,
        ));
    }

    fn deadlines(&self, targets: &mut Vec<Target>) {
        let near = |run: &&&Record| {
            run.total_s()
                .is_some_and(|s| (s / run.cell.within_s - 1.0).abs() <= 0.05)
        };
        let near = self.deadlines.iter().filter(near).count();
        targets.push(target(
            "`deadline` ends within 5 % of the time asked for",
            Good::AtLeast(0.95),
            Unit::Share,
            share(near, self.deadlines.len()),
            &format!("{near} of {} moves", self.deadlines.len()),
        ));
    }

    fn steps(&self, targets: &mut Vec<Target>) {
        let steps: Vec<Steps> = self.verdicts.iter().map(|v| v.steps).collect();
        let longest = steps.iter().map(|s| s.longest_us).reduce(f64::max);
        let count: usize = steps.iter().map(|s| s.count).sum();
        let most = |of: fn(&Steps) -> f64| steps.iter().map(of).fold(0.0, f64::max);
        targets.push(target(
            "longest step of `curve`, over recorded dirt",
            Good::AtMost(1000.0),
            Unit::Microseconds,
            longest,
            &format!(
                "of {count}; whatever the promise, 99 of 100 within {}, half within {}",
                Unit::Microseconds.of(most(|s| s.p99_us)),
                Unit::Microseconds.of(most(|s| s.median_us))
            ),
        ));
        let used: Vec<f64> = steps
            .iter()
            .filter(|s| s.over_s > 0.0)
            .map(|s| s.total_us / 1e6 / s.over_s)
            .collect();
        targets.push(target(
            "share of a core that these steps take",
            Good::AtMost(0.01),
            Unit::Share,
            used.iter().copied().reduce(f64::max),
            "the most of any promise",
        ));
        let live = self.curve_runs().filter_map(|run| run.cost?.steering_cpu);
        let live: Vec<f64> = live.map(|share| share.0).collect();
        targets.push(target(
            "share of a core of all that moves under `curve` ran in vmferry, in real moves",
            Good::AtMost(0.01),
            Unit::Share,
            record::median(&live),
            &format!(
                "median of {} moves, with what follows the move and what reads the bench's consoles",
                live.len()
            ),
        ));
    }
}

impl Target {
    /// The barrier of one controller over that of `off`.
    pub(super) fn barrier(what: &str, least: f64, times: Option<f64>, basis: &str) -> Self {
        target(what, Good::AtLeast(least), Unit::Times, times, basis)
    }
}
