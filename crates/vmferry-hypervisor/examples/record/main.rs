//! Records what a real QEMU says, for the tests that replay it.
//!
//! `cargo run -p vmferry-hypervisor --example record -- QEMU DIRECTORY` starts two guests, takes
//! the tour of `tour.rs` with them, and writes `DIRECTORY/guest.jsonl`, `source.jsonl` and
//! `destination.jsonl`. See `tests/fixtures/README.md`.

mod proxy;
mod tour;
mod trim;

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use tokio::process::{Child, Command};
use vmferry_core::GuestUri;
use vmferry_hypervisor::qmp::{ConnectOptions, Guest, MigrationAddress};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(qemu), Some(directory)) = (arguments.next(), arguments.next()) else {
        return Err("usage: record QEMU DIRECTORY".into());
    };
    let directory = Path::new(&directory);
    std::fs::create_dir_all(directory)?;
    let scratch = tempfile::tempdir()?;
    let at = |name: &str| scratch.path().join(name);

    let named = [
        "-name",
        "recorded",
        "-uuid",
        "6fd0a3a1-6e0c-4a47-8d55-8d9e0c7a3a55",
    ];
    let _guest = start(&qemu, &at("guest.qmp"), &[&named[..], &["-S"]].concat()).await?;
    let guest = connect(&at("guest.qmp"), &directory.join("guest.jsonl")).await?;
    tour::ask_everything(&guest).await?;

    let _source = start(&qemu, &at("source.qmp"), &[]).await?;
    let _destination = start(&qemu, &at("destination.qmp"), &["-incoming", "defer"]).await?;
    let source = connect(&at("source.qmp"), &directory.join("source.jsonl")).await?;
    let destination = connect(&at("destination.qmp"), &directory.join("destination.jsonl")).await?;
    let stream = MigrationAddress::Unix { path: at("stream") };
    tour::prepare_destination(&destination, &stream).await?;
    let (sent, received) = tokio::join!(
        tour::follow_source(&source, &stream),
        tour::follow_destination(&destination)
    );
    sent?;
    received?;
    Ok(())
}

async fn start(qemu: &str, socket: &Path, arguments: &[&str]) -> Result<Child, Box<dyn Error>> {
    let child = Command::new(qemu)
        .args(["-accel", "tcg", "-machine", "q35", "-m", "64", "-smp", "2"])
        .args(["-nodefaults", "-display", "none", "-qmp"])
        .arg(format!("unix:{},server=on,wait=off", socket.display()))
        .args(arguments)
        .kill_on_drop(true)
        .spawn()?;
    while !socket.exists() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(child)
}

async fn connect(socket: &Path, recording: &Path) -> Result<Guest, Box<dyn Error>> {
    let proxied = proxy::start(socket, recording).await?;
    let guest = Guest::connect(&GuestUri::local(proxied), ConnectOptions::default()).await?;
    Ok(guest)
}
