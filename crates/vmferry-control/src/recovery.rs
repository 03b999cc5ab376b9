//! A post-copy whose stream breaks leaves the guest between both hosts: it
//! runs at the destination and stands still where it needs memory that only
//! the source has. Nothing but a new stream helps, so it is asked for until it
//! stands.
//!
//! ```text
//! silent or broken ──> destination paused ──> source paused ──> destination listens ──> source resumes
//!                      PauseDestination       PauseSource       Listen                  Resume
//! ```
//!
//! The destination comes first: one that has not loaded the guest's devices
//! yet refuses to be paused, and a source paused before that could never bring
//! the rest of them. A link that comes back saves such a stream by itself.

use std::time::Duration;

use vmferry_core::{Bytes, MigrationStatus};

use crate::phase::is_past_return;
use crate::supervise::Side;

/// A post-copy that sends nothing for this long has lost its stream: it sends
/// all the time, in the background too. TCP alone would wait for many minutes.
const SILENCE: Duration = Duration::from_secs(5);
/// The ends of a new stream agree in a round trip or two; the handshake over
/// 50 Mbit/s took 50 ms.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// What was refused, or led nowhere, is tried again after this: nobody tells
/// when a link is back.
const RETRY: Duration = Duration::from_secs(1);

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Break the stream at the source (`migrate-pause`).
    PauseSource,
    /// Break it at the destination (`migrate-pause`).
    PauseDestination,
    /// Let the destination listen anew (`migrate-recover`).
    Listen,
    /// Let the source go on (`migrate` with `resume`).
    Resume,
}

/// Follows the statuses of both ends and says what to do about a broken stream.
#[derive(Clone, Debug)]
pub struct Recovery {
    source: MigrationStatus,
    /// As far as it was heard of since the stream last stood.
    destination: MigrationStatus,
    /// What the destination is asked next: it refuses the one or the other.
    probe: Step,
    /// When the source's status came up.
    source_since: Duration,
    sent: Option<Bytes>,
    /// When something was sent last, or the post-copy began or went on.
    sent_at: Duration,
    /// Whether the destination listens for a source that did not come yet.
    listening: bool,
    /// Whether the destination cannot be told anything.
    by_source_alone: bool,
    not_before: Duration,
    broken: bool,
    seen: bool,
}

impl Default for Recovery {
    fn default() -> Self {
        Self {
            source: MigrationStatus::None,
            destination: MigrationStatus::None,
            probe: Step::PauseDestination,
            source_since: Duration::ZERO,
            sent: None,
            sent_at: Duration::ZERO,
            listening: false,
            by_source_alone: false,
            not_before: Duration::ZERO,
            broken: false,
            seen: false,
        }
    }
}

impl Recovery {
    /// For who reaches the source only: a destination that was told to listen
    /// does so until the source comes. One whose main loop waits for a missing
    /// page takes no new client before.
    pub fn by_source_alone() -> Self {
        Self {
            by_source_alone: true,
            ..Self::default()
        }
    }

    /// Takes in a status that one end reported `now`, as often as it comes.
    pub fn status(&mut self, now: Duration, side: Side, status: &MigrationStatus) {
        match side {
            Side::Source => self.source_is(now, status),
            Side::Destination => {
                if self.destination == *status {
                    return;
                }
                self.destination = status.clone();
                self.probe = Step::PauseDestination;
                if *status == MigrationStatus::PostcopyPaused {
                    // It listened for a stream that has come and broken.
                    self.listening = false;
                    self.probe = Step::Listen;
                    self.not_before = now;
                }
            }
        }
    }

    fn source_is(&mut self, now: Duration, status: &MigrationStatus) {
        if *status == self.source {
            return;
        }
        self.seen |= is_past_return(status);
        match status {
            MigrationStatus::PostcopyActive => {
                self.sent_at = now;
                self.listening = false;
                self.broken = false;
                self.destination = MigrationStatus::None;
                self.probe = Step::PauseDestination;
            }
            MigrationStatus::PostcopyPaused => {
                self.broken = true;
                if self.source == MigrationStatus::PostcopyRecover {
                    self.listening = false;
                }
            }
            end if end.is_end() => self.broken = false,
            _ => {}
        }
        self.source = status.clone();
        self.source_since = now;
    }

    /// Takes in how much was sent so far.
    pub fn sent(&mut self, now: Duration, sent: Option<Bytes>) {
        if sent != self.sent {
            self.sent = sent;
            self.sent_at = now;
        }
    }

