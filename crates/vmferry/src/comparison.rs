//! The leaderboard: every model on every migration of the history.

mod moves;

use std::fmt;
use std::num::NonZeroUsize;
use std::str::FromStr;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vmferry_core::Technique;
use vmferry_history::{History, HistoryError, history_path};
pub use vmferry_model::leaderboard::{Errors, Holdout, Leaderboard, Standing, Step, Verdicts};
use vmferry_model::leaderboard::{LeaderboardError, compare_watched};
use vmferry_model::predictor::{Fit, Past, calibrated};
pub use vmferry_model::predictor::{NAMES, RuleSet};

use crate::Error;
use crate::document::Versions;
use moves::Moves;

/// Seed of every comparison: the same history gives the same leaderboard.
const SEED: u64 = 1;

/// Which migrations are compared on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum MovesOf {
    /// All of them.
    #[default]
    All,
    /// Those that vmferry made.
    Live,
    /// Those that others made.
    Imported,
    /// Those of one imported source.
    Source(String),
}

impl FromStr for MovesOf {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "all" => Self::All,
            "live" => Self::Live,
            "imported" => Self::Imported,
            name => Self::Source(name.to_owned()),
        })
    }
}

impl fmt::Display for MovesOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::All => "all",
            Self::Live => "live",
            Self::Imported => "imported",
            Self::Source(name) => name,
        })
    }
}

/// What is compared on what. The moves that are chosen are all that models
/// learn from, and all that they are judged by.
#[derive(Clone, Debug)]
pub struct CompareOptions {
    /// Which migrations.
    pub of: MovesOf,
    /// Only those by this technique.
    pub technique: Option<Technique>,
    /// Only those of this guest.
    pub guest: Option<String>,
    /// Names of models; none means all ([`NAMES`]).
    pub models: Vec<String>,
    /// What is kept from a model that forecasts a move; `None` is time order
    /// where times are known, else every workload in turn.
    pub leave_one_out: Option<Holdout>,
    /// Whose rules the replays of the papers' models follow.
    pub rules: RuleSet,
    /// Threads that share the work.
    pub threads: NonZeroUsize,
}

/// `vmferry compare -o json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CompareReport {
    /// Versions.
    #[serde(flatten)]
    pub versions: Versions,
    /// What was compared.
    pub options: CompareChoice,
    /// One of vmferry's own moves, one of imported ones, where there are any:
    /// what is known before them differs too much to mix them.
    pub boards: Vec<Board>,
    /// What the reader should know, each a sentence.
    pub notes: Vec<String>,
}

/// The options of a comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CompareChoice {
    /// `all`, `live`, `imported`, or the name of an imported source.
    pub source: String,
    /// Only migrations by this technique.
    pub technique: Option<Technique>,
    /// Only migrations of this guest.
    pub guest: Option<String>,
    /// Names of the models.
    pub models: Vec<String>,
    /// Whose rules replays follow: `qemu`, `xen` or `xen-legacy`.
    pub rules: String,
    /// What was asked to be left out; the boards say what was.
    pub leave_one_out: Option<Holdout>,
}

/// Every model on migrations of one kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Board {
    /// Who made the migrations.
    pub made: Made,
    /// The imported sources, with their number of migrations.
    pub sources: Vec<SourceCount>,
    /// What the reader should know, each a sentence.
    pub notes: Vec<String>,
    /// The figures.
    #[serde(flatten)]
    pub leaderboard: Leaderboard,
}

/// Who made migrations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Made {
    /// vmferry.
    Live,
    /// Others.
    Imported,
}

/// Migrations of an imported source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SourceCount {
    /// Its name.
    pub source: String,
    /// Number of migrations compared.
    pub moves: usize,
}

/// Is told how far a board is, from any thread.
pub type Watch = Arc<dyn Fn(Made, Step) + Send + Sync>;

