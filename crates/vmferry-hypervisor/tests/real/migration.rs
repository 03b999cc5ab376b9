//! Moves between two real QEMUs.

use std::path::Path;
use std::process::Command;

use serde_json::{Map, json};
use vmferry_core::MigrationStatus;
use vmferry_hypervisor::HypervisorError;
use vmferry_hypervisor::qmp::{EventStream, MigrationAddress, TlsEndpoint, TlsSetup};

use crate::qemu::Qemu;

const MACHINE: [&str; 4] = ["-machine", "q35", "-m", "64"];

fn destination() -> Qemu {
    Qemu::start(&[&MACHINE[..], &["-incoming", "defer"]].concat())
}

/// The statuses and passes until the migration ends.
async fn follow(events: &mut EventStream) -> (Vec<MigrationStatus>, Vec<u64>) {
    let (mut statuses, mut passes) = (Vec::new(), Vec::new());
    while let Some(event) = events.next().await {
        passes.extend(event.migration_pass());
        if let Some(status) = event.migration_status() {
            let is_end = status.is_end();
            statuses.push(status);
            if is_end {
                break;
            }
        }
    }
    (statuses, passes)
}

#[tokio::test]
async fn a_guest_moves_and_both_ends_tell_of_it() {
    let (source, destination) = (Qemu::start(&MACHINE), destination());
    let (from, to) = (source.connect().await, destination.connect().await);
    for end in [&from, &to] {
        end.set_capabilities(&[("events", true)]).await.unwrap();
    }
    assert_eq!(
        from.migration().await.unwrap().status,
        MigrationStatus::None
    );
    assert!(to.run_state().await.unwrap().awaits_migration());

    let address = MigrationAddress::Unix {
        path: destination.directory().join("stream"),
    };
    let (mut sent, mut received) = (from.events(), to.events());
    to.migrate_incoming(&address).await.unwrap();
    from.migrate(&address).await.unwrap();
    let (statuses, passes) = follow(&mut sent).await;
    assert_eq!(statuses.first(), Some(&MigrationStatus::Setup));
    assert_eq!(statuses.last(), Some(&MigrationStatus::Completed));
    assert!(statuses.contains(&MigrationStatus::Active));
    assert!(!passes.is_empty());

    let info = from.migration().await.unwrap();
    assert_eq!(info.status, MigrationStatus::Completed);
    assert!(info.total_time_ms.is_some() && info.downtime_ms.is_some());
    assert!(info.ram.transferred_bytes.unwrap() > 0);
    assert!(info.ram.total_bytes.unwrap() > 64 << 20);
    assert_eq!(info.ram.page_size_bytes, Some(4096));
    assert_eq!(info.ram.dirty_sync_count, passes.last().copied());

    assert_eq!(
        follow(&mut received).await.0.last(),
        Some(&MigrationStatus::Completed)
    );
    // The migration's last word comes a moment before that of the run state.
    let after = loop {
        let status = from.run_state().await.unwrap().status;
        if status.as_deref() != Some("finish-migrate") {
            break status;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(after.as_deref(), Some("postmigrate"));
    while to.run_state().await.unwrap().running != Some(true) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_cancelled_guest_goes_on_where_it_was() {
    let (source, destination) = (Qemu::start(&MACHINE), destination());
    let (from, to) = (source.connect().await, destination.connect().await);
    from.set_capabilities(&[("events", true)]).await.unwrap();
    let slow = Map::from_iter([("max-bandwidth".to_owned(), json!(100_000))]);
    from.set_parameters(slow).await.unwrap();
    let address = MigrationAddress::Unix {
        path: destination.directory().join("stream"),
    };
    to.migrate_incoming(&address).await.unwrap();
    let mut events = from.events();
    from.migrate(&address).await.unwrap();
    while events
        .next()
        .await
        .unwrap()
        .migration_status()
        .is_none_or(|status| status != MigrationStatus::Active)
    {}
    assert!(!from.migration_threads().await.unwrap().is_empty());
    let again = from.migrate(&address).await.unwrap_err();
    assert!(matches!(again, HypervisorError::Refused { .. }), "{again}");
    from.migrate_cancel().await.unwrap();
    let (statuses, _) = follow(&mut events).await;
    assert_eq!(statuses.last(), Some(&MigrationStatus::Cancelled));
    assert_eq!(from.run_state().await.unwrap().running, Some(true));
}

#[tokio::test]
async fn a_taken_port_is_refused_at_the_destination() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let to = destination();
    let address = MigrationAddress::Tcp {
        host: "127.0.0.1".to_owned(),
        port: taken.local_addr().unwrap().port(),
    };
    let error = to
        .connect()
        .await
        .migrate_incoming(&address)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("in use"), "{error}");
}

#[tokio::test]
async fn the_channels_form_is_understood_by_qemu() {
    let to = destination();
    let guest = to.connect().await;
    let address = MigrationAddress::Tcp {
        host: "127.0.0.1".to_owned(),
        port: 0,
    };
    let arguments = json!({ "channels": address.channels() });
    guest
        .request("migrate-incoming", Some(arguments))
        .await
        .unwrap();
    let info = guest.migration().await.unwrap();
    assert_eq!(info.listen_addresses[0]["host"], "127.0.0.1");
}

#[tokio::test]
async fn a_guest_moves_over_tls_and_the_settings_go_again() {
    let certificates = tempfile::tempdir().unwrap();
    make_certificates(certificates.path());
    let (source, destination) = (Qemu::start(&MACHINE), destination());
    let (from, to) = (source.connect().await, destination.connect().await);
    let setup = |endpoint, hostname: Option<&str>| TlsSetup {
        dir: certificates.path().to_owned(),
        endpoint,
        verify_peer: true,
        hostname: hostname.map(str::to_owned),
    };
    from.set_capabilities(&[("events", true)]).await.unwrap();
    to.enable_tls(&setup(TlsEndpoint::Server, None))
        .await
        .unwrap();
    from.enable_tls(&setup(TlsEndpoint::Client, Some("host-b.example")))
        .await
        .unwrap();
    let any_port = MigrationAddress::Tcp {
        host: "127.0.0.1".to_owned(),
        port: 0,
    };
    to.migrate_incoming(&any_port).await.unwrap();
    let listening = to.migration().await.unwrap().listen_addresses;
    let port = listening[0]["port"].as_str().unwrap().parse().unwrap();
    let address = MigrationAddress::Tcp {
        host: "127.0.0.1".to_owned(),
        port,
    };
    let mut events = from.events();
    from.migrate(&address).await.unwrap();
    let (statuses, _) = follow(&mut events).await;
    let info = from.migration().await.unwrap();
    assert_eq!(
        statuses.last(),
        Some(&MigrationStatus::Completed),
        "{:?}",
        info.error_desc
    );

    for end in [&from, &to] {
        end.disable_tls().await.unwrap();
        end.disable_tls().await.unwrap();
        let creds = end.parameters().await.unwrap().tls_creds;
        assert_eq!(creds.unwrap_or_default(), "");
    }
    let error = from
        .enable_tls(&TlsSetup {
            dir: "/nowhere".into(),
            ..setup(TlsEndpoint::Client, None)
        })
        .await
        .unwrap_err();
    assert!(error.to_string().contains("/nowhere"), "{error}");
    assert_eq!(
        from.parameters().await.unwrap().tls_creds.as_deref(),
        Some("")
    );
}

/// An authority and a certificate for each end, as `--tls-dir` expects them.
fn make_certificates(directory: &Path) {
    let script = r#"
        set -e
        openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test-ca \
            -addext basicConstraints=critical,CA:TRUE -addext keyUsage=keyCertSign \
            -keyout ca-key.pem -out ca-cert.pem
        for end in client server; do
            openssl req -newkey rsa:2048 -nodes -subj "/CN=host-b.example" \
                -keyout $end-key.pem -out $end.csr
            printf 'subjectAltName=DNS:host-b.example\nextendedKeyUsage=serverAuth,clientAuth\n\
basicConstraints=CA:FALSE\nkeyUsage=digitalSignature,keyEncipherment\n' > $end.ext
            openssl x509 -req -in $end.csr -CA ca-cert.pem -CAkey ca-key.pem -CAcreateserial \
                -days 2 -extfile $end.ext -out $end-cert.pem
        done
    "#;
    let made = Command::new("sh")
        .args(["-c", script])
        .current_dir(directory)
        .output()
        .unwrap();
    assert!(
        made.status.success(),
        "cannot make certificates; run `cargo xtask test`, which installs openssl: {}",
        String::from_utf8_lossy(&made.stderr)
    );
}
