//! The supervisor of one move: told what happened and when, it says what to
//! tell the operator and what to do. It has no clock and no connection.
//!
//! ```text
//! driver: QMP events, polls, Ctrl-C ──Input──> Supervisor ──Output──> driver: event stream, QMP commands
//! ```

use std::time::Duration;

use vmferry_core::{Bytes, MigrationStatus, Millis, MoveEvent, PassRecord};

use crate::phase::{Transition, is_past_return};
use crate::warning::Warning;

mod passes;
use passes::PassWatch;

/// Progress is told at most this often: a quarter of a second looks fluent
/// on a terminal and keeps a recorded stream short.
pub const PROGRESS_INTERVAL: Duration = Duration::from_millis(250);

/// What a hypervisor said of the running migration; `None` where it did not.
#[derive(Clone, Debug, PartialEq)]
pub struct MigrationSample {
    /// The status.
    pub status: MigrationStatus,
    /// What remains to be sent.
    pub remaining: Option<Bytes>,
    /// Sent so far.
    pub transferred: Option<Bytes>,
    /// All that a first pass sends.
    pub total: Option<Bytes>,
    /// Synchronisations of the dirty bitmap so far.
    pub sync_count: Option<u64>,
    /// Dirty rate over the last pass, pages per second.
    pub dirty_pages_per_s: Option<u64>,
    /// Downtime if the switchover were now.
    pub expected_downtime: Option<Millis>,
}

impl MigrationSample {
    /// A status without numbers, as an event carries it.
    pub const fn status_only(status: MigrationStatus) -> Self {
        Self {
            status,
            remaining: None,
            transferred: None,
            total: None,
            sync_count: None,
            dirty_pages_per_s: None,
            expected_downtime: None,
        }
    }

    const fn has_numbers(&self) -> bool {
        self.remaining.is_some() || self.transferred.is_some() || self.sync_count.is_some()
    }
}

/// One end of a move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Where the guest came from.
    Source,
    /// Where it goes.
    Destination,
}

/// An event of one of the hypervisors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuestEvent {
    /// The guest stopped at the source.
    Stop,
    /// The guest resumed at the destination.
    Resume,
    /// The pass of that number began.
    Pass(u64),
}

/// What happened. Feed only what was seen after the migration command: a
/// status of an earlier move would be taken for the end of this one.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// The source said how far it is, polled or by an event.
    Status(MigrationSample),
    /// A hypervisor said that something happened.
    Event(GuestEvent),
    /// The operator wants the move cancelled.
    OperatorCancel,
    /// The connection to one end broke.
    ConnectionLost(Side),
}

/// What to do about it, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Tell every reader of the event stream.
    Tell(MoveEvent),
    /// Tell them this; see [`MoveEvent::from`].
    Warn(Warning),
    /// Cancel the migration at the source. At most once in a move.
    Cancel,
    /// A connection broke: ask both ends where the guest is.
    AskBothEnds,
    /// The source reported the end. At most once in a move, and the last
    /// output of it.
    Finish(EndKind),
}

/// How the source says that the migration ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndKind {
    /// The guest was handed over.
    Completed,
    /// The hypervisor gave up.
    Failed,
    /// It was cancelled.
    Cancelled,
}

impl EndKind {
    const fn of(status: &MigrationStatus) -> Option<Self> {
        match status {
            MigrationStatus::Completed => Some(Self::Completed),
            MigrationStatus::Failed => Some(Self::Failed),
            MigrationStatus::Cancelled => Some(Self::Cancelled),
            _ => None,
        }
    }
}

/// Follows one move from the migration command to its end.
#[derive(Clone, Debug)]
pub struct Supervisor {
    status: MigrationStatus,
    /// A status that contradicts the last one and was seen once.
    doubted: Option<MigrationStatus>,
    passes: PassWatch,
    last_progress: Option<Duration>,
    stopped_at: Option<Duration>,
    resumed_at: Option<Duration>,
    cancel_asked: bool,
    cancelled: bool,
    finished: Option<EndKind>,
}

impl Default for Supervisor {
    fn default() -> Self {
        Self::new()
    }
}

impl Supervisor {
    /// A supervisor for a move whose command is being given.
    pub fn new() -> Self {
        Self {
            status: MigrationStatus::None,
            doubted: None,
            passes: PassWatch::default(),
            last_progress: None,
            stopped_at: None,
            resumed_at: None,
            cancel_asked: false,
            cancelled: false,
            finished: None,
        }
    }

