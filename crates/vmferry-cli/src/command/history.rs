//! `vmferry history`.

use vmferry::Error;
use vmferry::core::ExitCode;
use vmferry::energy::EnergyMeasurement;
use vmferry::history::{History as Store, MoveFilter, Store as _, export, history_path};

use super::imports;
use crate::answer::Answer;
use crate::args::{Format, Global, History};
use crate::render;

pub(crate) async fn run(global: &Global, args: &History) -> Result<ExitCode, Error> {
    let answer = Answer::open(global)?;
    let store = async || Store::open_existing(&history_path()?).await;
    match args {
        History::List { guest, limit } => {
            let filter = MoveFilter {
                guest: guest.clone(),
                limit: Some(*limit),
                since: None,
            };
            let moves = store().await?.list(&filter).await?;
            if global.output == Format::Jsonl {
                for line in &moves {
                    answer.line(line)?;
                }
            } else {
                let list = vmferry::document::MoveList::new(moves);
                answer.give(&list, || render::moves::table(&list))?;
            }
        }
        History::Show { id } => {
            let store = store().await?;
            let record = store.get(id).await?;
            let metered = EnergyMeasurement::of_move(&store, record.move_id).await?;
            answer.give(&record, || render::record::table(&record, &metered))?;
        }
        History::Export => {
            let mut text = Vec::new();
            export(&store().await?, &MoveFilter::default(), &mut text).await?;
            answer.raw(&text)?;
        }
        History::Import(args) => return imports::import(&answer, args).await,
        History::Imports => imports::list(&answer).await?,
        History::Forget { source } => imports::forget(&answer, source).await?,
    }
    Ok(ExitCode::Done)
}
