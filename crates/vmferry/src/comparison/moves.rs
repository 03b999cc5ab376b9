//! The migrations of the history as models are judged by them.

use std::collections::{BTreeMap, BTreeSet};

use vmferry_core::{MoveRecord, Observation, Technique};
use vmferry_history::{
    History, HistoryError, ImportFilter, MoveFilter, Route, SourcedMigration, Store as _,
};
use vmferry_model::leaderboard::{Holdout, Leaderboard, LeaderboardError};
use vmferry_model::predictor::Past;

use super::{Board, CompareOptions, Made, MovesOf, SourceCount, Watch, board, holdout};
use crate::Error;

/// Migrations that were chosen.
#[derive(Default)]
pub(super) struct Moves {
    live: Vec<LiveMove>,
    imported: Vec<SourcedMigration>,
}

/// A move that vmferry made.
struct LiveMove {
    record: MoveRecord,
    observation: Option<Observation>,
    route: String,
}

impl LiveMove {
    fn past(&self) -> Option<Past<'_>> {
        Past::of_record(&self.record, self.observation.as_ref(), &self.route)
    }
}

impl Moves {
    /// Reads what the options choose, with notes on what cannot be read.
    pub(super) async fn of(
        history: &History,
        options: &CompareOptions,
    ) -> Result<(Self, Vec<String>), Error> {
        let mut notes = Vec::new();
        let source = match &options.of {
            MovesOf::Source(name) => {
                require(history, name).await?;
                Some(name.clone())
            }
            _ => None,
        };
        let live = match options.of {
            MovesOf::All | MovesOf::Live => live(history, options, &mut notes).await?,
            MovesOf::Imported | MovesOf::Source(_) => Vec::new(),
        };
        let imported = match options.of {
            MovesOf::Live => Vec::new(),
            _ => {
                let filter = ImportFilter {
                    source,
                    technique: options.technique,
                    guest: options.guest.clone(),
                };
                history.imported(&filter).await?
            }
        };
        Ok((Self { live, imported }, notes))
    }

    /// One board of each kind; that of a kind that was not asked for has too
    /// few moves.
    pub(super) fn judged(
        &self,
        options: &CompareOptions,
        models: &[&str],
        watch: &Watch,
    ) -> Vec<(Made, Result<Board, LeaderboardError>)> {
        let live: Vec<Past<'_>> = self.live.iter().filter_map(LiveMove::past).collect();
        let imported: Vec<Past<'_>> = self
            .imported
            .iter()
            .map(|m| (&m.migration).into())
            .collect();
        [(Made::Live, live), (Made::Imported, imported)]
            .into_iter()
            .map(|(made, moves)| {
                let judged = board(made, &moves, options, models, watch);
                let judged = judged.map(|leaderboard| Board {
                    notes: self.notes(made, &moves, options, &leaderboard),
                    made,
                    sources: match made {
                        Made::Live => Vec::new(),
                        Made::Imported => self.sources(),
                    },
                    leaderboard,
                });
                (made, judged)
            })
            .collect()
    }

    fn sources(&self) -> Vec<SourceCount> {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for migration in &self.imported {
            *counts.entry(&migration.source).or_default() += 1;
        }
        let count = |(source, moves): (&str, usize)| SourceCount {
            source: source.to_owned(),
            moves,
        };
        counts.into_iter().map(count).collect()
    }

    fn notes(
        &self,
        made: Made,
        moves: &[Past<'_>],
        options: &CompareOptions,
        found: &Leaderboard,
    ) -> Vec<String> {
        let (_, why) = holdout(made, moves, options.leave_one_out);
        let mut notes: Vec<String> = why.map(str::to_owned).into_iter().collect();
        notes.extend(bundles(moves, found));
        let open = moves
            .iter()
            .filter(|m| m.measured.is_complete() && m.measured.converged.is_none())
            .count();
        if open > 0 {
            notes.push(format!(
                "Of {open} of these moves nobody says whether they converged: they count in errors, but in no verdict."
            ));
        }
        if made == Made::Imported {
            let told = self.imported.iter().zip(moves);
            let passed_over = told
                .filter(|(told, past)| {
                    told.migration.downtime_ms.is_some() && past.measured.downtime.is_none()
                })
                .count();
            if passed_over > 0 {
                notes.push(format!(
                    "The downtime of {passed_over} stop-and-copy migrations is less than half of their total time, which cannot be the outage: it is not judged."
                ));
            }
        }
        let unseen = moves
            .iter()
            .filter(|m| m.case.observation.is_none())
            .count();
        if made == Made::Live && unseen > 0 {
            notes.push(format!(
                "Of {unseen} of these moves nothing is kept that was observed before them: models that need more than a dirty rate do not forecast them."
            ));
        }
        notes
    }
}

/// That several workloads or guests were left out together, where they were.
fn bundles(moves: &[Past<'_>], found: &Leaderboard) -> Option<String> {
    let distinct =
        |key: fn(&Past<'_>) -> Option<String>| moves.iter().map(key).collect::<BTreeSet<_>>().len();
    let (what, count) = match found.holdout {
        Holdout::Workload => (
            "workloads",
            distinct(|m| m.case.workload.map(str::to_owned)),
        ),
        Holdout::Guest => ("guests", distinct(|m| m.case.guest.map(str::to_owned))),
        Holdout::Future => return None,
    };
    let fits = found.fits;
    (count > fits).then(|| {
        format!("There are {count} {what}: several are left out together, in {fits} parts.")
    })
}

/// Whether something was imported under that name.
async fn require(history: &History, name: &str) -> Result<(), HistoryError> {
    let sources = history.import_sources().await?;
    if sources.iter().any(|known| known.source == name) {
        return Ok(());
    }
    Err(HistoryError::NoSuchSource {
        name: name.to_owned(),
        known: sources.into_iter().map(|known| known.source).collect(),
        path: history.path().to_owned(),
    })
}

/// Moves that ended. What cannot be read of one must not hide the others.
async fn live(
    history: &History,
    options: &CompareOptions,
    notes: &mut Vec<String>,
) -> Result<Vec<LiveMove>, HistoryError> {
    // All that vmferry makes so far.
    if options
        .technique
        .is_some_and(|technique| technique != Technique::PreCopy)
    {
        return Ok(Vec::new());
    }
    let filter = MoveFilter {
        guest: options.guest.clone(),
        ..MoveFilter::default()
    };
    let mut moves = Vec::new();
    let mut silent = 0;
    for summary in history.list(&filter).await? {
        let id = summary.move_id;
        let record = match history.get(&id.to_string()).await {
            Ok(record) => record,
            Err(error) if error.is_unavailable() => return Err(error),
            Err(error) => {
                notes.push(format!("The move {id} is left out: {error}."));
                continue;
            }
        };
        let observation = match history.observation(id).await {
            Ok(kept) => kept,
            Err(error) if error.is_unavailable() => return Err(error),
            Err(error) => {
                notes.push(format!(
                    "The move {id} goes without its observation: {error}."
                ));
                None
            }
        };
        let found = LiveMove {
            route: Route::of(&record).to_string(),
            record,
            observation,
        };
        if found.past().is_some() {
            moves.push(found);
        } else {
            silent += 1;
        }
    }
    if silent > 0 {
        notes.push(format!(
            "{silent} moves are left out: they have no outcome, or nothing was known before them."
        ));
    }
    Ok(moves)
}
