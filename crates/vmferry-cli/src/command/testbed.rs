//! `vmferry testbed`.

use vmferry::Error;
use vmferry::core::ExitCode;
use vmferry::demo::{self, DemoStep};
use vmferry::document::{TestbedList, Versions};
use vmferry::testbed::{GuestSpec, Testbed as Bed};

use crate::answer::Answer;
use crate::args::{Global, Testbed, TestbedUp};
use crate::{progress, render};

pub(crate) async fn run(global: &Global, args: &Testbed) -> Result<ExitCode, Error> {
    match args {
        Testbed::Up(args) => up(global, args).await,
        Testbed::Status { name } => status(global, name.as_deref()).await,
        Testbed::Down { name } => {
            let found = Bed::down(name).await?;
            progress::note(
                global,
                &if found {
                    format!("{name} is gone")
                } else {
                    format!("there was no testbed {name}")
                },
            );
            Ok(ExitCode::Done)
        }
        Testbed::Demo { rate } => {
            let answer = Answer::open(global)?;
            let report = demo::run(*rate, vmferry::guard_command, |step| match step {
                DemoStep::Doing(what) => progress::note(global, &what),
                DemoStep::Promised(promise) => {
                    progress::note(global, &render::promise::lines(&promise));
                }
                DemoStep::Event(event) => {
                    if let Some(line) = progress::line_of(&event) {
                        progress::note(global, &line);
                    }
                }
                DemoStep::Row(row) => progress::note(global, &render::demo::row(&row)),
            })
            .await?;
            answer.give(&report, || render::demo::table(&report))?;
            Ok(ExitCode::Done)
        }
    }
}

async fn up(global: &Global, args: &TestbedUp) -> Result<ExitCode, Error> {
    let answer = Answer::open(global)?;
    let bed = Bed::builder()
        .name(&args.name)
        .rate(args.rate)
        .build()
        .await?;
    for (index, load) in args.loads.iter().enumerate() {
        let name = format!("guest{}", index + 1);
        progress::note(global, &format!("booting {name}: {load}"));
        let spec = GuestSpec::new(name, load)
            .memory(args.memory)
            .vcpus(args.vcpus);
        bed.start_guest(spec).await?;
    }
    let status = bed.status().await;
    bed.detach()?;
    answer.give(&status, || render::testbed::table(&status))?;
    Ok(ExitCode::Done)
}

async fn status(global: &Global, name: Option<&str>) -> Result<ExitCode, Error> {
    let answer = Answer::open(global)?;
    let names = match name {
        Some(name) => vec![name.to_owned()],
        None => Bed::list()?,
    };
    let mut list = TestbedList {
        versions: Versions::default(),
        testbeds: Vec::new(),
    };
    for name in names {
        list.testbeds.push(Bed::load(&name)?.status().await);
    }
    answer.give(&list, || {
        if list.testbeds.is_empty() {
            "no testbed runs; start one with `vmferry testbed up`".to_owned()
        } else {
            list.testbeds
                .iter()
                .map(render::testbed::table)
                .collect::<Vec<_>>()
                .join("\n\n")
        }
    })?;
    Ok(ExitCode::Done)
}
