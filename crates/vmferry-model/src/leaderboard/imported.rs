//! Imported migrations as moves that models learn from and are judged by.

use std::time::Duration;

use vmferry_core::plan::MoveLimits;
use vmferry_core::{ImportedMigration, LinkSource, LinkSpeed, Ratio};

use crate::assumptions::Assumptions;
use crate::predictor::{Case, Measured, Past};

/// How long is waited for a migration, beside five times what sending the memory
/// once takes: other people's data rarely say, and replays of a move that
/// never converges have to stop somewhere.
const PATIENCE: Duration = Duration::from_secs(60);
const TIMES_OVER: u32 = 5;

impl<'a> From<&'a ImportedMigration> for Past<'a> {
    /// The bandwidth is what the stream could have, so that no frames and no
    /// `max-bandwidth` are taken off. A row that does not say whether it
    /// converged is taken to have.
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
                converged: Some(row.converged.unwrap_or(true)),
                total_time: Some(row.total_time_ms),
                downtime: row.downtime_ms,
                transferred: row.transferred_bytes,
                mean_dirty_rate: None,
            },
        }
    }
}

fn deadline(row: &ImportedMigration) -> Duration {
    let once = row.memory_bytes / row.bandwidth;
    once.saturating_mul(TIMES_OVER).saturating_add(PATIENCE)
}
