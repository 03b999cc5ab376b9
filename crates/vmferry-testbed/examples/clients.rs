//! Runs the clients of a service for some seconds and prints what they did:
//! `cargo run -p vmferry-testbed --example clients -- NETNS ADDRESS SERVICE SECONDS [CONNECTIONS [RATE]]`

#![expect(clippy::print_stdout, reason = "an example prints")]

use std::error::Error;
use std::thread::sleep;
use std::time::Duration;

use vmferry_core::Bytes;
use vmferry_testbed::client::{ClientLoad, ClientTools};
use vmferry_testbed::{Namespace, Service};

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [network, address, service, seconds, rest @ ..] = words.as_slice() else {
        return Err("NETNS ADDRESS SERVICE SECONDS [CONNECTIONS [RATE]], please".into());
    };
    let service: Service = service.parse()?;
    let mut load = ClientLoad {
        set: Bytes(10_000 * 256),
        ..ClientLoad::default()
    };
    if let Some(connections) = rest.first() {
        load.connections = connections.parse()?;
    }
    load.rate_per_s = rest.get(1).map(|rate| rate.parse()).transpose()?;
    let tools = ClientTools::prepare()?;
    let network = Namespace::find(network)?;
    let Some(client) = tools.start(&network, service, address.parse()?, &load)? else {
        return Err(format!("{service} has no clients").into());
    };
    for _ in 0..seconds.parse()? {
        sleep(Duration::from_secs(1));
        let progress = client.progress();
        println!(
            "{} operations, {} errors",
            progress.operations, progress.errors
        );
    }
    println!("{}", serde_json::to_string_pretty(&client.stop())?);
    Ok(())
}
