//! `vmferry bench`.

mod judging;
mod making;

use vmferry::Error;
use vmferry::benchmarking;
use vmferry::benchmarking::qemu::QemuPlatform;
use vmferry::core::ExitCode;

use crate::answer::Answer;
use crate::args::{Bench, Global};
use crate::{progress, render};

pub(crate) async fn run(global: &Global, args: &Bench) -> Result<ExitCode, Error> {
    let mut platform = QemuPlatform::new();
    match args {
        Bench::Run(args) => making::run(global, args, &mut platform).await,
        Bench::Resume(args) => making::resume(global, args, &mut platform).await,
        Bench::Report(args) => judging::report(global, args),
        Bench::Compare(args) => judging::compare(global, args),
        Bench::List => list(global),
    }
}

fn list(global: &Global) -> Result<ExitCode, Error> {
    let answer = Answer::open(global)?;
    let list = benchmarking::list()?;
    for problem in &list.unreadable {
        progress::say(&format!("warning: {problem}"));
    }
    let shipped = benchmarking::shipped()?;
    answer.give(&list, || render::bench::list(&list, &shipped))?;
    Ok(ExitCode::Done)
}
