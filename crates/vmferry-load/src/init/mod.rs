//! PID 1 of a test guest: what a guest needs before the load can run, and no more.

mod cmdline;
mod console;
mod modules;
mod mount;
mod net;
pub(crate) mod root;

use std::fs;
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::thread;

use vmferry_load::report::Message;
use vmferry_load::spec::Protocol;

use crate::clock::{self, SECOND};
use crate::load;
use crate::pattern::network::Server;
use crate::tally::Tally;
use cmdline::CommandLine;

/// Port on which every guest answers, so that its reachability can be probed.
const ECHO_PORT: u16 = 7;

/// Sets up the guest and runs the load; never ends, since the kernel panics when PID 1 does.
pub(crate) fn run() -> ! {
    let mut warnings = mount::mount_all();
    warnings.extend(modules::load_all());
    let line = CommandLine::parse(&fs::read_to_string("/proc/cmdline").unwrap_or_default());
    warnings.extend(line.warnings);
    warnings.extend(network(line.address, line.gateway));
    let path = line.report.as_deref().unwrap_or("/dev/ttyS0");
    let mut out: Box<dyn Write> = match console::open(path) {
        Ok(file) => Box::new(file),
        Err(error) => {
            warnings.push(format!(
                "cannot report on {path}: {error}; reporting on the console"
            ));
            Box::new(io::stdout())
        }
    };
    for warning in warnings {
        say(&mut *out, &Message::Warning(warning));
    }
    let text = line.load.unwrap_or_else(|| "idle".to_owned());
    let address = line
        .address
        .map(|(address, prefix)| format!("{address}/{prefix}"));
    let result = load::start(&text).and_then(|started| {
        say(&mut *out, &started.up(address, text));
        started
            .report(&mut *out, None)
            .map_err(|error| format!("cannot report: {error}"))
    });
    if let Err(error) = result {
        say(&mut *out, &Message::Error(error));
    }
    loop {
        clock::sleep_until(clock::now() + 3600 * SECOND);
    }
}

fn say(out: &mut dyn Write, message: &Message) {
    // A console that cannot be written leaves nobody to tell.
    let _unheard = out.write_all(format!("{message}\n").as_bytes());
}

/// Sets addresses and begins to answer; returns what failed.
fn network(address: Option<(Ipv4Addr, u8)>, gateway: Option<Ipv4Addr>) -> Vec<String> {
    let mut failures = Vec::new();
    failures.extend(net::bring_up("lo", Some((Ipv4Addr::LOCALHOST, 8))).err());
    match (net::first_ethernet(), address) {
        (Some(card), address) => failures.extend(net::bring_up(&card, address).err()),
        (None, Some(_)) => failures.push("no Ethernet card for vmferry.ip".to_owned()),
        (None, None) => {}
    }
    failures.extend(gateway.and_then(|gateway| net::route_through(gateway).err()));
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        match Server::bind(protocol, ECHO_PORT, true) {
            // Probes are not work of the load: their count goes nowhere.
            Ok(server) => drop(thread::spawn(move || server.serve(&Tally::default()))),
            Err(error) => failures.push(format!("cannot serve echo on port {ECHO_PORT}: {error}")),
        }
    }
    failures
}
