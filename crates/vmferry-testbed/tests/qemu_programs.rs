//! A guest that runs a real program boots, works, and goes on at the destination of a move.
//!
//! The first run on a machine makes the disk of programs, for which 47 MB are fetched from Debian;
//! later ones find it in the cache. `examples/programs.rs` tries all programs.

use std::time::{Duration, Instant};

use vmferry_core::{ByteRate, Bytes};
use vmferry_hypervisor::qmp::{Guest, MigrationAddress};
use vmferry_load::report::Message;
use vmferry_testbed::{Console, GuestSpec, ProgramImage, Side, TestGuest, Testbed, TestbedError};

/// How long anything may take on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(120);

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// The work last reported on a console; an error that the guest tells is one here.
fn last_work(guest: &TestGuest, side: Side) -> Result<Option<u64>, Box<dyn std::error::Error>> {
    let mut last = None;
    for message in Console::at(&guest.record().end(side).console).read_new()? {
        match message {
            Message::Progress(progress) => last = progress.work.first().copied(),
            Message::Error(problem) => return Err(problem.into()),
            _ => {}
        }
    }
    Ok(last)
}

/// Waits until more work is reported on a console than was done.
async fn works_on(
    guest: &TestGuest,
    side: Side,
    than: u64,
) -> Result<u64, Box<dyn std::error::Error>> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(work) = last_work(guest, side)?.filter(|work| *work > than) {
            return Ok(work);
        }
        if Instant::now() > deadline {
            return Err(format!("no work beyond {than} at the {side}").into());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn migrate(guest: &TestGuest) -> Outcome {
    let source = Guest::connect(&guest.source_uri(), Default::default()).await?;
    let destination = Guest::connect(&guest.destination_uri(), Default::default()).await?;
    let at = MigrationAddress::from(&guest.via());
    destination.migrate_incoming(&at).await?;
    source.migrate(&at).await?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let info = source.migration().await?;
        match info.status.to_string().as_str() {
            "completed" => return Ok(()),
            "failed" => return Err(info.error_desc.unwrap_or_default().into()),
            status if Instant::now() > deadline => return Err(status.into()),
            _ => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_works_and_goes_on_after_a_move() -> Outcome {
    let image = tokio::task::spawn_blocking(ProgramImage::prepare).await??;
    let names = image.manifest.packages.iter();
    let names: Vec<&str> = names.map(|package| package.name.as_str()).collect();
    assert!(names.contains(&"coreutils"), "{names:?}");
    // What was fetched is bounded, and said.
    assert!(
        image.manifest.download() < Bytes::from_mib(80),
        "{}",
        image.manifest.download()
    );

    let testbed = Testbed::builder()
        .rate(ByteRate::from_mbit_per_s(800.0))
        .build()
        .await?;
    // Half of a CPU and a small set: the move ends whatever else the machine does.
    let spec = GuestSpec::new("sorter", "program:sort,set=4M,duty=50");
    let guest = testbed.start_guest(spec).await?;
    assert_eq!(guest.record().programs, Some(image.disk.clone()));
    let begun = works_on(&guest, Side::Source, 0).await?;
    works_on(&guest, Side::Source, begun).await?;

    migrate(&guest).await?;
    let at_source = last_work(&guest, Side::Source)?.ok_or("reports at the source")?;
    // More than was read ahead: both hosts have the same disk, from which sort is started anew.
    works_on(&guest, Side::Destination, at_source + (8 << 20)).await?;
    testbed.close().await?;
    assert!(image.disk.exists(), "the disk belongs to the cache");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_cannot_run_says_why() -> Outcome {
    let testbed = Testbed::builder().build().await?;
    let unknown = GuestSpec::new("unknown", "program:mysql");
    let error = testbed.start_guest(unknown).await.expect_err("not known");
    assert!(error.to_string().contains("postgres, redis"), "{error}");
    let small = GuestSpec::new("small", "program:postgres").memory(Bytes::from_mib(128));
    let error = testbed.start_guest(small).await.expect_err("too small");
    assert!(
        matches!(error, TestbedError::InvalidGuest { .. }),
        "{error}"
    );
    Ok(())
}