    /// Takes in what happened `now` after the migration command and says what
    /// to do about it. Nothing more after [`Output::Finish`].
    pub fn input(&mut self, now: Duration, input: Input) -> Vec<Output> {
        let mut out = Vec::new();
        if self.finished.is_some() {
            // The destination may resume after the source is done.
            if input == Input::Event(GuestEvent::Resume) {
                self.resumed_at.get_or_insert(now);
            }
            return out;
        }
        match input {
            Input::Status(sample) => self.sample(now, &sample, &mut out),
            Input::Event(GuestEvent::Stop) => {
                // The last one counts: a guest may have been stopped and
                // resumed by others before the switchover.
                self.stopped_at = Some(now);
            }
            Input::Event(GuestEvent::Resume) => {
                self.resumed_at.get_or_insert(now);
            }
            Input::Event(GuestEvent::Pass(pass)) => {
                out.extend(self.passes.announced(now, pass).map(tell_pass));
            }
            Input::OperatorCancel => self.cancel(&mut out),
            Input::ConnectionLost(_) => out.push(Output::AskBothEnds),
        }
        out
    }

    fn sample(&mut self, now: Duration, sample: &MigrationSample, out: &mut Vec<Output>) {
        self.follow(now, &sample.status, out);
        out.extend(self.passes.sampled(now, sample).into_iter().map(tell_pass));

        let due = self
            .last_progress
            .is_none_or(|last| now.saturating_sub(last) >= PROGRESS_INTERVAL);
        if due && sample.has_numbers() {
            self.last_progress = Some(now);
            out.push(Output::Tell(MoveEvent::Progress {
                at_ms: now.into(),
                status: self.status.clone(),
                transferred_bytes: sample.transferred,
                remaining_bytes: sample.remaining,
                total_bytes: sample.total,
                passes: sample.sync_count,
            }));
        }

        if let Some(end) = EndKind::of(&self.status) {
            out.extend(self.passes.flush().map(tell_pass));
            match end {
                EndKind::Completed if self.cancel_asked => {
                    out.push(Output::Warn(Warning::CancelTooLate));
                }
                EndKind::Cancelled if !self.cancelled => {
                    out.push(Output::Warn(Warning::CancelledElsewhere));
                }
                _ => {}
            }
            self.finished = Some(end);
            out.push(Output::Finish(end));
        }
    }

    /// Follows the reported status.
    fn follow(&mut self, now: Duration, to: &MigrationStatus, out: &mut Vec<Output>) {
        let transition = Transition::between(&self.status, to);
        if transition == Transition::Unexpected {
            // The answer to a poll may overtake or be overtaken by an event:
            // a status that contradicts the last one is believed when it is
            // seen again. An end is believed at once.
            if !to.is_end() && self.doubted.as_ref() != Some(to) {
                self.doubted = Some(to.clone());
                return;
            }
            out.push(Output::Warn(Warning::UnexpectedTransition {
                from: self.status.clone(),
                to: to.clone(),
            }));
        }
        self.doubted = None;
        if transition != Transition::Same {
            self.status = to.clone();
            out.push(Output::Tell(MoveEvent::Phase {
                at_ms: now.into(),
                status: to.clone(),
            }));
        }
    }

    fn cancel(&mut self, out: &mut Vec<Output>) {
        if self.cancel_asked {
            return;
        }
        self.cancel_asked = true;
        if is_past_return(&self.status) || self.resumed_at.is_some() {
            out.push(Output::Warn(Warning::CancelRefused {
                status: self.status.clone(),
            }));
        } else {
            self.cancelled = true;
            out.push(Output::Cancel);
        }
    }

    /// The last status that was believed.
    pub fn status(&self) -> &MigrationStatus {
        &self.status
    }

    /// Every pass seen so far, as the record keeps them.
    pub fn passes(&self) -> &[PassRecord] {
        self.passes.seen()
    }

    /// How it ended, once it did.
    pub fn finished(&self) -> Option<EndKind> {
        self.finished
    }

    /// Whether the operator asked for a cancel, carried out or not.
    pub fn cancel_asked(&self) -> bool {
        self.cancel_asked
    }

    /// When the guest stopped at the source, as the event arrived here.
    pub fn stopped_at(&self) -> Option<Duration> {
        self.stopped_at
    }

    /// When the guest resumed at the destination, as the event arrived here;
    /// this one may still come after the end.
    pub fn resumed_at(&self) -> Option<Duration> {
        self.resumed_at
    }
}

fn tell_pass(pass: PassRecord) -> Output {
    Output::Tell(MoveEvent::Pass { pass })
}

#[cfg(test)]
mod tests;
