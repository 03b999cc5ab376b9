//! Notices a stream that stands still: a cut link looks like a migration that
//! never ends, because TCP waits for many minutes.

use std::time::Duration;

use vmferry_control::phase::is_past_return;
use vmferry_hypervisor::qmp::MigrationInfo;

/// Watches the counter of sent bytes.
#[derive(Debug)]
pub(crate) struct StallWatch {
    limit: Duration,
    sent: Option<u64>,
    since: Duration,
    warned: bool,
    expired: bool,
    answered: Duration,
    silent: bool,
}

/// Bytes are counted in bursts; this long without any is worth a word.
const WARN_AFTER: Duration = Duration::from_secs(5);

impl StallWatch {
    pub(crate) fn new(limit: Duration) -> Self {
        Self {
            limit,
            sent: None,
            since: Duration::ZERO,
            warned: false,
            expired: false,
            answered: Duration::ZERO,
            silent: false,
        }
    }

    /// Looks at one answer; a warning when the stream begins to stall.
    pub(crate) fn look(&mut self, now: Duration, info: &MigrationInfo) -> Option<String> {
        self.answered = now;
        self.silent = false;
        let sent = info.ram.transferred_bytes;
        // In post-copy a move can no longer be given up, only put together again.
        if sent != self.sent || !info.status.is_under_way() || is_past_return(&info.status) {
            self.sent = sent;
            self.since = now;
            self.warned = false;
            return None;
        }
        let still = now.saturating_sub(self.since);
        self.expired |= still >= self.limit;
        if still >= WARN_AFTER && !self.warned {
            self.warned = true;
            return Some(format!(
                "nothing was sent for {} s: is the link up? The move is given up after {} s; Ctrl-C cancels it now",
                still.as_secs(),
                self.limit.as_secs()
            ));
        }
        None
    }

    /// Whether it stood still for longer than the limit.
    pub(crate) fn expired(&self) -> bool {
        self.expired
    }

    /// A warning when the source has answered nothing for a while.
    pub(crate) fn silence(&mut self, now: Duration) -> Option<String> {
        let still = now.saturating_sub(self.answered);
        if still < WARN_AFTER || std::mem::replace(&mut self.silent, true) {
            return None;
        }
        Some(format!(
            "the source has answered nothing for {} s: its QEMU hangs or its host is overloaded; the move cannot be followed until it answers",
            still.as_secs()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn sent(bytes: u64) -> MigrationInfo {
        MigrationInfo::from_value(json!({"status": "active", "ram": {"transferred": bytes}}))
    }

    #[test]
    fn a_broken_post_copy_is_not_given_up() {
        let mut watch = StallWatch::new(Duration::from_secs(30));
        let paused = MigrationInfo::from_value(
            json!({"status": "postcopy-paused", "ram": {"transferred": 5}}),
        );
        for second in 0..1000 {
            assert!(watch.look(Duration::from_secs(second), &paused).is_none());
        }
        assert!(!watch.expired());
    }

    #[test]
    fn warns_once_then_expires_and_recovers() {
        let mut watch = StallWatch::new(Duration::from_secs(30));
        let at = Duration::from_secs;
        assert!(watch.look(at(0), &sent(5)).is_none());
        assert!(watch.look(at(4), &sent(5)).is_none());
        assert!(
            watch
                .look(at(6), &sent(5))
                .unwrap()
                .contains("is the link up")
        );
        assert!(watch.look(at(7), &sent(5)).is_none());
        assert!(watch.look(at(8), &sent(6)).is_none());
        assert!(watch.look(at(37), &sent(6)).is_some());
        assert!(!watch.expired());
        watch.look(at(38), &sent(6));
        assert!(watch.expired());
    }
}
