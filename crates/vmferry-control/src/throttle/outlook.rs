//! What lies ahead of a move on a course.

use std::time::Duration;

use vmferry_core::ByteRate;
use vmferry_precopy::qemu::Course;

use super::look::Look;

/// What becomes of a move.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ahead {
    /// When it is over, from the command; `None` where it does not converge
    /// within the outlook's horizon.
    pub ends_at: Option<Duration>,
    /// STOP at the source to RESUME at the destination; `None` likewise.
    pub downtime: Option<Duration>,
    /// The guest's work lost from now to the end, pause included, in time at
    /// full speed; to the horizon where there is no end.
    pub lost: Duration,
}

/// Answers what controllers that plan want to know. The speed in a course is
/// the share of the CPU it uses that the guest gets, its rates are those that
/// `max-bandwidth` is set to.
pub trait Outlook {
    /// What becomes of the move if this holds from now on. Takes well below a
    /// millisecond: it is asked many times.
    fn ahead(&self, look: &Look, course: &Course, downtime_limit: Duration) -> Ahead;

    /// Compares what was foreseen with what came. Called once with every look.
    fn learn(&mut self, _look: &Look) {}

    /// The end that was foreseen has passed, without an end: things are worse
    /// than thought.
    fn overdue(&mut self) {}

    /// What the link is thought to carry, bytes of stream per second.
    fn link_rate(&self) -> ByteRate;

    /// What a pause takes beyond what QEMU plans for.
    fn outside(&self) -> Duration {
        Duration::ZERO
    }
}
