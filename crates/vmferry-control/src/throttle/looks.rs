//! From what a hypervisor tells of a move to what a controller is told.

use std::time::Duration;

use vmferry_core::{Bytes, MigrationStatus};
use vmferry_precopy::tuning::{Round, Settings};

use super::look::{Look, Stage};
use crate::phase::is_past_return;
use crate::supervise::MigrationSample;

/// Puts looks together from announced passes (`MIGRATION_PASS`) and answers of
/// `query-migrate`.
///
/// QEMU tells what remains and what was sent, but not what a pass dirtied: that
/// is what remains after a look at the dirty log beyond what remained before
/// it. An answer that comes while QEMU looks already counts the pass, but not
/// yet what it dirtied: a pass is taken as begun from the first answer after
/// its announcement, or, where that was missed, from the second that counts it.
#[derive(Clone, Debug)]
pub struct Looks {
    /// The longest pause that QEMU plans for: what a pass leaves behind fits
    /// into it.
    limit: Duration,
    pass: u64,
    began: Duration,
    sent_at_begin: Bytes,
    announced: Option<(u64, Duration)>,
    unannounced: u64,
    last: Option<Amounts>,
    last_round: Option<Round>,
    stage: Stage,
    stopped_at: Option<Duration>,
}

/// A guest that is stopped for so long while memory is still sent was not stopped
/// for the switchover.
const STOPPED_BY_OTHERS: Duration = Duration::from_secs(2);

/// What an answer said.
#[derive(Clone, Copy, Debug)]
struct Amounts {
    at: Duration,
    remaining: Bytes,
    transferred: Bytes,
}

impl Looks {
    /// Nothing was seen yet of a move under a downtime limit.
    pub fn new(limit: Duration) -> Self {
        Self {
            limit,
            pass: 1,
            began: Duration::ZERO,
            sent_at_begin: Bytes(0),
            announced: None,
            unannounced: 0,
            last: None,
            last_round: None,
            stage: Stage::PreCopy,
            stopped_at: None,
        }
    }

    /// A look at the dirty log was announced; the pass of that number begins.
    pub fn announced(&mut self, now: Duration, pass: u64) {
        self.announced = Some((pass, now));
    }

    /// The guest stopped at the source; `None` before anything was seen.
    pub fn stopped(&mut self, now: Duration) -> Option<Look> {
        self.stopped_at = Some(now);
        self.last.map(|last| self.look(now, &last))
    }

    /// The move is over; `None` before anything was seen.
    pub fn over(&mut self, now: Duration) -> Option<Look> {
        self.stage = Stage::Over;
        self.last.map(|last| self.look(now, &last))
    }

    /// An answer; `None` while there is nothing to steer.
    pub fn sample(&mut self, now: Duration, sample: &MigrationSample) -> Option<Look> {
        self.stage = self.stage.max(stage(&sample.status)?);
        let (Some(remaining), Some(transferred)) = (sample.remaining, sample.transferred) else {
            return self.last.map(|last| self.look(now, &last));
        };
        let seen = Amounts {
            at: now,
            remaining,
            transferred,
        };
        if let Some(counted) = sample.sync_count
            && counted > self.pass
        {
            match self.announced {
                Some((pass, at)) if pass >= counted => self.turn(counted, at, &seen),
                _ if self.unannounced == counted => {
                    let at = self.last.map_or(now, |last| last.at);
                    self.turn(counted, at, &seen);
                }
                _ => {
                    self.unannounced = counted;
                    return self.last.map(|last| self.look(now, &last));
                }
            }
        }
        self.last = Some(seen);
        Some(self.look(now, &seen))
    }

    /// A pass ended at an instant between two answers.
    fn turn(&mut self, pass: u64, at: Duration, seen: &Amounts) {
        let before = self.last.unwrap_or(Amounts {
            at: self.began,
            ..*seen
        });
        let between = seen.at.saturating_sub(before.at).as_secs_f64();
        let until_turn = at.saturating_sub(before.at).as_secs_f64();
        let part = (until_turn / between.max(1e-9)).clamp(0.0, 1.0);
        let sent = seen.transferred.saturating_sub(before.transferred).0 as f64;
        let sent_at_turn = Bytes(before.transferred.0 + (sent * part) as u64);
        let length = at.saturating_sub(self.began);
        let sent_in_pass = sent_at_turn.saturating_sub(self.sent_at_begin);
        // QEMU looks once what remains fits into the pause. Zero pages leave faster than they
        // are sent, which what was sent cannot tell.
        let fits =
            sent_in_pass.0 as f64 / length.as_secs_f64().max(1e-3) * self.limit.as_secs_f64();
        let left = (before.remaining.0 as f64 - sent * part).clamp(0.0, fits);
        let found = seen.remaining.0 as f64 + sent * (1.0 - part);
        self.last_round = Some(Round {
            number: pass - 1,
            length,
            sent: sent_in_pass,
            skipped: Bytes(0),
            dirtied: Bytes((found - left).max(0.0) as u64),
            settings: Settings::default(),
            last: false,
        });
        self.pass = pass;
        self.began = at;
        self.sent_at_begin = sent_at_turn;
    }

