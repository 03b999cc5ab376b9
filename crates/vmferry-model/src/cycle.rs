//! Where in its round a guest is when the migration command is given.
//!
//! A guest that goes round ([`period`](crate::analysis::period)) meets a move at the same place of
//! its round as any other, unless it is known when the command comes. Right after the window it is:
//! replays then begin there, each in another of the rounds that were seen, and loop over whole
//! rounds, so that the seam lies where one round follows another.

use std::time::Duration;

use jiff::Timestamp;
use vmferry_core::PageHistory;

use crate::analysis::period::period;

/// Least autocorrelation of a period that replays rely on.
const CLEAR: f64 = 0.5;
/// Longest time from the window to the command: a period is known to a slice of 100 ms, and after
/// a dozen rounds the place in the round is lost.
const LONGEST: Duration = Duration::from_secs(30);
/// Most rounds from the window to the command.
const MOST_ROUNDS: f64 = 12.0;
/// How exactly the instant of the command is known, seconds to either side.
pub(crate) const VAGUE_S: f64 = 0.5;

/// A guest's round, and the command's place in it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Cycle {
    /// Length of a round, seconds.
    length: f64,
    /// Whole rounds within the window.
    rounds: u32,
    /// From the window's end to the command, seconds.
    until_command: f64,
}

impl Cycle {
    /// `None` where the guest does not clearly go round, or the command comes at an unknown time or
    /// too late.
    pub(crate) fn of(
        history: &PageHistory,
        window_ended_at: Option<Timestamp>,
        command_at: Option<Timestamp>,
    ) -> Option<Self> {
        let wait = command_at?.duration_since(window_ended_at?);
        let until_command = wait.as_secs_f64().max(0.0);
        let found = period(history).filter(|p| p.autocorrelation >= CLEAR)?;
        let length = found.length.as_secs_f64();
        let window = history.window_us() as f64 / 1e6;
        let known = until_command <= LONGEST.as_secs_f64().min(MOST_ROUNDS * length);
        (known && window >= length).then(|| Self {
            length,
            rounds: (window / length) as u32,
            until_command,
        })
    }

    /// The end of the window, as many whole rounds as there are.
    pub(crate) fn whole_rounds(&self, history: &PageHistory) -> PageHistory {
        let whole = (self.whole() * 1e6) as u64;
        history.since(history.window_us().saturating_sub(whole))
    }

    /// Where replay `number` begins in the whole rounds, seconds, so long after the command.
    pub(crate) fn start(&self, number: u32, after_command: f64) -> f64 {
        let round = f64::from(number % self.rounds) * self.length;
        (round + self.until_command + after_command).rem_euclid(self.whole())
    }

    fn whole(&self) -> f64 {
        f64::from(self.rounds) * self.length
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use vmferry_core::{Pages, SampledPage};

    use super::*;
    use crate::draws::Draws;

    /// 14 s in rounds of 4 s: a second of writing, three of rest; the window ends two seconds into
    /// a round.
    fn history() -> PageHistory {
        let page = |index| SampledPage {
            index: Pages(index),
            weight: 8.0,
            zero: false,
        };
        let mut history = PageHistory::new((0..256).map(page).collect());
        for look in 0..280usize {
            let writes = look % 80 < 20;
            let pages = (0..if writes { 16 } else { 0 }).map(|i| (look * 16 + i) % 256);
            history.push((look as u64 + 1) * 50_000, pages);
        }
        history
    }

    fn at(seconds: f64) -> Option<Timestamp> {
        let since = SignedDuration::from_secs_f64(seconds);
        Timestamp::UNIX_EPOCH.checked_add(since).ok()
    }

    #[test]
    fn replays_begin_where_the_guest_will_be() {
        let history = history();
        let cycle = Cycle::of(&history, at(100.0), at(101.0)).expect("it goes round");
        assert_eq!(cycle.rounds, 3);
        let whole = cycle.whole_rounds(&history);
        assert!((11.9..=12.1).contains(&(whole.window_us() as f64 / 1e6)));
        // 14 s are two seconds into a round; a second later it still rests, for a second more.
        for number in 0..5 {
            let start = cycle.start(number, 0.0);
            let written = |from: f64| {
                let look = (from * 20.0) as usize % whole.intervals();
                whole.row(look).iter().any(|bits| *bits != 0)
            };
            assert!(!written(start + 0.7), "{number}: {start}");
            assert!(written(start + 1.5), "{number}: {start}");
        }
    }

    #[test]
    fn unknown_instants_and_other_guests_have_no_place() {
        let history = history();
        assert_eq!(Cycle::of(&history, at(100.0), None), None);
        assert_eq!(Cycle::of(&history, None, at(101.0)), None);
        assert_eq!(Cycle::of(&history, at(100.0), at(140.0)), None);
        let mut even = PageHistory::new(history.pages().to_vec());
        let mut draws = Draws::of_sample(1, 1);
        for look in 0..280usize {
            let pages: Vec<usize> = (0..4).map(|_| (draws.uniform() * 255.0) as usize).collect();
            even.push((look as u64 + 1) * 50_000, pages);
        }
        assert_eq!(Cycle::of(&even, at(100.0), at(101.0)), None);
    }
}
