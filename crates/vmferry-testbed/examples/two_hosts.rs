//! A testbed with one guest, for trials: prints where its monitors are and waits for the end of
//! its input or Ctrl-C.
//!
//! `cargo run -p vmferry-testbed --example two_hosts -- LOAD [RATE] [MEMORY_MIB] [VCPUS]`

#![expect(clippy::print_stdout, reason = "it is a program")]

use std::error::Error;

use tokio::io::AsyncReadExt;
use vmferry_core::Bytes;
use vmferry_core::quantity::parse_rate;
use vmferry_testbed::{GuestSpec, Testbed};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let word =
        |index: usize, default: &str| words.get(index).cloned().unwrap_or(default.to_owned());
    let load = word(0, "uniform:set=64M,rate=20M");
    let rate = parse_rate(&word(1, "400Mbit/s"))?;
    let memory = Bytes::from_mib(word(2, "256").parse()?);
    let vcpus = word(3, "1").parse()?;

    let testbed = Testbed::builder().rate(rate).build().await?;
    let guest = testbed
        .start_guest(GuestSpec::new("guest", load).memory(memory).vcpus(vcpus))
        .await?;
    println!(
        "testbed {} at {rate}, {}",
        testbed.name(),
        testbed.accelerator()
    );
    println!(
        "vmferry migrate {} --to {} --via {} --bandwidth {} --yes",
        guest.source_uri(),
        guest.destination_uri(),
        guest.via(),
        word(1, "400Mbit/s")
    );
    println!("{}", serde_json::to_string_pretty(&testbed.status().await)?);

    let mut input = tokio::io::stdin();
    let mut bytes = [0; 256];
    loop {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => break,
            read = input.read(&mut bytes) => if read? == 0 { break },
        }
    }
    testbed.close().await?;
    Ok(())
}
