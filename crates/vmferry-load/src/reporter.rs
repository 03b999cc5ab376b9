//! Writes a progress line every 100 ms.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use vmferry_load::report::{Message, Progress};

use crate::clock::{self, MILLISECOND, Nanos, SECOND};
use crate::pause::Pauses;
use crate::tally::Tally;

const PERIOD: Nanos = 100 * MILLISECOND;

/// What was reported last, to give rates.
pub(crate) struct Reporter {
    tallies: Vec<Arc<Tally>>,
    pauses: Arc<Pauses>,
    last: Nanos,
    last_bytes: u64,
    told: Vec<bool>,
}

impl Reporter {
    pub(crate) fn new(tallies: Vec<Arc<Tally>>, pauses: Arc<Pauses>, now: Nanos) -> Self {
        Self {
            told: vec![false; tallies.len()],
            tallies,
            pauses,
            last: now,
            last_bytes: 0,
        }
    }

    /// Reports until the given time, or for ever.
    ///
    /// # Errors
    /// The console cannot be written.
    pub(crate) fn run(mut self, out: &mut dyn Write, until: Option<Nanos>) -> io::Result<()> {
        let mut due = self.last;
        while until.is_none_or(|until| due < until) {
            // Missed lines are not made up for.
            due = (due + PERIOD).max(clock::now());
            clock::sleep_until(due);
            for failure in self.failures() {
                out.write_all(format!("{failure}\n").as_bytes())?;
            }
            let line = format!("{}\n", self.progress(clock::now()));
            out.write_all(line.as_bytes())?;
            out.flush()?;
        }
        Ok(())
    }

    /// Parts that have failed since the last call.
    fn failures(&mut self) -> Vec<Message> {
        let mut failures = Vec::new();
        for (tally, told) in self.tallies.iter().zip(&mut self.told) {
            if let Some(problem) = tally.failure().filter(|_| !*told) {
                *told = true;
                failures.push(Message::Error(problem.to_owned()));
            }
        }
        failures
    }

    fn progress(&mut self, now: Nanos) -> Progress {
        let bytes = self.tallies.iter().map(|tally| tally.bytes()).sum();
        let elapsed = u128::from((now - self.last).max(1));
        let rate = u128::from(bytes - self.last_bytes) * u128::from(SECOND) / elapsed;
        self.last = now;
        self.last_bytes = bytes;
        Progress {
            time: Duration::from_nanos(now),
            work: self.tallies.iter().map(|tally| tally.work()).collect(),
            bytes,
            pause: self.pauses.take_recent(),
            longest_pause: self.pauses.longest(),
            rate: rate as u64,
            aim: self.tallies.iter().map(|tally| tally.aim()).sum(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_told_once() {
        let tallies = [Arc::new(Tally::default()), Arc::new(Tally::default())];
        let mut reporter = Reporter::new(tallies.to_vec(), Arc::default(), SECOND);
        assert_eq!(reporter.failures(), []);
        tallies[1].fail("program sort: ended".to_owned());
        tallies[1].fail("later".to_owned());
        let told = Message::Error("program sort: ended".to_owned());
        assert_eq!(reporter.failures(), [told]);
        assert_eq!(reporter.failures(), []);
    }

    #[test]
    fn rates_are_by_the_clock_and_aims_add_up() {
        let tallies = [Arc::new(Tally::default()), Arc::new(Tally::default())];
        let mut reporter = Reporter::new(tallies.to_vec(), Arc::default(), SECOND);
        tallies[0].add(3, 3 * 4096);
        tallies[1].add(10, 0);
        tallies[0].set_aim(Some(50));
        let first = reporter.progress(SECOND + PERIOD);
        assert_eq!((first.work, first.bytes), (vec![3, 10], 3 * 4096));
        assert_eq!((first.rate, first.aim), (30 * 4096, Some(50)));
        tallies[0].add(1, 4096);
        tallies[1].set_aim(None);
        let second = reporter.progress(2 * SECOND + PERIOD);
        assert_eq!(
            (second.rate, second.aim, second.bytes),
            (4096, None, 4 * 4096)
        );
    }
}
