//! `vmferry recover`.

use vmferry::core::ExitCode;
use vmferry::{Error, guarding};

use crate::answer::Answer;
use crate::args::Global;
use crate::render;

pub(crate) async fn run(global: &Global) -> Result<ExitCode, Error> {
    let answer = Answer::open(global)?;
    let report = guarding::recover().await?;
    answer.give(&report, || render::recovery::table(&report))?;
    Ok(guarding::exit_code(&report))
}
