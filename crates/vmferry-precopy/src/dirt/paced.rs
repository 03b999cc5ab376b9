//! A guest whose speed changes while it is replayed.

use std::cell::RefCell;
use std::ops::Range;
use std::time::Duration;

use vmferry_core::{Pages, Ratio};

use super::{AggregateDirt, Dirt, Found, PageCount, Piece, Unsent};

/// A source of dirt on a clock of its own, which a CPU cap slows down.
///
/// The replay's clock is mapped to the guest's piece by piece: what is written
/// while the guest runs at half its speed is what it writes in half the time
/// (`jin2011` eq. 8). Whoever steps a replay sets the speed between two steps;
/// the replay only ever asks for what lies behind it.
#[derive(Clone, Debug)]
pub struct PacedDirt<D> {
    dirt: D,
    clock: RefCell<GuestClock>,
}

/// The replay's clock against the guest's.
#[derive(Clone, Debug)]
struct GuestClock {
    /// By growing instant; the first begins with the command.
    pieces: Vec<ClockPiece>,
}

/// A span of one speed.
#[derive(Clone, Copy, Debug)]
struct ClockPiece {
    /// When it begins on the replay's clock.
    since: f64,
    /// The guest's clock then.
    guest: f64,
    /// Guest seconds a second; at least 0.
    speed: f64,
}

impl GuestClock {
    /// The guest's clock at an instant of the replay's.
    fn at(&self, now: f64) -> f64 {
        let after = self.pieces.partition_point(|piece| piece.since <= now);
        let piece = self.pieces[after.max(1) - 1];
        piece.guest + (now - piece.since) * piece.speed
    }
}

impl<D> PacedDirt<D> {
    /// The guest at full speed from the command on.
    pub fn new(dirt: D) -> Self {
        let first = ClockPiece {
            since: 0.0,
            guest: 0.0,
            speed: 1.0,
        };
        Self {
            dirt,
            clock: RefCell::new(GuestClock {
                pieces: vec![first],
            }),
        }
    }

    /// Sets the speed from an instant on: 1 is as the source tells, 0 a guest
    /// that stands still. Instants must not go back: an earlier one than that
    /// of the call before counts as the same; a negative speed as 0.
    pub fn set_speed(&self, since: Duration, speed: Ratio) {
        let mut clock = self.clock.borrow_mut();
        let last = clock.pieces[clock.pieces.len() - 1];
        let since = since.as_secs_f64().max(last.since);
        let guest = clock.at(since);
        let piece = ClockPiece {
            since,
            guest,
            speed: speed.0.max(0.0),
        };
        if piece.speed != last.speed {
            clock.pieces.push(piece);
        }
    }

    /// How long the guest has run by its own clock at an instant.
    pub fn guest_time(&self, now: Duration) -> Duration {
        Duration::from_secs_f64(self.clock.borrow().at(now.as_secs_f64()).max(0.0))
    }

    fn at(&self, now: f64) -> f64 {
        self.clock.borrow().at(now)
    }
}

impl<D: AggregateDirt> AggregateDirt for PacedDirt<D> {
    fn total(&self) -> PageCount {
        self.dirt.total()
    }

    fn dirtied(&self, since: f64, until: f64) -> PageCount {
        self.dirt.dirtied(self.at(since), self.at(until))
    }

    fn found_again(&self, before: &Found, after: &Found) -> f64 {
        let on_guest_clock = |found: &Found| Found {
            since: self.at(found.since),
            until: self.at(found.until),
            pages: found.pages,
        };
        self.dirt
            .found_again(&on_guest_clock(before), &on_guest_clock(after))
    }
}

impl<D: Dirt> Dirt for PacedDirt<D> {
    type Unsent<'a>
        = PacedUnsent<'a, D::Unsent<'a>>
    where
        D: 'a;

    fn unsent(&self) -> PacedUnsent<'_, D::Unsent<'_>> {
        PacedUnsent {
            unsent: self.dirt.unsent(),
            clock: &self.clock,
        }
    }
}

/// Memory under way of a [`PacedDirt`].
#[derive(Clone, Debug)]
pub struct PacedUnsent<'a, U> {
    unsent: U,
    clock: &'a RefCell<GuestClock>,
}

impl<U> PacedUnsent<'_, U> {
    fn at(&self, now: f64) -> f64 {
        self.clock.borrow().at(now)
    }
}

impl<U: Unsent> Unsent for PacedUnsent<'_, U> {
    fn positions(&self) -> usize {
        self.unsent.positions()
    }

    fn chunks(&self, chunk: Pages) -> Vec<Range<usize>> {
        self.unsent.chunks(chunk)
    }

    fn pages(&self) -> f64 {
        self.unsent.pages()
    }

    fn resume(&mut self, pending: &[f64], cursor: usize, never_sent: bool) {
        self.unsent.resume(pending, cursor, never_sent);
    }

    fn look(&mut self, positions: Range<usize>, since: f64, until: f64) -> f64 {
        let (since, until) = (self.at(since), self.at(until));
        self.unsent.look(positions, since, until)
    }

    fn next(&mut self) -> Option<Piece> {
        self.unsent.next()
    }

    fn coming_unit(&self) -> Option<Piece> {
        self.unsent.coming_unit()
    }

    fn take(&mut self, pages: f64) {
        self.unsent.take(pages);
    }

    fn skip_redirtied(&mut self, cleaned: f64, now: f64, batch: f64) -> (f64, f64) {
        let (cleaned, now) = (self.at(cleaned), self.at(now));
        self.unsent.skip_redirtied(cleaned, now, batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dirt::{ConstantDirt, Writes};
    use vmferry_core::ByteRate;

    fn seconds(s: f64) -> Duration {
        Duration::from_secs_f64(s)
    }

    #[test]
    fn a_slow_guest_writes_as_it_did_in_less_time() {
        let rate = ByteRate(4096.0 * 100.0);
        let guest = ConstantDirt::new(
            rate,
            Pages(10_000),
            Writes::Sequential,
            Pages(50_000),
            Ratio(0.0),
        );
        let paced = PacedDirt::new(guest);
        paced.set_speed(seconds(10.0), Ratio(0.5));
        paced.set_speed(seconds(20.0), Ratio(0.0));
        paced.set_speed(seconds(30.0), Ratio(1.0));
        let dirtied = |a, b| paced.dirtied(a, b).pages().round();
        assert_eq!(dirtied(0.0, 10.0), 1000.0);
        assert_eq!(dirtied(5.0, 20.0), 1000.0);
        assert_eq!(dirtied(20.0, 30.0), 0.0);
        assert_eq!(dirtied(25.0, 31.0), 100.0);
        assert_eq!(paced.guest_time(seconds(40.0)), seconds(25.0));
        let mut unsent = paced.unsent();
        let all = 0..unsent.positions();
        unsent.resume(&vec![0.0; all.end], 0, false);
        assert_eq!(unsent.look(all, 5.0, 20.0).round(), 1000.0);
    }

    #[test]
    fn the_clock_never_goes_back() {
        let guest = ConstantDirt::new(
            ByteRate(4096.0),
            Pages(10),
            Writes::Sequential,
            Pages(10),
            Ratio(0.0),
        );
        let paced = PacedDirt::new(guest);
        paced.set_speed(seconds(4.0), Ratio(0.25));
        paced.set_speed(seconds(2.0), Ratio(-1.0));
        assert_eq!(paced.guest_time(seconds(8.0)), seconds(4.0));
    }
}
