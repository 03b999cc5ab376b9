//! Boots a guest for each real program, one after the other, moves it, and prints how long that
//! took and what the program did before and after.
//!
//! `cargo run -p vmferry-testbed --example programs -- [RATE] [MEMORY_MIB] [LOAD...]`

#![expect(clippy::print_stdout, reason = "it is a program")]

use std::error::Error;
use std::time::{Duration, Instant};

use tokio::time::sleep;
use vmferry_core::Bytes;
use vmferry_core::quantity::parse_rate;
use vmferry_hypervisor::qmp::{Guest, MigrationAddress};
use vmferry_load::spec::Program;
use vmferry_testbed::{GuestSpec, ProgramImage, TestGuest, Testbed};

/// How long a program is watched before and after its move.
const WATCHED: Duration = Duration::from_secs(5);

/// Longer than from one report to the next.
const MARGIN: Duration = Duration::from_secs(1);

/// A move that takes longer does not converge.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let word = |index: usize, usual: &str| words.get(index).cloned().unwrap_or(usual.to_owned());
    let rate = parse_rate(&word(0, "800Mbit/s"))?;
    let memory = Bytes::from_mib(word(1, "512").parse()?);
    let mut loads = words.get(2..).unwrap_or_default().to_vec();
    if loads.is_empty() {
        let names = Program::ALL.map(|program| format!("program:{}", program.name()));
        loads.extend(names);
    }

    let begin = Instant::now();
    let image = tokio::task::spawn_blocking(ProgramImage::prepare).await??;
    println!(
        "disk of programs: {} fetched, {} packages, ready after {:.1} s: {}",
        image.manifest.download(),
        image.manifest.packages.len(),
        begin.elapsed().as_secs_f64(),
        image.disk.display()
    );
    let testbed = Testbed::builder().rate(rate).build().await?;
    for (number, load) in loads.iter().enumerate() {
        let begin = Instant::now();
        let spec = GuestSpec::new(format!("guest-{number}"), load.as_str()).memory(memory);
        let guest = testbed.start_guest(spec).await?;
        println!(
            "{load}: began {:.1} s after the start",
            begin.elapsed().as_secs_f64()
        );
        look(&guest, load).await?;
        for side in vmferry_testbed::Side::BOTH {
            guest.kill(side).await?;
        }
    }
    testbed.close().await?;
    Ok(())
}

async fn look(guest: &TestGuest, load: &str) -> Result<(), Box<dyn Error>> {
    let watch = guest.console_watch();
    // Reports have come before the span begins, and come until after its end.
    sleep(MARGIN).await;
    let begin = Instant::now();
    sleep(WATCHED).await;
    let moved = Instant::now();
    let status = migrate(guest).await?;
    let after = Instant::now();
    sleep(WATCHED).await;
    let end = Instant::now();
    sleep(MARGIN).await;
    let rate = |from: Instant, to: Instant| {
        let work = watch.work_between(from, to)?.first().copied()?;
        Some(work / (to - from).as_secs_f64())
    };
    let shown = |rate: Option<f64>| rate.map_or("?".to_owned(), |rate| format!("{rate:.0}"));
    println!(
        "{load}: {status} after {:.1} s; units a second before {}, meanwhile {}, after {}",
        (after - moved).as_secs_f64(),
        shown(rate(begin, moved)),
        shown(rate(moved, after)),
        shown(rate(after, end)),
    );
    Ok(())
}

/// Moves a guest, or gives up; returns the last status.
async fn migrate(guest: &TestGuest) -> Result<String, Box<dyn Error>> {
    let source = Guest::connect(&guest.source_uri(), Default::default()).await?;
    let destination = Guest::connect(&guest.destination_uri(), Default::default()).await?;
    let at = MigrationAddress::from(&guest.via());
    destination.migrate_incoming(&at).await?;
    source.migrate(&at).await?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let status = source.migration().await?.status.to_string();
        if ["completed", "failed"].contains(&status.as_str()) || Instant::now() > deadline {
            return Ok(status);
        }
        sleep(Duration::from_millis(20)).await;
    }
}