/// Compares models on the migrations of the history.
///
/// # Errors
/// When a model or source is unknown, the history cannot be read, or the
/// migrations are too few or too alike to compare on.
pub async fn compare(options: &CompareOptions, watch: Watch) -> Result<CompareReport, Error> {
    let models = models(&options.models)?;
    let path = history_path()?;
    let (moves, notes) = match History::open_existing(&path).await {
        Ok(history) => Moves::of(&history, options).await?,
        Err(HistoryError::Missing { .. }) => Default::default(),
        Err(error) => return Err(error.into()),
    };
    let compared = (options.clone(), models.clone());
    let judge = move || moves.judged(&compared.0, &compared.1, &watch);
    let judged = tokio::task::spawn_blocking(judge).await;
    let judged =
        judged.map_err(|error| Error::Internal(format!("the comparison failed: {error}")))?;
    let mut report = CompareReport {
        versions: Versions::default(),
        options: CompareChoice {
            source: options.of.to_string(),
            technique: options.technique,
            guest: options.guest.clone(),
            models: models.into_iter().map(str::to_owned).collect(),
            rules: options.rules.name().to_owned(),
            leave_one_out: options.leave_one_out,
        },
        boards: Vec::new(),
        notes,
    };
    let mut failed = Vec::new();
    for (made, board) in judged {
        match board {
            Ok(board) => report.boards.push(board),
            Err(error) => failed.push((made, error)),
        }
    }
    if report.boards.is_empty() {
        let found = |wanted: Made| {
            let of = failed.iter().find(|(made, _)| *made == wanted);
            match of {
                Some((_, LeaderboardError::TooFewMoves { moves })) => *moves,
                _ => 0,
            }
        };
        let (live, imported) = (found(Made::Live), found(Made::Imported));
        let other =
            |error: &LeaderboardError| !matches!(error, LeaderboardError::TooFewMoves { .. });
        return Err(match failed.into_iter().find(|(_, error)| other(error)) {
            Some((_, error)) => error.into(),
            None => Error::TooFewMoves {
                path,
                live,
                imported,
            },
        });
    }
    report
        .notes
        .extend(failed.into_iter().filter_map(|(made, error)| {
            let made = made.name();
            match error {
                LeaderboardError::TooFewMoves { moves: 0 } => None,
                LeaderboardError::TooFewMoves { .. } => Some(format!(
                    "There is one {made} move only: too few for a board of their own."
                )),
                error => Some(format!("There is no board of {made} moves: {error}.")),
            }
        }));
    Ok(report)
}

impl Made {
    /// Its name, as in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Imported => "imported",
        }
    }
}

/// The models asked for, each once.
fn models(asked: &[String]) -> Result<Vec<&'static str>, Error> {
    let mut found = Vec::new();
    for name in asked {
        let known = NAMES.into_iter().find(|known| known == name);
        let known = known.ok_or_else(|| {
            Error::Usage(format!(
                "no model is called `{name}`; write some of {}",
                NAMES.join(",")
            ))
        })?;
        if !found.contains(&known) {
            found.push(known);
        }
    }
    Ok(if found.is_empty() {
        NAMES.to_vec()
    } else {
        found
    })
}

/// One board.
fn board(
    made: Made,
    moves: &[Past<'_>],
    options: &CompareOptions,
    models: &[&str],
    watch: &Watch,
) -> Result<Leaderboard, LeaderboardError> {
    let (holdout, _) = holdout(made, moves, options.leave_one_out);
    let fits: Vec<Box<dyn Fit>> = models
        .iter()
        .filter_map(|name| calibrated(name, options.rules))
        .collect();
    let fits: Vec<&dyn Fit> = fits.iter().map(|fit| &**fit).collect();
    let watch = |step: Step| watch(made, step);
    compare_watched(moves, &fits, holdout, SEED, options.threads, &watch)
}

/// What is left out, and why where that was not asked for.
fn holdout(
    made: Made,
    moves: &[Past<'_>],
    asked: Option<Holdout>,
) -> (Holdout, Option<&'static str>) {
    let first = |name: fn(&Past<'_>) -> Option<String>| moves.first().and_then(name);
    let differ = |name: fn(&Past<'_>) -> Option<String>| {
        let first = first(name);
        moves.iter().any(|past| name(past) != first)
    };
    let workloads = differ(|past| past.case.workload.map(str::to_owned));
    let times = moves.iter().all(|past| past.case.at.is_some());
    match (made, asked) {
        (Made::Live, Some(Holdout::Workload)) if !workloads => (
            Holdout::Future,
            Some("Moves made by vmferry know no workload: they are taken in time order."),
        ),
        (_, Some(Holdout::Future)) if !times => (
            Holdout::Future,
            Some(
                "No times are known: the migrations are taken in the order of their files, which flatters models that learn.",
            ),
        ),
        (_, Some(asked)) => (asked, None),
        (Made::Live, None) => (Holdout::Future, None),
        (Made::Imported, None) => {
            let guests = differ(|past| past.case.guest.map(str::to_owned));
            if times {
                (Holdout::Future, None)
            } else if workloads {
                (Holdout::Workload, None)
            } else if guests {
                (
                    Holdout::Guest,
                    Some(
                        "Neither times nor two workloads are known: every guest is left out in turn.",
                    ),
                )
            } else {
                (
                    Holdout::Future,
                    Some(
                        "Neither times nor workloads nor guests are known: the migrations are taken in the order of their files, which flatters models that learn.",
                    ),
                )
            }
        }
    }
}
