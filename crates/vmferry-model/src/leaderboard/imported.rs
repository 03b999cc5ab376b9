//! Imported migrations as moves that models learn from and are judged by.

use std::time::Duration;

use vmferry_core::plan::MoveLimits;
use vmferry_core::{ImportedMigration, LinkSource, LinkSpeed, Millis, Ratio, Technique};

use crate::assumptions::Assumptions;
use crate::predictor::{Case, Measured, Past};

/// How long is waited for a migration, beside five times what sending the memory
/// once takes: other people's data rarely say, and replays of a move that
/// never converges have to stop somewhere.
const PATIENCE: Duration = Duration::from_secs(60);
const TIMES_OVER: u32 = 5;
/// Least share of the total time that a downtime of stop-and-copy has.
const LEAST_OUTAGE: f64 = 0.5;

impl<'a> From<&'a ImportedMigration> for Past<'a> {
    /// The bandwidth is what the stream could have, so that no frames and no
    /// `max-bandwidth` are taken off. A row that does not say whether it
    /// converged counts with what it cost, but in no verdict.
    ///
    /// The guest stands still all through stop-and-copy. A downtime of less
    /// than half of the total time is another figure (QEMU counts from
    /// where it stops the guest for the switchover) and taken as unknown.
    fn from(row: &'a ImportedMigration) -> Self {
        let mut assumptions = Assumptions::kvm();
        assumptions.rules.max_bandwidth = None;
        Self {
            case: Case {
                memory: row.memory_bytes,
                zero: None,
                dirty_rate: Some(row.dirty_rate),
                observation: None,
                link: LinkSpeed {
                    wire_rate: row.bandwidth,
                    efficiency: Ratio(1.0),
                    relative_sd: Ratio(0.01),
                    source: LinkSource::Given,
                },
                limits: MoveLimits {
                    max_downtime_ms: row.downtime_limit_ms,
                    max_bandwidth: None,
                    deadline_ms: deadline(row).into(),
                },
                assumptions,
                technique: row.technique,
                workload: row.workload.as_deref(),
                guest: row.guest.as_deref(),
                route: None,
                at: row.started_at,
            },
            said: None,
            measured: Measured {
                converged: row.converged,
                completed: row.converged != Some(false),
                ended_at: ended_at(row),
                total_time: Some(row.total_time_ms),
                downtime: outage(row),
                transferred: row.transferred_bytes,
                mean_dirty_rate: None,
            },
        }
    }
}

/// The downtime, where that is what is told.
fn outage(row: &ImportedMigration) -> Option<Millis> {
    let whole = row.technique != Technique::StopAndCopy;
    row.downtime_ms
        .filter(|downtime| whole || downtime.0 >= LEAST_OUTAGE * row.total_time_ms.0)
}

fn ended_at(row: &ImportedMigration) -> Option<jiff::Timestamp> {
    row.started_at?
        .checked_add(row.total_time_ms.duration())
        .ok()
}

fn deadline(row: &ImportedMigration) -> Duration {
    let once = row.memory_bytes / row.bandwidth;
    once.saturating_mul(TIMES_OVER).saturating_add(PATIENCE)
}

#[cfg(test)]
mod tests {
    use vmferry_core::{ByteRate, Bytes};

    use super::*;

    fn row(technique: Technique) -> ImportedMigration {
        ImportedMigration {
            run: None,
            guest: None,
            workload: None,
            started_at: jiff::Timestamp::from_second(1_700_000_000).ok(),
            technique,
            memory_bytes: Bytes::from_mib(1024),
            dirty_rate: ByteRate(1e6),
            bandwidth: ByteRate(1e8),
            downtime_limit_ms: None,
            converged: None,
            total_time_ms: Millis(10_000.0),
            downtime_ms: Some(Millis(40.0)),
            transferred_bytes: None,
        }
    }

    #[test]
    fn an_unknown_end_is_a_cost_but_no_verdict() {
        let row = row(Technique::PreCopy);
        let measured = Past::from(&row).measured;
        assert!(measured.is_complete());
        assert_eq!(measured.converged, None);
        let over = jiff::Timestamp::from_second(1_700_000_010).ok();
        assert_eq!(measured.ended_at, over);
        let cut_off = ImportedMigration {
            converged: Some(false),
            ..row
        };
        assert!(!Past::from(&cut_off).measured.is_complete());
    }

    #[test]
    fn a_switchover_is_no_outage_of_stop_and_copy() {
        let of = |row: &ImportedMigration| Past::from(row).measured.downtime;
        let mut stopped = row(Technique::StopAndCopy);
        assert_eq!(of(&stopped), None);
        stopped.downtime_ms = Some(Millis(5_000.0));
        assert_eq!(of(&stopped), Some(Millis(5_000.0)));
        assert_eq!(of(&row(Technique::PreCopy)), Some(Millis(40.0)));
    }
}
