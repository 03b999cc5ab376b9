//! Nothing.

use super::Run;
use crate::clock::{self, Nanos, SECOND};
use crate::tally::Tally;

/// Sleeps.
pub(crate) struct Idle;

impl Run for Idle {
    fn run(&mut self, until: Option<Nanos>, tally: &Tally) {
        tally.set_aim(Some(0));
        loop {
            let now = clock::now();
            if until.is_some_and(|until| now >= until) {
                return;
            }
            clock::sleep_until(until.unwrap_or(now + 3600 * SECOND));
        }
    }
}
