//! Probes a guest until Enter is pressed (or for some seconds), and says what was seen and what it
//! cost: `cargo run -p vmferry-measure --example outage -- ADDRESS [--in NETNS] [--for SECONDS]
//! icmp udp:7 connect:80 refusal:9 http:80 postgres:5432 mariadb:3306 redis:6379 smtp:25 imap:143`

#![expect(clippy::print_stdout, reason = "an example prints")]

use std::error::Error;
use std::io::stdin;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use vmferry_measure::outage::{ProbeKind, ProbeTarget, Protocol, ReachProbe};

const ALL: std::ops::Range<u64> = 0..u64::MAX;

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let guest: Ipv4Addr = words.next().ok_or("an address, please")?.parse()?;
    let mut target = ProbeTarget::new(guest);
    let mut seconds = None;
    let mut kinds = Vec::new();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--in" => target.namespace = words.next().map(PathBuf::from),
            "--for" => seconds = words.next().map(|text| text.parse()).transpose()?,
            kind => kinds.push(kind_of(kind).ok_or_else(|| format!("what is {kind}?"))?),
        }
    }
    let started = Instant::now();
    let probes: Result<Vec<_>, _> = kinds
        .into_iter()
        .map(|kind| ReachProbe::start(kind, &target))
        .collect();
    match seconds {
        Some(seconds) => sleep(Duration::from_secs(seconds)),
        None => drop(stdin().read_line(&mut String::new())?),
    }
    let elapsed = started.elapsed();
    let mut total = 0.0;
    for probe in probes? {
        let samples = probe.stop()?;
        let share = samples.cpu_ms.duration().as_secs_f64() / elapsed.as_secs_f64() * 100.0;
        total += share;
        let latency = samples.latency(ALL);
        println!(
            "{}: {latency:?}, downtime {:?}, {share:.2} % of a core",
            samples.kind,
            samples.downtime(ALL)
        );
    }
    println!("together {total:.2} % of a core");
    Ok(())
}

fn kind_of(text: &str) -> Option<ProbeKind> {
    if text == "icmp" {
        return Some(ProbeKind::IcmpEcho);
    }
    let (name, port) = text.split_once(':')?;
    let port = port.parse().ok()?;
    let protocol = match name {
        "udp" => return Some(ProbeKind::UdpEcho { port }),
        "connect" => return Some(ProbeKind::TcpConnect { port }),
        "refusal" => return Some(ProbeKind::TcpRefusal { port }),
        "http" => Protocol::Http,
        "postgres" => Protocol::Postgres,
        "mariadb" => Protocol::Mariadb,
        "redis" => Protocol::Redis,
        "smtp" => Protocol::Smtp,
        "imap" => Protocol::Imap,
        _ => return None,
    };
    Some(ProbeKind::Request { protocol, port })
}