    /// What to do now, if anything. Asked again after [`Recovery::done`] and
    /// [`Recovery::refused`].
    pub fn next(&self, now: Duration) -> Option<Step> {
        use MigrationStatus::{PostcopyActive, PostcopyPaused, PostcopyRecover};
        let for_long = |since: Duration, limit: Duration| now.saturating_sub(since) >= limit;
        if now < self.not_before {
            return None;
        }
        match self.source {
            PostcopyActive if self.listening || self.destination == PostcopyPaused => {
                Some(Step::PauseSource)
            }
            PostcopyActive if !self.by_source_alone && for_long(self.sent_at, SILENCE) => {
                Some(self.probe)
            }
            PostcopyRecover if for_long(self.source_since, HANDSHAKE) => Some(Step::PauseSource),
            PostcopyPaused if self.listening || self.by_source_alone => Some(Step::Resume),
            PostcopyPaused => Some(self.probe),
            _ => None,
        }
    }

    /// A step was carried out.
    pub fn done(&mut self, now: Duration, step: Step) {
        match step {
            Step::Listen => {
                self.listening = true;
                return;
            }
            Step::PauseDestination => self.probe = Step::Listen,
            Step::PauseSource | Step::Resume => {}
        }
        // What follows is told by a status.
        self.not_before = now + RETRY;
    }

    /// A step was refused, or not answered.
    pub fn refused(&mut self, now: Duration, step: Step) {
        match step {
            // It is not paused, or still lets go of its old address: asking it
            // to pause does no harm then.
            Step::Listen => self.probe = Step::PauseDestination,
            // It is paused, or not in post-copy yet.
            Step::PauseDestination => self.probe = Step::Listen,
            Step::PauseSource | Step::Resume => {}
        }
        self.not_before = now + RETRY;
    }

    /// Whether the stream is broken: the guest is split between both ends.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// Whether the destination was told to listen, and nobody came yet.
    pub fn is_listening(&self) -> bool {
        self.listening
    }

    /// Whether the guest is between both ends, the stream broken or not.
    pub fn is_under_way(&self) -> bool {
        is_past_return(&self.source)
    }

