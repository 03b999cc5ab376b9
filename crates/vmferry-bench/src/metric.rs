//! What is measured at a migration point and counts in scores.
//!
//! | metric | unit | of |
//! |---|---|---|
//! | downtime | ms | every point; the guest's absence as seen from outside |
//! | total time | ms | every point; from the command to its end |
//! | migrated data | bytes | every point; of the migration's TCP connection |
//! | overhead | share | every run; what the service lost against its run without migrations |
//!
//! A point that did not complete counts by the rule of [`PointRecord::status`]. So does the downtime
//! of one that completed after which the guest, seen before, was not seen again by anybody outside.
//! A move that was refused sent nothing and cost the service nothing: it has no data, and its run no
//! overhead, so that refusing looks like no gain.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vmferry_core::{Bytes, Millis, Ratio};

use crate::record::{Downtimes, PointRecord, PointStatus, ServiceRun};

/// From echo to echo, milliseconds.
const ICMP_PACE_MS: f64 = 5.0;

/// From connection to connection, milliseconds.
const TCP_PACE_MS: f64 = 10.0;

/// The four metrics that are scored (`virtlm2011` 3.4). Of all of them, less is better.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// The guest's absence, ms.
    Downtime,
    /// From the command to its end, ms.
    TotalTime,
    /// Sent over the migration's TCP connection, bytes.
    MigratedData,
    /// 1 - (rate with migrations / rate without), a share: 0.08 where 8 % of the work was lost,
    /// negative where more was done.
    Overhead,
}

impl Metric {
    /// In the order of the paper's tables.
    pub const ALL: [Self; 4] = [
        Self::Downtime,
        Self::TotalTime,
        Self::MigratedData,
        Self::Overhead,
    ];

    /// The metrics that every point has.
    pub const OF_POINTS: [Self; 3] = [Self::Downtime, Self::TotalTime, Self::MigratedData];

    /// Its name on command lines and in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Downtime => "downtime",
            Self::TotalTime => "total-time",
            Self::MigratedData => "migrated-data",
            Self::Overhead => "overhead",
        }
    }

    /// A value of it for people: `1.75 s`, `290 MiB`, `8.0 %`.
    pub fn show(self, value: f64) -> String {
        match self {
            Self::Downtime | Self::TotalTime => Millis(value).to_string(),
            Self::MigratedData => Bytes(value.round().max(0.0) as u64).to_string(),
            Self::Overhead => Ratio(value).to_string(),
        }
    }

    /// What the point counts with, in the metric's unit; `None` where it was not measured, and of
    /// overhead, which runs have.
    pub(crate) fn counted(
        self,
        point: &PointRecord,
        by: DowntimeSource,
        deadline: Millis,
    ) -> Option<f64> {
        let done = point.status == PointStatus::Completed;
        let value = match self {
            Self::Downtime if done && !never_seen_again(point) => by.of(point)?.0,
            Self::TotalTime if done => point.total_time_ms?.0,
            Self::Downtime | Self::TotalTime => deadline.0,
            Self::MigratedData if point.status == PointStatus::Refused => return None,
            Self::MigratedData => point.migrated_bytes?.0 as f64,
            Self::Overhead => return None,
        };
        value.is_finite().then_some(value)
    }
}

/// As sentences name it.
impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Downtime => "downtime",
            Self::TotalTime => "total time",
            Self::MigratedData => "migrated data",
            Self::Overhead => "overhead",
        })
    }
}

/// Whether the guest moved and was not back as long as it was looked for.
pub(crate) fn never_seen_again(point: &PointRecord) -> bool {
    let Downtimes {
        icmp_ms,
        tcp_ms,
        service_ms,
    } = point.downtime;
    let seen = [icmp_ms, tcp_ms, service_ms].iter().any(Option::is_some);
    point.status == PointStatus::Completed && point.latency.before.is_some() && !seen
}

/// Who looked at the guest's absence. Downtimes of different sources never stand in one score or
/// comparison.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum DowntimeSource {
    /// ICMP echo from outside: what counts unless it is missing.
    Icmp,
    /// TCP connections to the service's port, from outside.
    Tcp,
    /// The service's own requests, from outside.
    Service,
    /// The hypervisor's own: STOP at the source to RESUME at the destination.
    Hypervisor,
}

impl DowntimeSource {
    /// Best first.
    pub const ALL: [Self; 4] = [Self::Icmp, Self::Tcp, Self::Service, Self::Hypervisor];

    /// The downtime of a point as this source saw it.
    pub fn of(self, point: &PointRecord) -> Option<Millis> {
        match self {
            Self::Icmp => point.downtime.icmp_ms,
            Self::Tcp => point.downtime.tcp_ms,
            Self::Service => point.downtime.service_ms,
            Self::Hypervisor => point.outcome.as_ref()?.downtime_ms,
        }
    }

    /// The best source that saw every point that completed and after which the guest was seen at
    /// all; where none did, the best of those that saw most.
    pub fn common<'a>(points: impl Iterator<Item = &'a PointRecord>) -> Self {
        let mut seen = [0_usize; 4];
        let ended = points.filter(|p| p.status == PointStatus::Completed);
        for point in ended.filter(|point| !never_seen_again(point)) {
            for (count, source) in seen.iter_mut().zip(Self::ALL) {
                *count += usize::from(source.of(point).is_some());
            }
        }
        let most = seen.iter().copied().max().unwrap_or_default();
        let best = seen.iter().position(|count| *count == most);
        best.map_or(Self::Icmp, |place| Self::ALL[place])
    }

    /// Variance of one reading, ms^2: begin and end each fall anywhere between two probes.
    pub(crate) fn reading_variance(self) -> f64 {
        match self {
            Self::Icmp => ICMP_PACE_MS * ICMP_PACE_MS / 6.0,
            Self::Tcp => TCP_PACE_MS * TCP_PACE_MS / 6.0,
            Self::Service | Self::Hypervisor => 0.0,
        }
    }
}