    /// What holds is for whoever set it to say.
    fn look(&self, now: Duration, seen: &Amounts) -> Look {
        let just_stopped = self
            .stopped_at
            .is_some_and(|at| now < at + STOPPED_BY_OTHERS);
        Look {
            now,
            stage: if just_stopped {
                self.stage.max(Stage::Stopped)
            } else {
                self.stage
            },
            pass: self.pass,
            in_pass: now.saturating_sub(self.began),
            remaining: seen.remaining,
            transferred: seen.transferred,
            last_round: self.last_round,
            in_force: Settings::default(),
        }
    }
}

/// `None` where nothing can be steered yet.
fn stage(status: &MigrationStatus) -> Option<Stage> {
    use MigrationStatus::*;
    match status {
        None | Setup | WaitUnplug => Option::None,
        Active | Unknown(_) => Some(Stage::PreCopy),
        PreSwitchover | Device => Some(Stage::Stopped),
        Cancelling => Some(Stage::Over),
        end if end.is_end() => Some(Stage::Over),
        past if is_past_return(past) => Some(Stage::PostCopy),
        _ => Some(Stage::PreCopy),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1_000_000;

    fn sample(remaining: u64, transferred: u64, sync_count: u64) -> MigrationSample {
        MigrationSample {
            remaining: Some(Bytes(remaining * MB)),
            transferred: Some(Bytes(transferred * MB)),
            sync_count: Some(sync_count),
            ..MigrationSample::status_only(MigrationStatus::Active)
        }
    }

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    /// 50 MB/s; 100 MB in the first pass, which leaves 10 and finds 60 dirty.
    fn two_passes() -> Looks {
        let mut looks = Looks::new(ms(300));
        looks.sample(ms(0), &sample(100, 0, 1));
        looks.sample(ms(1700), &sample(15, 85, 1));
        looks
    }

    #[test]
    fn a_round_is_what_came_between_two_looks_at_the_log() {
        let mut looks = two_passes();
        looks.announced(ms(1800), 2);
        let look = looks.sample(ms(1802), &sample(70, 90, 2)).unwrap();
        assert_eq!((look.pass, look.in_pass), (2, ms(2)));
        let round = look.last_round.unwrap();
        assert_eq!((round.number, round.length), (1, ms(1800)));
        assert!((round.sent.0 as f64 - 90e6).abs() < 0.2e6, "{round:?}");
        assert!((round.dirtied.0 as f64 - 60e6).abs() < 0.3e6, "{round:?}");
    }

    #[test]
    fn an_answer_from_within_the_look_is_not_taken_for_its_result() {
        let mut looks = two_passes();
        // Counted, but what was dirtied is not in it yet, nor was it announced.
        let within = looks.sample(ms(1801), &sample(10, 90, 2)).unwrap();
        assert_eq!((within.pass, within.last_round), (1, None));
        // The announcement was missed: the next answer decides.
        let look = looks.sample(ms(1900), &sample(66, 94, 2)).unwrap();
        assert_eq!(look.pass, 2);
        let round = look.last_round.unwrap();
        assert!((round.dirtied.0 as f64 - 60e6).abs() < 6e6, "{round:?}");
    }

    #[test]
    fn zero_pages_at_the_end_of_a_pass_are_no_dirt() {
        let mut looks = Looks::new(ms(300));
        looks.sample(ms(0), &sample(300, 0, 1));
        looks.sample(ms(1900), &sample(190, 90, 1));
        // 190 MB of zero pages in a tenth of a second, then 40 MB are found dirty.
        looks.announced(ms(2000), 2);
        let look = looks.sample(ms(2002), &sample(50, 95, 2)).unwrap();
        let dirtied = look.last_round.unwrap().dirtied.0;
        assert!((35 * MB..=50 * MB).contains(&dirtied), "{dirtied}");
    }

    #[test]
    fn a_stop_is_not_taken_back() {
        let mut looks = two_passes();
        assert_eq!(looks.stopped(ms(1810)).unwrap().stage, Stage::Stopped);
        // An answer that was on its way.
        let late = looks.sample(ms(1815), &sample(5, 95, 1)).unwrap();
        assert_eq!(late.stage, Stage::Stopped);
        let status = MigrationSample::status_only(MigrationStatus::PostcopyActive);
        assert_eq!(
            looks.sample(ms(1900), &status).unwrap().stage,
            Stage::PostCopy
        );
        assert_eq!(looks.over(ms(2000)).unwrap().stage, Stage::Over);
    }

    #[test]
    fn a_guest_that_others_stop_and_continue_is_steered_on() {
        let mut looks = two_passes();
        assert_eq!(looks.stopped(ms(1710)).unwrap().stage, Stage::Stopped);
        let later = looks.sample(ms(4000), &sample(5, 95, 1)).unwrap();
        assert_eq!(later.stage, Stage::PreCopy);
    }

    #[test]
    fn nothing_is_steered_before_memory_is_sent() {
        let mut looks = Looks::new(ms(300));
        let setup = MigrationSample::status_only(MigrationStatus::Setup);
        assert_eq!(looks.sample(ms(1), &setup), None);
        assert_eq!(looks.stopped(ms(2)), None);
    }
}
