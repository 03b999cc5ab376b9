//! Which migration status may follow which, at the source, in QEMU 10.
//!
//! The table judges what is observed; it commands nothing. A status that is
//! polled or delivered late may hide others, so a status further down the
//! same move is expected too; one that no path leads to is reported as a
//! warning and followed all the same. Statuses of versions to come may stand
//! anywhere between the start and the end of a move.

use std::fmt::Write as _;

use vmferry_core::MigrationStatus::{self, *};

/// How one observed status relates to the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    /// The same status again.
    Same,
    /// A step of the table, or one from or to an unknown status.
    Direct,
    /// Further down the same move; statuses between were not seen.
    Skipped,
    /// No path of the table leads there.
    Unexpected,
}

/// Every status that may directly follow `from`, in the order of a move; none
/// for an unknown status, about which nothing is known.
///
/// Read from QEMU's `migration/migration.c` (10.0), with the direct steps of
/// 7.2 to 9.2 from `active` to `completed` and `postcopy-active`, and
/// `postcopy-device` of 10.2.
pub fn may_follow(from: &MigrationStatus) -> &'static [MigrationStatus] {
    match from {
        None => &[Setup],
        Setup => &[WaitUnplug, Active, Cancelling, Failed],
        WaitUnplug => &[Active, Cancelling, Failed],
        Active => &[
            PreSwitchover,
            Device,
            PostcopyActive,
            Colo,
            Completed,
            Cancelling,
            Failed,
        ],
        // `migrate-continue` leads to `device`; until then it can be cancelled.
        PreSwitchover => &[Device, Cancelling, Failed],
        Device => &[
            PostcopyDevice,
            PostcopyActive,
            Colo,
            Completed,
            Cancelling,
            Failed,
        ],
        PostcopyDevice => &[PostcopyActive, PostcopyPaused, Cancelling, Failed],
        PostcopyActive => &[PostcopyPaused, Completed, Cancelling, Failed],
        // 9.1 put `postcopy-recover-setup` before `postcopy-recover`.
        PostcopyPaused => &[PostcopyRecoverSetup, PostcopyRecover, Cancelling, Failed],
        PostcopyRecoverSetup => &[PostcopyRecover, PostcopyPaused, Cancelling],
        PostcopyRecover => &[PostcopyActive, PostcopyPaused, Cancelling, Failed],
        Colo => &[Completed, Cancelling, Failed],
        Cancelling => &[Cancelled],
        // The next move of the same guest.
        Cancelled | Failed | Completed => &[Setup],
        Unknown(_) => &[],
    }
}

impl Transition {
    /// Judges the step from one observed status to the next.
    pub fn between(from: &MigrationStatus, to: &MigrationStatus) -> Self {
        if from == to {
            Self::Same
        } else if may_follow(from).contains(to)
            || (matches!(from, Unknown(_)) && *to != None)
            || (matches!(to, Unknown(_)) && !from.is_end())
        {
            Self::Direct
        } else if leads_to(from, to) {
            Self::Skipped
        } else {
            Self::Unexpected
        }
    }
}

/// Whether a path of the table leads from one status to another within one
/// move.
fn leads_to(from: &MigrationStatus, to: &MigrationStatus) -> bool {
    let mut seen = vec![from];
    let mut next = 0;
    while let Some(status) = seen.get(next) {
        next += 1;
        if status.is_end() {
            continue;
        }
        for follower in may_follow(status) {
            if follower == to {
                return true;
            }
            if !seen.contains(&follower) {
                seen.push(follower);
            }
        }
    }
    false
}

/// Whether the guest may already run at the destination, so that a cancel
/// would lose it instead of keeping it at the source.
pub fn is_past_return(status: &MigrationStatus) -> bool {
    matches!(
        status,
        PostcopyDevice
            | PostcopyActive
            | PostcopyPaused
            | PostcopyRecoverSetup
            | PostcopyRecover
            | Colo
    )
}

/// The table as a Graphviz drawing.
pub fn graphviz() -> String {
    let mut dot = String::from(
        "digraph migration {\n  rankdir=LR;\n  node [shape=box, style=rounded, fontname=\"sans-serif\"];\n",
    );
    for status in MigrationStatus::KNOWN.iter().filter(|s| s.is_end()) {
        let _ = writeln!(dot, "  \"{status}\" [peripheries=2];");
    }
    for from in MigrationStatus::KNOWN {
        for to in may_follow(from) {
            let style = match to {
                Cancelling | Cancelled => " [style=dashed]",
                Failed => " [style=dotted]",
                _ => "",
            };
            let _ = writeln!(dot, "  \"{from}\" -> \"{to}\"{style};");
        }
    }
    dot.push_str("}\n");
    dot
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawing() {
        insta::assert_snapshot!(graphviz());
    }

    /// Every pair of statuses: `d` direct, `s` skipping others, `.` the same,
    /// `-` unexpected.
    #[test]
    fn every_transition() {
        let mut all = MigrationStatus::KNOWN.to_vec();
        all.push(Unknown("warp".into()));
        let mut table = String::new();
        for from in &all {
            let row: Vec<_> = all
                .iter()
                .map(|to| match Transition::between(from, to) {
                    Transition::Same => ".",
                    Transition::Direct => "d",
                    Transition::Skipped => "s",
                    Transition::Unexpected => "-",
                })
                .collect();
            let _ = writeln!(table, "{:<24}{}", from.to_string(), row.join(" "));
        }
        insta::assert_snapshot!(table);
    }

    #[test]
    fn every_move_can_end_and_every_status_is_reached() {
        for status in MigrationStatus::KNOWN {
            assert!(*status == None || leads_to(&None, status), "{status}");
            assert!(
                status.is_end() || leads_to(status, &Cancelled),
                "{status} can be cancelled"
            );
        }
    }

    #[test]
    fn nothing_leads_back_from_postcopy() {
        for status in MigrationStatus::KNOWN.iter().filter(|s| is_past_return(s)) {
            for back in [Setup, Active, PreSwitchover, Device] {
                assert_eq!(Transition::between(status, &back), Transition::Unexpected);
            }
        }
    }
}
