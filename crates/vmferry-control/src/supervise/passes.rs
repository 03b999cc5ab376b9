//! Recognises passes by the growing count of bitmap synchronisations.

use std::time::Duration;

use vmferry_core::PassRecord;

use super::MigrationSample;

/// Puts together what announces a pass (an event, in time but without
/// numbers) and what describes it (the next sample).
#[derive(Clone, Debug, Default)]
pub(super) struct PassWatch {
    seen: Vec<PassRecord>,
    /// Announced, and not yet described.
    pending: Option<PassRecord>,
}

impl PassWatch {
    /// A pass was announced. Returns the one before it, where no sample came
    /// in between.
    pub(super) fn announced(&mut self, now: Duration, pass: u64) -> Option<PassRecord> {
        if pass <= self.newest() {
            return None;
        }
        let before = self.flush();
        self.pending = Some(bare(now, pass));
        before
    }

    /// A sample came: it describes the pass it was taken in.
    pub(super) fn sampled(&mut self, now: Duration, sample: &MigrationSample) -> Vec<PassRecord> {
        let Some(count) = sample.sync_count else {
            return Vec::new();
        };
        let mut told = Vec::new();
        if self.pending.as_ref().is_some_and(|p| p.pass < count) {
            told.extend(self.flush());
        }
        // Still on its way: the sample is older than the announcement.
        if self.pending.as_ref().is_some_and(|p| p.pass > count) {
            return told;
        }
        let at = match self.pending.take() {
            Some(pending) => Some(pending),
            None if count > self.newest() => Some(bare(now, count)),
            None => None,
        };
        if let Some(pass) = at {
            let pass = PassRecord {
                remaining_bytes: sample.remaining,
                transferred_bytes: sample.transferred,
                dirty_pages_per_s: sample.dirty_pages_per_s,
                expected_downtime_ms: sample.expected_downtime,
                ..pass
            };
            self.seen.push(pass.clone());
            told.push(pass);
        }
        told
    }

    /// Gives up waiting for numbers of an announced pass.
    pub(super) fn flush(&mut self) -> Option<PassRecord> {
        let pass = self.pending.take()?;
        self.seen.push(pass.clone());
        Some(pass)
    }

    pub(super) fn seen(&self) -> &[PassRecord] {
        &self.seen
    }

    fn newest(&self) -> u64 {
        self.pending
            .as_ref()
            .or(self.seen.last())
            .map_or(0, |p| p.pass)
    }
}

/// A pass of which only the number and the time are known.
fn bare(now: Duration, pass: u64) -> PassRecord {
    PassRecord {
        pass,
        at_ms: now.into(),
        remaining_bytes: None,
        transferred_bytes: None,
        dirty_pages_per_s: None,
        expected_downtime_ms: None,
    }
}
