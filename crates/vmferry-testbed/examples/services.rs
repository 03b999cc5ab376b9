//! Boots a guest for each service, one after the other, moves it, brings it back while it stands
//! still, and prints how long that took; a connection to the service is kept open all the way.
//!
//! `cargo run -p vmferry-testbed --example services -- [RATE] [SERVICE...]`

#![expect(clippy::print_stdout, reason = "it is a program")]

use std::error::Error;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use tokio::time::sleep;
use vmferry_core::quantity::parse_rate;
use vmferry_hypervisor::qmp::{Guest, MigrationAddress};
use vmferry_testbed::{GuestSpec, Service, ServiceImage, Side, TestGuest, Testbed};

/// A move that takes longer does not converge.
const PATIENCE: Duration = Duration::from_secs(120);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let rate = parse_rate(&words.next().unwrap_or("800Mbit/s".to_owned()))?;
    let mut services = words
        .map(|name| name.parse())
        .collect::<Result<Vec<Service>, _>>()?;
    if services.is_empty() {
        services.extend(Service::ALL);
    }
    let testbed = Testbed::builder().rate(rate).build().await?;
    for service in services {
        if let Err(error) = look(&testbed, service).await {
            println!("{service}: {error}");
        }
        for guest in testbed.guests() {
            for side in Side::BOTH {
                guest.kill(side).await?;
            }
        }
    }
    testbed.close().await?;
    Ok(())
}

async fn look(testbed: &Testbed, service: Service) -> Result<(), Box<dyn Error>> {
    let begin = Instant::now();
    let image = tokio::task::spawn_blocking(move || ServiceImage::prepare(service)).await??;
    if let Some(image) = image {
        println!(
            "{service}: {} fetched, {} packages, ready after {:.1} s: {}",
            image.manifest.download(),
            image.manifest.packages.len(),
            begin.elapsed().as_secs_f64(),
            image.disk.display()
        );
    }
    let begin = Instant::now();
    let guest = testbed
        .start_guest(GuestSpec::service(service, service.name()))
        .await?;
    println!(
        "{service}: up {:.1} s after the start",
        begin.elapsed().as_secs_f64()
    );
    let address = service
        .port()
        .map(|port| SocketAddr::from((guest.record().ip, port)));
    let mut connection = match address {
        Some(address) => Some(
            testbed
                .client()
                .inside(move || TcpStream::connect_timeout(&address, PATIENCE))??,
        ),
        None => None,
    };
    let begin = Instant::now();
    migrate(&guest).await?;
    println!("{service}: moved in {:.1} s", begin.elapsed().as_secs_f64());
    let back = guest.move_back_stopped().await?;
    println!(
        "{service}: back, stopped for {:.2} s, {} of {} sent; all in {:.1} s",
        back.stopped.as_secs_f64(),
        back.transferred,
        back.memory,
        begin.elapsed().as_secs_f64()
    );
    if let Some(connection) = &mut connection {
        println!("{service}: {}", talk(service, connection)?);
    }
    let watch = guest.console_watch();
    sleep(Duration::from_secs(2)).await;
    let reports = watch.reports();
    let (first, last) = (reports.first(), reports.last());
    if let (Some(first), Some(last)) = (first, last) {
        println!(
            "{service}: {} reports in 2 s, work {:?} to {:?}",
            reports.len(),
            first.progress.work,
            last.progress.work
        );
    }
    Ok(())
}

/// Says something that the service answers, or waits for its greeting.
fn talk(service: Service, connection: &mut TcpStream) -> Result<String, Box<dyn Error>> {
    let said: &[u8] = match service {
        Service::Web => b"GET / HTTP/1.1\r\nHost: guest\r\n\r\n",
        Service::Application => b"GET /work HTTP/1.1\r\nHost: guest\r\n\r\n",
        Service::Cache => b"DBSIZE\r\n",
        // PostgreSQL's request for TLS, which is answered by `N`.
        Service::Postgres => &[0, 0, 0, 8, 4, 210, 22, 47],
        Service::Mail => b"NOOP\r\n",
        Service::Mariadb | Service::Standby | Service::File => b"",
    };
    connection.set_read_timeout(Some(PATIENCE))?;
    let begin = Instant::now();
    connection.write_all(said)?;
    let mut answer = vec![0; 600];
    let read = connection.read(&mut answer)?;
    let text = String::from_utf8_lossy(&answer[..read]);
    Ok(format!(
        "answered {:?} after {:.3} s",
        text.chars().take(80).collect::<String>(),
        begin.elapsed().as_secs_f64()
    ))
}

async fn migrate(guest: &TestGuest) -> Result<(), Box<dyn Error>> {
    let source = Guest::connect(&guest.source_uri(), Default::default()).await?;
    let destination = Guest::connect(&guest.destination_uri(), Default::default()).await?;
    let at = MigrationAddress::from(&guest.via());
    destination.migrate_incoming(&at).await?;
    source.migrate(&at).await?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let info = source.migration().await?;
        match info.status.to_string().as_str() {
            // The destination has still to load what was sent last.
            "completed" if destination.run_state().await?.running == Some(true) => return Ok(()),
            "failed" => return Err(info.error_desc.unwrap_or_default().into()),
            status if Instant::now() > deadline => return Err(status.into()),
            _ => sleep(Duration::from_millis(20)).await,
        }
    }
}
