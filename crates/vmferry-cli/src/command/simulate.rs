//! `vmferry simulate`.

use vmferry::Error;
use vmferry::core::{ByteRate, Bytes, ExitCode, Millis};
use vmferry::simulating::{self, SimulateRequest};

use super::drawing::Drawing;
use crate::answer::Answer;
use crate::args::{Global, Simulate};
use crate::render;

pub(crate) async fn run(global: &Global, args: &Simulate) -> Result<ExitCode, Error> {
    let answer = Answer::open(global)?;
    let drawing = Drawing::open(args.svg.as_deref())?;
    let request = request(args);
    let simulated = tokio::task::spawn_blocking(move || simulating::simulate(&request)).await;
    let report =
        simulated.map_err(|error| Error::Internal(format!("the simulation failed: {error}")))??;
    if let Some(drawing) = drawing {
        drawing.write(render::sweep::svg(&report))?;
    }
    answer.give(&report, || render::simulate::table(&report))?;
    Ok(ExitCode::Done)
}

fn request(args: &Simulate) -> SimulateRequest {
    let all = |values: &crate::args::Values| values.all(args.steps);
    let given = |values: &Option<crate::args::Values>| values.as_ref().map(all).unwrap_or_default();
    let bytes = |value: f64| Bytes(value.round() as u64);
    SimulateRequest {
        file: args.file.clone(),
        model: args.model,
        rules: args.rules.clone(),
        bandwidth: all(&args.bandwidth).into_iter().map(ByteRate).collect(),
        max_downtime: given(&args.max_downtime).into_iter().map(Millis).collect(),
        memory: given(&args.memory).into_iter().map(bytes).collect(),
        dirt: all(&args.dirt),
        max_bandwidth: args.max_bandwidth,
        deadline: args.deadline.into(),
        samples: args.samples,
        seed: args.seed,
    }
}
