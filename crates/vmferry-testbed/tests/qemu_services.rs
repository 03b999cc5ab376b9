//! A guest with a real service boots, serves its clients, moves, and comes back while it stands
//! still, without losing a connection.
//!
//! The first run on a machine makes the smallest image that clients reach, that of the web server,
//! for which 10 MB are fetched from Debian, and no other; later ones find it in the cache.
//! `examples/services.rs` tries all services.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use vmferry_core::{ByteRate, Bytes};
use vmferry_hypervisor::qmp::{Guest, MigrationAddress};
use vmferry_testbed::{GuestSpec, Service, ServiceImage, Side, TestGuest, Testbed, TestbedError};

/// How long anything may take on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(120);

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// A connection of the guests' clients to a guest's web server.
fn connect(testbed: &Testbed, guest: &TestGuest) -> Outcome<TcpStream> {
    let port = Service::Web.port().ok_or("a port")?;
    let address = SocketAddr::from((guest.record().ip, port));
    let connected = testbed
        .client()
        .inside(move || TcpStream::connect_timeout(&address, PATIENCE))??;
    connected.set_read_timeout(Some(PATIENCE))?;
    Ok(connected)
}

/// Fetches a page, of which only the length of the body is looked at.
fn fetch(connection: &mut TcpStream, page: &str) -> Outcome<usize> {
    write!(connection, "GET {page} HTTP/1.1\r\nHost: guest\r\n\r\n")?;
    let mut answer = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&answer);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            if !head.starts_with("HTTP/1.1 200 ") {
                return Err(head.into());
            }
            let length: usize = head
                .lines()
                .find_map(|line| line.strip_prefix("Content-Length: "))
                .ok_or("no length")?
                .parse()?;
            if body.len() >= length {
                return Ok(body.len());
            }
        }
        let mut piece = [0; 65536];
        match connection.read(&mut piece)? {
            0 => return Err("the server has closed the connection".into()),
            read => answer.extend_from_slice(&piece[..read]),
        }
    }
}

async fn migrate(guest: &TestGuest) -> Outcome {
    let source = Guest::connect(&guest.source_uri(), Default::default()).await?;
    let destination = Guest::connect(&guest.destination_uri(), Default::default()).await?;
    let at = MigrationAddress::from(&guest.via());
    // A setting that a fresh QEMU has not, and that both ends must agree on.
    for end in [&source, &destination] {
        end.set_capabilities(&[("xbzrle", true)]).await?;
    }
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
            _ => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

async fn states(guest: &TestGuest) -> Outcome<[Option<String>; 2]> {
    let source = guest.watch(Side::Source).await?.run_state().await?;
    let destination = guest.watch(Side::Destination).await?.run_state().await?;
    Ok([source.status, destination.status])
}

fn words(texts: [&str; 2]) -> [Option<String>; 2] {
    texts.map(|text| Some(text.to_owned()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_keeps_its_clients_over_a_move_and_the_way_back() -> Outcome {
    let image = tokio::task::spawn_blocking(|| ServiceImage::prepare(Service::Web)).await??;
    let image = image.ok_or("an image")?;
    assert!(image.manifest.download() < Bytes::from_mib(20));
    let made = std::fs::metadata(&image.disk)?.modified()?;

    let testbed = Testbed::builder()
        .rate(ByteRate::from_mbit_per_s(800.0))
        .build()
        .await?;
    let spec = GuestSpec::service(Service::Web, "web");
    let guest = testbed.start_guest(spec).await?;
    let disk = guest.record().service.ok_or("a disk")?;
    assert_eq!(
        (disk.service, disk.base),
        (Service::Web, image.disk.clone())
    );
    assert!(disk.overlay.starts_with(testbed.directory()));
    let mut connection = connect(&testbed, &guest)?;
    assert_eq!(fetch(&mut connection, "/")?, 4096);
    assert_eq!(fetch(&mut connection, "/page-64k.html")?, 65536);

    // Not before it has moved.
    let error = guest.move_back_stopped().await.expect_err("it is there");
    assert!(matches!(error, TestbedError::NotBack { .. }), "{error}");
    assert_eq!(states(&guest).await?, words(["running", "inmigrate"]));

    for round in 0..2 {
        migrate(&guest).await?;
        assert_eq!(states(&guest).await?, words(["postmigrate", "running"]));
        assert_eq!(fetch(&mut connection, "/")?, 4096, "round {round}");
        let moved_to = guest.pid(Side::Destination);
        let back = guest.move_back_stopped().await?;
        assert!(back.transferred > Bytes::from_mib(8), "{back:?}");
        assert!(back.memory >= guest.record().spec.memory, "{back:?}");
        assert_eq!(states(&guest).await?, words(["running", "inmigrate"]));
        assert_ne!(guest.pid(Side::Destination), moved_to);
        assert_eq!(fetch(&mut connection, "/page-16k.html")?, 16384);
    }

    // A reset is a fresh state: a new overlay, and clients that must connect again.
    let before = inode(&disk.overlay)?;
    guest.reset().await?;
    assert_ne!(inode(&disk.overlay)?, before, "written anew");
    assert_eq!(fetch(&mut connect(&testbed, &guest)?, "/")?, 4096);
    testbed.close().await?;
    assert_eq!(
        std::fs::metadata(&image.disk)?.modified()?,
        made,
        "only read"
    );
    Ok(())
}

fn inode(path: &Path) -> Outcome<(u64, std::time::SystemTime)> {
    use std::os::unix::fs::MetadataExt;
    let metadata = std::fs::metadata(path)?;
    Ok((metadata.ino(), metadata.modified()?))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_offers_one_service() -> Outcome {
    let testbed = Testbed::builder().build().await?;
    let two = GuestSpec::service(Service::Web, "two");
    let two = GuestSpec {
        load: "service:web+service:cache".to_owned(),
        ..two
    };
    let error = testbed.start_guest(two).await.expect_err("too many");
    assert!(error.to_string().contains("one service"), "{error}");
    Ok(())
}