/// As sentences name it.
impl fmt::Display for DowntimeSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Icmp => "ICMP echo from outside",
            Self::Tcp => "TCP connections from outside",
            Self::Service => "the service's own requests",
            Self::Hypervisor => "the hypervisor's own account",
        })
    }
}

/// Operations per second; `None` of no time.
pub(crate) fn rate(operations: u64, seconds: f64) -> Option<f64> {
    (seconds > 0.0).then(|| operations as f64 / seconds)
}

/// The overhead of a whole run; `None` of a service that did nothing without migrations.
pub fn overhead(without: &ServiceRun, with: &ServiceRun) -> Option<Ratio> {
    lost(
        rate(without.operations, without.seconds),
        rate(with.operations, with.seconds),
    )
}

/// The overhead of every sector that both runs have.
pub fn sector_overheads(without: &ServiceRun, with: &ServiceRun) -> Vec<Option<Ratio>> {
    let pairs = without.sectors.iter().zip(&with.sectors);
    pairs
        .map(|(without, with)| {
            lost(
                rate(without.operations, without.seconds),
                rate(with.operations, with.seconds),
            )
        })
        .collect()
}

fn lost(without: Option<f64>, with: Option<f64>) -> Option<Ratio> {
    let without = without.filter(|rate| *rate > 0.0)?;
    Some(Ratio(1.0 - with? / without))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Figures, plan, record};

    fn made(status: PointStatus) -> PointRecord {
        let figures = Figures {
            status,
            ..Figures::default()
        };
        let record = record(plan(&["a"], &["web"]), |_, _| figures);
        record.runs[0].points[0].clone()
    }

    #[test]
    fn what_did_not_complete_counts_with_the_deadline_and_what_was_sent() {
        let (by, deadline) = (DowntimeSource::Icmp, Millis(60_000.0));
        let counted = |point: &PointRecord| Metric::ALL.map(|m| m.counted(point, by, deadline));
        let sent = Some(f64::from(256 << 20));
        assert_eq!(
            counted(&made(PointStatus::Completed)),
            [Some(100.0), Some(4000.0), sent, None]
        );
        for status in [PointStatus::NotConverged, PointStatus::Failed] {
            let late = [Some(60_000.0), Some(60_000.0), sent, None];
            assert_eq!(counted(&made(status)), late);
        }
        let mut refused = made(PointStatus::Refused);
        for known in [None, Some(Bytes(0)), refused.migrated_bytes] {
            refused.migrated_bytes = known;
            let late = [Some(60_000.0), Some(60_000.0), None, None];
            assert_eq!(counted(&refused), late);
        }
        let mut unseen = made(PointStatus::Failed);
        unseen.migrated_bytes = None;
        assert_eq!(counted(&unseen)[2], None);
    }

    #[test]
    fn the_source_of_downtimes_is_the_best_that_saw_them_all() {
        let (mut one, other) = (made(PointStatus::Completed), made(PointStatus::Completed));
        let common = |one: &PointRecord, other: &PointRecord| {
            DowntimeSource::common([one, other].into_iter())
        };
        assert_eq!(common(&one, &other), DowntimeSource::Icmp);
        one.downtime.icmp_ms = None;
        assert_eq!(common(&one, &other), DowntimeSource::Tcp);
        one.downtime = Default::default();
        // It was looked at, and did not come back: that hides from nobody.
        assert_eq!(common(&one, &other), DowntimeSource::Icmp);
        let deadline = Millis(60_000.0);
        for by in DowntimeSource::ALL {
            let counted = Metric::Downtime.counted(&one, by, deadline);
            assert_eq!(counted, Some(60_000.0));
        }
        // Nobody looked.
        one.latency = Default::default();
        assert_eq!(common(&one, &other), DowntimeSource::Hypervisor);
        one.status = PointStatus::Failed;
        assert_eq!(common(&one, &other), DowntimeSource::Icmp);
        assert_eq!(DowntimeSource::Hypervisor.of(&other), Some(Millis(90.0)));
    }

    #[test]
    fn a_reading_is_as_exact_as_the_probe_asks_often() {
        let variances = DowntimeSource::ALL.map(DowntimeSource::reading_variance);
        assert_eq!(variances, [25.0 / 6.0, 100.0 / 6.0, 0.0, 0.0]);
    }

    #[test]
    fn overhead_is_what_is_lost_and_unknown_of_an_idle_service() {
        let run = &record(plan(&["a"], &["web"]), |_, _| Figures::default()).runs[0];
        let (without, with) = (
            run.reference.clone().unwrap(),
            run.migrated.clone().unwrap(),
        );
        assert!((overhead(&without, &with).unwrap().0 - 0.05).abs() < 1e-9);
        assert_eq!(sector_overheads(&without, &with).len(), 4);
        let idle = ServiceRun {
            operations: 0,
            ..without
        };
        assert_eq!(overhead(&idle, &with), None);
    }
}
