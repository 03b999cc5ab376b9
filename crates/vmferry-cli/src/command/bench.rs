//! `vmferry bench`.

#[expect(dead_code, reason = "no platform is in the command yet")]
mod making;

use vmferry::Error;
use vmferry::benchmarking;
use vmferry::core::ExitCode;

use crate::answer::Answer;
use crate::args::{Bench, Global};
use crate::{progress, render};

pub(crate) fn run(global: &Global, args: &Bench) -> Result<ExitCode, Error> {
    match args {
        Bench::List => list(global),
    }
}

fn list(global: &Global) -> Result<ExitCode, Error> {
    let answer = Answer::open(global)?;
    let list = benchmarking::list()?;
    for problem in &list.unreadable {
        progress::say(&format!("warning: {problem}"));
    }
    answer.give(&list, || render::bench::list(&list))?;
    Ok(ExitCode::Done)
}
