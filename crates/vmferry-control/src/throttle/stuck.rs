//! What is done when nothing allowed makes a move meet its promises.

use std::time::Duration;

use vmferry_core::{ByteRate, Bytes, Ratio};

use super::governor::{Ending, Wish};
use super::look::Look;
use super::outlook::Ahead;
use super::promise::{Policy, Promises, Reason};

/// How near the courses tried came to the promises.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Shortfall {
    /// The earliest end of those that converge under the longest pause.
    earliest: Option<Duration>,
    /// The least slowdown of those that end in time.
    slowdown: Option<Ratio>,
}

impl Shortfall {
    /// Whether a course keeps every promise; where not, how it falls short.
    pub(super) fn keeps(
        &mut self,
        ahead: &Ahead,
        promises: &Promises,
        deadline: Duration,
        lost: Duration,
    ) -> bool {
        let (Some(end), Some(downtime)) = (ahead.ends_at, ahead.downtime) else {
            return false;
        };
        if downtime > promises.max_downtime {
            return false;
        }
        self.earliest = Some(self.earliest.map_or(end, |earliest| earliest.min(end)));
        if end > deadline {
            return false;
        }
        let slowdown = (lost + ahead.lost).as_secs_f64() / end.as_secs_f64().max(1e-3);
        let least = self
            .slowdown
            .map_or(slowdown, |least| least.0.min(slowdown));
        self.slowdown = Some(Ratio(least));
        promises.max_slowdown.is_none_or(|most| slowdown <= most.0)
    }

    fn reason(&self, promises: &Promises, policy: &Policy) -> Reason {
        match (self.slowdown, self.earliest) {
            (Some(slowdown), _) if promises.max_slowdown.is_some() => {
                Reason::TooCostly { slowdown }
            }
            // What ends in time would hold the guest to the least share at once, with nothing
            // in reserve.
            (Some(_), _) => Reason::NotConverging {
                least_share: policy.least_share,
            },
            (None, Some(ends_at)) => Reason::TooLate { ends_at },
            (None, None) => Reason::NotConverging {
                least_share: policy.least_share,
            },
        }
    }
}

/// A move without a way out in sight.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Stuck {
    since: Option<Duration>,
    /// What was found when a way was sought last.
    shortfall: Option<Shortfall>,
}

impl Stuck {
    /// There is a way.
    pub(super) fn resolved(&mut self) {
        *self = Self::default();
    }

    /// [`Self::wish`] with what was found before; `None` where nothing was. A
    /// search that finds no way goes through all there are, and is not made at
    /// every look.
    pub(super) fn wish_again(
        &mut self,
        look: &Look,
        promises: &Promises,
        policy: &Policy,
        link: ByteRate,
    ) -> Option<Wish> {
        let shortfall = self.shortfall?;
        Some(self.wish(look, promises, policy, link, &shortfall))
    }

    /// The best allowed alternative: the guest at full speed under the longest
    /// pause; once a whole pass was seen, post-copy where it may be used and
    /// ends in time, else the end when patience or time is over. The first
    /// pass is always waited for: what it shows may correct the forecast.
    pub(super) fn wish(
        &mut self,
        look: &Look,
        promises: &Promises,
        policy: &Policy,
        link: ByteRate,
        shortfall: &Shortfall,
    ) -> Wish {
        self.shortfall = Some(*shortfall);
        let mut wish = Wish::default();
        let late = look.now >= promises.deadline;
        if look.pass < 2 && !late {
            return wish;
        }
        let since = *self.since.get_or_insert(look.now);
        let fetched = look.now + fetching(look.remaining, link);
        wish.ending = if promises.allow_postcopy && look.pass >= 2 && fetched <= promises.deadline {
            Some(Ending::PostCopy)
        } else if late || look.now.saturating_sub(since) >= policy.patience {
            Some(Ending::GiveUp(shortfall.reason(promises, policy)))
        } else {
            None
        };
        wish
    }
}

fn fetching(remaining: Bytes, link: ByteRate) -> Duration {
    remaining / link
}
