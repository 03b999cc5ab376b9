//! The parts of a blackout, from what QEMU itself notes of it (since 8.2): trace event
//! `vmstate_downtime_checkpoint`, stamped with the host's wall clock.
//!
//! | part | from | to |
//! |---|---|---|
//! | last pass | `src-downtime-start` | `src-iterable-saved` |
//! | device state | `src-iterable-saved` | `src-non-iterable-saved` |
//! | destination start | `src-non-iterable-saved` | `dst-precopy-bh-vm-started` |
//! | network return | `dst-precopy-bh-vm-started` | the first answer from outside |
//!
//! What is still in the link's queues when the source has sent everything counts as destination
//! start.

use std::collections::BTreeMap;

use vmferry_bench::record::Blackout;
use vmferry_core::Millis;

/// The trace event.
pub(super) const EVENT: &str = "vmstate_downtime_checkpoint";

/// Arguments that make QEMU note its checkpoints in its log, with the time.
pub(super) fn arguments() -> Vec<String> {
    ["-msg", "timestamp=on", "-trace", EVENT]
        .map(str::to_owned)
        .into()
}

/// When QEMU passed its checkpoints: seconds since 1970, by name. Of a checkpoint passed twice the
/// last counts.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Checkpoints(BTreeMap<String, f64>);

impl Checkpoints {
    /// Reads the logs of both ends: lines like
    /// `5575@1795296279.584424:vmstate_downtime_checkpoint src-downtime-start`, others between.
    /// What was noted before `since_s` (seconds since 1970) belongs to earlier migrations; on the
    /// way back the ends have each other's part.
    pub(super) fn read(source: &str, destination: &str, since_s: f64) -> Self {
        let sent = source.lines().filter_map(checkpoint);
        let loaded = destination.lines().filter_map(checkpoint);
        let sent = sent.filter(|(name, _)| name.starts_with("src-"));
        let loaded = loaded.filter(|(name, _)| name.starts_with("dst-"));
        let passed = sent.chain(loaded).filter(|(_, at_s)| *at_s >= since_s);
        Self(passed.collect())
    }

    /// When the guest began to run at the destination, seconds since 1970.
    pub(super) fn resumed(&self) -> Option<f64> {
        let names = ["dst-precopy-bh-vm-started", "dst-postcopy-bh-vm-started"];
        names.iter().find_map(|name| self.0.get(*name).copied())
    }

    /// The parts; `first_answer` is the time of the first answer from outside, seconds since 1970.
    /// A part of which QEMU noted no begin or no end is unknown.
    pub(super) fn blackout(&self, first_answer: Option<f64>) -> Blackout {
        let at = |name: &str| self.0.get(name).copied();
        let part = |from: Option<f64>, to: Option<f64>| {
            let seconds = to? - from?;
            // Clocks of two processes, read one after the other.
            Some(Millis((seconds * 1e3).max(0.0)))
        };
        let saved = at("src-iterable-saved");
        let devices = at("src-non-iterable-saved");
        Blackout {
            last_pass_ms: part(at("src-downtime-start"), saved),
            device_state_ms: part(saved, devices),
            destination_start_ms: part(devices, self.resumed()),
            network_return_ms: part(self.resumed(), first_answer),
        }
    }
}

fn checkpoint(line: &str) -> Option<(String, f64)> {
    let (stamp, name) = line.split_once(EVENT)?;
    let (_, time) = stamp.trim_end_matches(':').split_once('@')?;
    Some((name.trim().to_owned(), time.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "\
qemu-system-x86_64: warning: something else
5575@1795296279.584424:vmstate_downtime_checkpoint src-downtime-start
5575@1795296279.592210:vmstate_downtime_checkpoint src-vm-stopped
5575@1795296279.593198:vmstate_downtime_checkpoint src-iterable-saved
5575@1795296279.600577:vmstate_downtime_checkpoint src-non-iterable-saved
5575@1795296279.600596:vmstate_downtime_checkpoint src-downtime-end
";
    const DESTINATION: &str = "\
5565@1795296279.720478:vmstate_downtime_checkpoint dst-precopy-loadvm-completed
5565@1795296279.720550:vmstate_downtime_checkpoint dst-precopy-bh-enter
5565@1795296279.722231:vmstate_downtime_checkpoint dst-precopy-bh-vm-started
";

    fn ms(part: Option<Millis>) -> Option<f64> {
        part.map(|part| (part.0 * 1e3).round() / 1e3)
    }

    #[test]
    fn parts_of_a_blackout_as_qemu_10_noted_it() {
        let seen = Checkpoints::read(SOURCE, DESTINATION, 1_795_296_270.0);
        let parts = seen.blackout(Some(1_795_296_279.730));
        assert_eq!(ms(parts.last_pass_ms), Some(8.774));
        assert_eq!(ms(parts.device_state_ms), Some(7.379));
        assert_eq!(ms(parts.destination_start_ms), Some(121.654));
        assert_eq!(ms(parts.network_return_ms), Some(7.769));
    }

    #[test]
    fn what_was_not_noted_is_unknown() {
        let seen = Checkpoints::read(SOURCE, SOURCE, 1_795_296_270.0);
        let parts = seen.blackout(Some(1_795_296_279.730));
        assert_eq!(ms(parts.device_state_ms), Some(7.379));
        assert_eq!(parts.destination_start_ms, None);
        assert_eq!(parts.network_return_ms, None);
        let nonsense = "vmstate_downtime_checkpoint x\n1@y:vmstate_downtime_checkpoint z";
        assert_eq!(
            Checkpoints::read(nonsense, nonsense, 0.0),
            Checkpoints::default()
        );
    }

    #[test]
    fn earlier_migrations_and_ways_back_are_left_out() {
        let back = "5@1795296285.0:vmstate_downtime_checkpoint src-downtime-start\n";
        let destination = format!("{DESTINATION}{back}");
        let whole = Checkpoints::read(SOURCE, DESTINATION, 1_795_296_270.0);
        assert_eq!(
            Checkpoints::read(SOURCE, &destination, 1_795_296_270.0),
            whole
        );
        let later = Checkpoints::read(SOURCE, &destination, 1_795_296_280.0);
        assert_eq!(later, Checkpoints::default());
    }
}