    /// Whether this move has ever been in post-copy.
    pub fn was_postcopy(&self) -> bool {
        self.seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use MigrationStatus::{
        Active, Completed, PostcopyActive, PostcopyPaused, PostcopyRecover, PostcopyRecoverSetup,
    };

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn in_postcopy() -> Recovery {
        let mut recovery = Recovery::default();
        recovery.status(s(0), Side::Source, &Active);
        assert!(!recovery.was_postcopy());
        for side in [Side::Source, Side::Destination] {
            recovery.status(s(3), side, &PostcopyActive);
        }
        recovery.sent(s(3), Some(Bytes(10)));
        recovery
    }

    /// One that has just been paused at both ends.
    fn paused() -> Recovery {
        let mut recovery = in_postcopy();
        for side in [Side::Source, Side::Destination] {
            recovery.status(s(4), side, &PostcopyPaused);
        }
        recovery
    }

    #[test]
    fn a_stream_that_flows_is_left_alone() {
        let mut recovery = in_postcopy();
        for second in 3..60 {
            recovery.sent(s(second), Some(Bytes(second)));
            assert_eq!(recovery.next(s(second)), None);
        }
        recovery.status(s(60), Side::Source, &Completed);
        assert_eq!(recovery.next(s(100)), None);
        assert!(recovery.was_postcopy() && !recovery.is_under_way() && !recovery.is_broken());
    }

    #[test]
    fn silence_in_precopy_is_nobodys_business_here() {
        let mut recovery = Recovery::default();
        recovery.status(s(0), Side::Source, &Active);
        recovery.sent(s(0), Some(Bytes(1)));
        assert_eq!(recovery.next(s(1000)), None);
    }

    #[test]
    fn a_silent_stream_is_broken_listened_for_and_resumed() {
        let mut recovery = in_postcopy();
        assert_eq!(recovery.next(s(7)), None);
        assert_eq!(recovery.next(s(8)), Some(Step::PauseDestination));
        recovery.done(s(8), Step::PauseDestination);
        recovery.status(s(8), Side::Destination, &PostcopyPaused);
        assert_eq!(recovery.next(s(8)), Some(Step::PauseSource));
        recovery.done(s(8), Step::PauseSource);
        recovery.status(s(8), Side::Source, &PostcopyPaused);
        assert!(recovery.is_broken());
        assert_eq!(recovery.next(s(9)), Some(Step::Listen));
        recovery.done(s(9), Step::Listen);
        assert_eq!(recovery.next(s(9)), Some(Step::Resume));
        recovery.done(s(9), Step::Resume);
        recovery.status(s(9), Side::Source, &PostcopyRecoverSetup);
        recovery.status(s(9), Side::Source, &PostcopyRecover);
        assert_eq!(recovery.next(s(12)), None);
        recovery.status(s(12), Side::Source, &PostcopyActive);
        assert_eq!(recovery.next(s(13)), None);
        recovery.status(s(12), Side::Destination, &PostcopyActive);
        assert!(!recovery.is_broken() && recovery.is_under_way());
        assert_eq!(recovery.next(s(13)), None);
    }

    /// Measured: with the link cut before the devices are there, the
    /// destination refuses to be paused and to listen.
    #[test]
    fn a_source_whose_guest_has_not_arrived_is_not_paused() {
        let mut recovery = Recovery::default();
        recovery.status(s(0), Side::Source, &PostcopyActive);
        recovery.status(s(0), Side::Destination, &Active);
        for second in (5..100).step_by(2) {
            assert_eq!(recovery.next(s(second)), Some(Step::PauseDestination));
            recovery.refused(s(second), Step::PauseDestination);
            assert_eq!(recovery.next(s(second)), None);
            assert_eq!(recovery.next(s(second + 1)), Some(Step::Listen));
            recovery.refused(s(second + 1), Step::Listen);
        }
        recovery.sent(s(100), Some(Bytes(1)));
        assert_eq!(recovery.next(s(102)), None);
    }

    #[test]
    fn a_destination_found_to_listen_has_lost_its_stream() {
        let mut recovery = Recovery::default();
        recovery.status(s(0), Side::Source, &PostcopyActive);
        recovery.refused(s(5), Step::PauseDestination);
        recovery.done(s(6), Step::Listen);
        assert_eq!(recovery.next(s(6)), Some(Step::PauseSource));
        recovery.status(s(6), Side::Source, &PostcopyPaused);
        assert_eq!(recovery.next(s(6)), Some(Step::Resume));
    }

    #[test]
    fn a_link_that_stays_down_is_tried_once_a_second() {
        let mut recovery = paused();
        assert_eq!(recovery.next(s(4)), Some(Step::Listen));
        recovery.done(s(4), Step::Listen);
        for second in 4..100 {
            assert_eq!(recovery.next(s(second)), Some(Step::Resume));
            recovery.done(s(second), Step::Resume);
            recovery.status(s(second), Side::Source, &PostcopyRecoverSetup);
            assert_eq!(recovery.next(s(second)), None);
            recovery.status(s(second), Side::Source, &PostcopyPaused);
            assert_eq!(recovery.next(s(second)), None);
        }
    }

    /// The kernel accepts in the name of a destination that does not come to it.
    #[test]
    fn a_handshake_that_hangs_is_broken_and_listened_for_anew() {
        let mut recovery = paused();
        recovery.done(s(4), Step::Listen);
        recovery.done(s(4), Step::Resume);
        recovery.status(s(4), Side::Source, &PostcopyRecover);
        assert_eq!(recovery.next(s(13)), None);
        assert_eq!(recovery.next(s(14)), Some(Step::PauseSource));
        recovery.done(s(14), Step::PauseSource);
        recovery.status(s(14), Side::Source, &PostcopyPaused);
        assert_eq!(recovery.next(s(15)), Some(Step::Listen));
    }

    #[test]
    fn a_new_stream_that_breaks_at_the_destination_is_listened_for_anew() {
        let mut recovery = paused();
        recovery.done(s(4), Step::Listen);
        recovery.status(s(5), Side::Destination, &PostcopyRecover);
        recovery.status(s(6), Side::Destination, &PostcopyPaused);
        assert_eq!(recovery.next(s(6)), Some(Step::Listen));
    }

    /// Whoever joins late has missed the destination's events.
    #[test]
    fn refusals_tell_what_was_missed() {
        let mut recovery = Recovery::default();
        recovery.status(s(0), Side::Source, &PostcopyPaused);
        assert_eq!(recovery.next(s(0)), Some(Step::PauseDestination));
        recovery.refused(s(0), Step::PauseDestination);
        assert_eq!(recovery.next(s(0)), None);
        assert_eq!(recovery.next(s(1)), Some(Step::Listen));
        recovery.refused(s(1), Step::Listen);
        assert_eq!(recovery.next(s(2)), Some(Step::PauseDestination));
    }

    #[test]
    fn the_source_alone_tries_a_destination_that_may_listen() {
        let mut recovery = Recovery::by_source_alone();
        recovery.status(s(0), Side::Source, &PostcopyPaused);
        assert_eq!(recovery.next(s(0)), Some(Step::Resume));
        recovery.done(s(0), Step::Resume);
        recovery.status(s(0), Side::Source, &PostcopyRecover);
        assert_eq!(recovery.next(s(10)), Some(Step::PauseSource));
        recovery.status(s(10), Side::Source, &PostcopyPaused);
        assert_eq!(recovery.next(s(11)), Some(Step::Resume));
    }

    #[test]
    fn a_break_that_only_the_destination_has_seen_is_made_one_of_both() {
        let mut recovery = in_postcopy();
        recovery.status(s(4), Side::Destination, &PostcopyPaused);
        assert_eq!(recovery.next(s(4)), Some(Step::PauseSource));
    }
}
