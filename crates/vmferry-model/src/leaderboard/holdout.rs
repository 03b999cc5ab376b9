//! What a model may have learned from when it forecasts a move.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::LeaderboardError;
use crate::learned::groups::parts;
use crate::predictor::Past;

/// Most fits: where there are more workloads or guests, several are left out
/// together. None is ever forecast by a model that saw it.
const MOST_PARTS: usize = 32;
/// In time order a model is fitted anew with every move up to so many, ...
const EVERY_MOVE_UP_TO: usize = 200;
/// ... and then whenever it has seen this share more.
const GROWTH: usize = 50;

/// What is kept from a model that forecasts a move.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Holdout {
    /// Every move of the same workload: how well an unseen one is forecast.
    /// Moves of unknown workload count as one. The honest figure. Of more than
    /// 32 several are left out together, in 32 parts.
    #[default]
    Workload,
    /// Every move of the same guest; those of unknown guest count as one.
    Guest,
    /// Every move that had not ended when this one began. Moves without times
    /// are taken in the order in which they are given.
    Future,
}

/// Moves that one fitted model forecasts, and those it learns from; both by
/// index.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fold {
    pub(super) learned_from: Vec<usize>,
    pub(super) forecast: Vec<usize>,
}

impl Holdout {
    pub(super) fn folds(self, moves: &[Past<'_>]) -> Result<Vec<Fold>, LeaderboardError> {
        match self {
            Self::Workload => left_out(moves, "workloads", |m| m.case.workload),
            Self::Guest => left_out(moves, "guests", |m| m.case.guest),
            Self::Future => in_time(moves),
        }
    }
}

fn left_out<'a>(
    moves: &[Past<'a>],
    what: &'static str,
    key: impl Fn(&Past<'a>) -> Option<&'a str>,
) -> Result<Vec<Fold>, LeaderboardError> {
    let (part, count) = parts(moves.iter().map(key), MOST_PARTS);
    if count < 2 {
        return Err(LeaderboardError::NothingToLeaveOut { what });
    }
    let of = |out: usize, within: bool| {
        let chosen = (0..moves.len()).filter(|i| (part[*i] == out) == within);
        chosen.collect()
    };
    Ok((0..count)
        .map(|out| Fold {
            learned_from: of(out, false),
            forecast: of(out, true),
        })
        .collect())
}

/// A span of time in milliseconds.
#[derive(Clone, Copy)]
struct Span {
    start: f64,
    end: f64,
}

fn in_time(moves: &[Past<'_>]) -> Result<Vec<Fold>, LeaderboardError> {
    let spans: Vec<Option<Span>> = moves
        .iter()
        .map(|m| {
            let start = m.case.at?.as_millisecond() as f64;
            let took = m.measured.total_time.map_or(0.0, |t| t.0);
            // A move that was cancelled has an end but no total time.
            let end = m.measured.ended_at;
            let end = end.map_or(start + took, |end| end.as_millisecond() as f64);
            Some(Span { start, end })
        })
        .collect();
    let untimed = spans.iter().filter(|span| span.is_none()).count();
    let spans: Vec<Span> = if untimed == moves.len() {
        let place = |i: usize| i as f64;
        let span = |i| Span {
            start: place(i),
            end: place(i),
        };
        (0..moves.len()).map(span).collect()
    } else if untimed == 0 {
        spans.into_iter().flatten().collect()
    } else {
        return Err(LeaderboardError::SomeTimes {
            untimed,
            moves: moves.len(),
        });
    };
    let mut by_start: Vec<usize> = (0..moves.len()).collect();
    by_start.sort_by(|a, b| spans[*a].start.total_cmp(&spans[*b].start));
    let mut by_end: Vec<usize> = (0..moves.len()).collect();
    by_end.sort_by(|a, b| spans[*a].end.total_cmp(&spans[*b].end));

    let mut folds: Vec<Fold> = Vec::new();
    for i in by_start {
        let ended = by_end.partition_point(|j| spans[*j].end < spans[i].start);
        let stale = folds.last().is_none_or(|last| {
            let seen = last.learned_from.len();
            let step = if seen < EVERY_MOVE_UP_TO {
                1
            } else {
                seen / GROWTH
            };
            ended >= seen + step
        });
        if stale {
            folds.push(Fold {
                learned_from: by_end[..ended].to_vec(),
                forecast: Vec::new(),
            });
        }
        if let Some(fold) = folds.last_mut() {
            fold.forecast.push(i);
        }
    }
    Ok(folds)
}
