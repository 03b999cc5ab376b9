//! What a round has to send: an amount, or pages in order.

use super::Line;
use crate::dirt::{AggregateDirt, Dirt, Found, Unsent};

/// Parts of a round within which the share of redirtied pages counts as
/// constant. Each costs two looks at the source; 32 keep the worst replay of a
/// curve, 29 rounds, within some 20 microseconds.
const PARTS: u32 = 32;
/// Xen's `MAX_BATCH_SIZE`: pages between two peeks.
const BATCH: f64 = 1024.0;
/// Most peeks in a round of all memory: above 64 GiB batches grow.
const PEEKS: f64 = 16_384.0;

/// The set of pages a round sends.
pub(crate) trait ToSend {
    /// Pages in it.
    fn pages(&self) -> f64;

    /// Puts in what was dirtied in `since..until`; it was empty.
    fn collect(&mut self, since: f64, until: f64);

    /// Sends all of it but what was dirtied again since `skip`, where given.
    /// Tells the pages sent and those skipped, and leaves it empty.
    fn send(&mut self, line: &mut Line, skip: Option<f64>) -> (f64, f64);
}

/// An amount of pages that may lie anywhere.
pub(crate) struct AmountToSend<'a, D> {
    dirt: &'a D,
    pages: f64,
    /// The look that found them; `None` for all of memory.
    found: Option<Found>,
    all: f64,
}

impl<'a, D: AggregateDirt> AmountToSend<'a, D> {
    pub(crate) fn new(dirt: &'a D) -> Self {
        let all = dirt.total().pages();
        Self {
            dirt,
            pages: all,
            found: None,
            all,
        }
    }

    /// Share of the set that is dirtied again in `look..now`.
    fn again(&self, look: f64, now: f64) -> f64 {
        let after = self.dirt.found(look, now);
        match &self.found {
            Some(before) => self.dirt.found_again(before, &after),
            None if self.all > 0.0 => (after.pages / self.all).clamp(0.0, 1.0),
            None => 0.0,
        }
    }
}

impl<D: AggregateDirt> ToSend for AmountToSend<'_, D> {
    fn pages(&self) -> f64 {
        self.pages
    }

    fn collect(&mut self, since: f64, until: f64) {
        let found = self.dirt.found(since, until);
        self.pages = found.pages;
        self.found = Some(found);
    }

    fn send(&mut self, line: &mut Line, skip: Option<f64>) -> (f64, f64) {
        let pages = std::mem::take(&mut self.pages);
        let Some(cleared) = skip else {
            line.hand_over(pages);
            return (pages, 0.0);
        };
        let part = pages / f64::from(PARTS);
        let mut skipped = 0.0;
        for _ in 0..PARTS {
            let again = part * self.again(cleared, line.guest);
            skipped += again;
            line.hand_over(part - again);
        }
        (pages - skipped, skipped)
    }
}

/// Pages in the order of sending.
pub(crate) struct PagesToSend<U> {
    unsent: U,
    batch: f64,
}

impl<U: Unsent> PagesToSend<U> {
    pub(crate) fn new<'a, D: Dirt<Unsent<'a> = U>>(dirt: &'a D) -> Self {
        let unsent = dirt.unsent();
        Self {
            batch: BATCH.max((unsent.pages() / PEEKS).ceil()),
            unsent,
        }
    }

    /// Sends up to `pages` pages.
    fn send_some(&mut self, line: &mut Line, mut pages: f64) -> f64 {
        let mut sent = 0.0;
        while pages > 0.0
            && let Some(piece) = self.unsent.next()
        {
            let now = piece.pages.min(pages);
            line.hand_over(now);
            self.unsent.take(now);
            pages -= now;
            sent += now;
        }
        sent
    }
}

impl<U: Unsent> ToSend for PagesToSend<U> {
    fn pages(&self) -> f64 {
        self.unsent.pages()
    }

    fn collect(&mut self, since: f64, until: f64) {
        self.unsent.look(0..self.unsent.positions(), since, until);
    }

    fn send(&mut self, line: &mut Line, skip: Option<f64>) -> (f64, f64) {
        let Some(cleared) = skip else {
            return (self.send_some(line, f64::INFINITY), 0.0);
        };
        let (mut sent, mut skipped) = (0.0, 0.0);
        while self.unsent.pages() > 0.0 {
            let (given_up, passed) = self.unsent.skip_redirtied(cleared, line.guest, self.batch);
            let batch = self.send_some(line, passed.min(self.batch));
            sent += batch;
            skipped += given_up;
            if given_up <= 0.0 && batch <= 0.0 {
                break;
            }
        }
        (sent, skipped)
    }
}
