//! Benchmarks begun, gone on with, listed and read.

use tokio::sync::watch;
use vmferry_bench::BenchError;
use vmferry_bench::plan::BenchPlan;
use vmferry_bench::platform::Platform;
use vmferry_bench::procedure::{self, Tell};
use vmferry_bench::record::BenchRecord;
use vmferry_bench::store::BenchStore;

use super::{BenchList, BenchRunReport};
use crate::document::Versions;
use crate::{Error, TOOL_VERSION};

/// Makes a benchmark and keeps it where benchmarks are kept. A `true` on `cancel` ends it once the
/// step under way is over; [`resume`] then goes on.
///
/// # Errors
/// As [`procedure::begin`].
pub async fn run<P: Platform>(
    platform: &mut P,
    plan: BenchPlan,
    cancel: &watch::Receiver<bool>,
    tell: Tell<'_>,
) -> Result<BenchRunReport, Error> {
    let store = BenchStore::usual()?;
    let record = procedure::begin(platform, plan, &store, TOOL_VERSION, cancel, tell).await?;
    report(&store, &record)
}

/// Goes on with the benchmark whose identifier begins so, else with the latest that was
/// interrupted. With `again` the runs that failed are made again.
///
/// # Errors
/// As [`procedure::resume`]; or when there is none, or several begin so.
pub async fn resume<P: Platform>(
    platform: &mut P,
    beginning: Option<&str>,
    again: bool,
    cancel: &watch::Receiver<bool>,
    tell: Tell<'_>,
) -> Result<BenchRunReport, Error> {
    let store = BenchStore::usual()?;
    let id = match beginning {
        Some(beginning) => store.find(beginning)?,
        None => store.interrupted()?,
    };
    let version = TOOL_VERSION;
    let record = procedure::resume(platform, id, again, &store, version, cancel, tell).await?;
    report(&store, &record)
}

fn report(store: &BenchStore, record: &BenchRecord) -> Result<BenchRunReport, Error> {
    let (entries, _) = store.list()?;
    let entry = entries.into_iter().find(|entry| entry.id == record.id);
    let gone = || BenchError::NotFound(format!("benchmark {} was removed meanwhile", record.id));
    Ok(BenchRunReport {
        versions: Versions::default(),
        benchmark: entry.ok_or_else(gone)?,
    })
}

/// The benchmarks that are kept.
///
/// # Errors
/// When their directory cannot be read.
pub fn list() -> Result<BenchList, Error> {
    let (benchmarks, unreadable) = BenchStore::usual()?.list()?;
    Ok(BenchList {
        versions: Versions::default(),
        benchmarks,
        unreadable,
    })
}

/// What the benchmark whose identifier begins so measured, so far.
///
/// # Errors
/// When there is none, several begin so, or it is damaged.
pub fn read(beginning: &str) -> Result<BenchRecord, Error> {
    let store = BenchStore::usual()?;
    Ok(store.read(store.find(beginning)?)?)
}
