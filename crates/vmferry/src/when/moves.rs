//! Recorded moves of a guest, and what they tell of its link and limits.

use std::collections::HashSet;

use jiff::Timestamp;
use vmferry_core::plan::MoveLimits;
use vmferry_core::{ByteRate, LinkSource, LinkSpeed, MoveRecord};
use vmferry_history::{History, HistoryError, MoveFilter, Store as _, history_path};
use vmferry_model::predictor::Measured;
use vmferry_model::schedule::TimedMove;

use super::{WhenRequest, counted};
use crate::Error;

/// The latest moves of a guest that are looked at.
const LATEST: u32 = 10_000;
/// Moves over links and under limits that differ by more than this cost
/// something else.
const SAME: f64 = 0.1;

/// What the history of moves has.
pub(super) struct Recorded {
    /// Where it is, or would be.
    pub(super) path: String,
    /// Moves of the guest before now, the latest first.
    pub(super) records: Vec<MoveRecord>,
    /// Moves after now, which are left out.
    pub(super) to_come: usize,
    /// What other guests are called.
    pub(super) others: Vec<String>,
}

/// The moves of the guest that is called by these URIs, names or UUIDs.
pub(super) async fn recorded(names: &[String], now: Timestamp) -> Result<Recorded, Error> {
    let path = history_path()?;
    let mut found = Recorded {
        path: path.display().to_string(),
        records: Vec::new(),
        to_come: 0,
        others: Vec::new(),
    };
    let history = match History::open_existing(&path).await {
        Ok(history) => history,
        Err(HistoryError::Missing { .. }) => return Ok(found),
        Err(error) => return Err(error.into()),
    };
    let mut seen = HashSet::new();
    for name in names {
        for record in history.guest_history(name, LATEST).await? {
            if !seen.insert(record.move_id) {
                continue;
            }
            if record.started_at > now {
                found.to_come += 1;
            } else {
                found.records.push(record);
            }
        }
    }
    found
        .records
        .sort_by_key(|r| std::cmp::Reverse(r.started_at));
    if found.records.is_empty() {
        let some = MoveFilter {
            limit: Some(1000),
            ..MoveFilter::default()
        };
        let moves = history.list(&some).await?.into_iter();
        found.others = moves.map(|m| m.guest_name.unwrap_or(m.guest_uri)).collect();
        found.others.sort();
        found.others.dedup();
    }
    Ok(found)
}

/// Link and limits that a move is assumed to have.
pub(super) struct Settings {
    pub(super) link: LinkSpeed,
    pub(super) limits: MoveLimits,
}

impl Settings {
    /// As the operator says; the rest as in the guest's latest move.
    pub(super) fn of(
        request: &WhenRequest,
        records: &[MoveRecord],
        notes: &mut Vec<String>,
    ) -> Result<Self, Error> {
        let latest = records.iter().find(|record| record.link.is_some());
        let mut limits = request.limits;
        let mut taken = Vec::new();
        if let Some(latest) = latest {
            let before = latest.plan.limits;
            if let (None, Some(limit)) = (limits.max_downtime_ms, before.max_downtime_ms) {
                limits.max_downtime_ms = Some(limit);
                taken.push(format!("a downtime limit of {limit}"));
            }
            if let (None, Some(cap)) = (limits.max_bandwidth, before.max_bandwidth) {
                limits.max_bandwidth = Some(cap);
                taken.push(format!("a max-bandwidth of {cap}"));
            }
        }
        let known = latest.and_then(|latest| latest.link.clone());
        let link = match (request.bandwidth, known) {
            (Some(rate), _) => LinkSpeed::given(rate),
            (None, Some(link)) => {
                taken.push(format!("a link of {}", link.wire_rate));
                LinkSpeed {
                    source: LinkSource::History,
                    ..link
                }
            }
            (None, None) => {
                return Err(Error::Usage(format!(
                    "the rate of the link is unknown: no recorded move of {} tells it; give \
                     --bandwidth, for example 1Gbit/s",
                    request.guest
                )));
            }
        };
        if let (Some(latest), false) = (latest, taken.is_empty()) {
            let date = latest.started_at.strftime("%Y-%m-%d");
            let taken = taken.join(" and ");
            notes.push(format!(
                "Assumed as in the guest's move of {date}: {taken}."
            ));
        }
        Ok(Self { link, limits })
    }

    /// Whether a recorded move went over such a link under such limits, so
    /// that it cost what the next one would.
    fn are_those_of(&self, record: &MoveRecord) -> bool {
        let stream = |link: &LinkSpeed, cap: Option<ByteRate>| {
            cap.map_or(f64::INFINITY, |cap| cap.0)
                .min(link.stream_rate().0)
        };
        let same = |a: f64, b: f64| (a - b).abs() <= SAME * a.max(b);
        let Some(link) = &record.link else {
            return false;
        };
        let before = record.plan.limits;
        let forecast = record.forecast.as_ref();
        let limit = |limits: MoveLimits| limits.max_downtime_ms;
        let limit_before = limit(before).or(forecast.map(|f| f.model.max_downtime_ms));
        same(
            stream(link, before.max_bandwidth),
            stream(&self.link, self.limits.max_bandwidth),
        ) && match (limit_before, limit(self.limits)) {
            (Some(before), Some(now)) => same(before.0, now.0),
            // The hypervisor's own, as far as anybody knows.
            _ => true,
        }
    }

    /// The moves that tell what the next one costs.
    pub(super) fn comparable<'a>(
        &self,
        records: &'a [MoveRecord],
        notes: &mut Vec<String>,
    ) -> Vec<&'a MoveRecord> {
        let (same, others): (Vec<_>, Vec<_>) =
            records.iter().partition(|record| self.are_those_of(record));
        if !others.is_empty() {
            notes.push(format!(
                "Left out: {} of the guest over another or an unknown link or under other limits; \
                 costs do not compare.",
                counted(others.len() as u64, "move")
            ));
        }
        same
    }

    /// What these moves cost, and when.
    pub(super) fn timed(&self, records: &[&MoveRecord]) -> Vec<TimedMove> {
        let timed = records.iter().filter_map(|record| {
            let outcome = record.outcome.as_ref()?;
            let measured = Measured::of_outcome(outcome, self.limits.deadline_ms);
            TimedMove::recorded(outcome.started_at, &measured)
        });
        timed.collect()
    }
}
