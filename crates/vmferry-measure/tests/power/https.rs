//! A controller with a certificate of its own making.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use vmferry_measure::power::{PowerError, Redfish, Trust};

use crate::watts;

/// Far longer than the server takes to start.
const PATIENCE: Duration = Duration::from_secs(30);

/// Serves the files of a directory; stopped when dropped.
struct Served(Child);

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn openssl(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("openssl");
    command
        .args(arguments)
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::print_stderr, reason = "a test says that it skips")]
async fn a_certificate_is_trusted_where_it_is_named() {
    let dir = tempfile::tempdir().unwrap();
    #[rustfmt::skip]
    let made = openssl(dir.path(), &[
        "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
        "-keyout", "key.pem", "-out", "cert.pem", "-days", "2", "-subj", "/CN=bmc",
        "-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE",
    ]).status();
    if !made.is_ok_and(|status| status.success()) {
        eprintln!("skipped: openssl makes no certificate here (apt-get install openssl)");
        return;
    }
    fs::write(
        dir.path().join("power"),
        r#"{ "PowerControl": [{ "PowerConsumedWatts": 344 }] }"#,
    )
    .unwrap();
    let free = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr());
    let address = free.unwrap().to_string();
    let served = openssl(
        dir.path(),
        &[
            "s_server", "-accept", &address, "-cert", "cert.pem", "-key", "key.pem", "-WWW",
        ],
    );
    let _served = Served({ served }.spawn().unwrap());

    let url = format!("https://{address}/power");
    let reading = async |trust: &Trust| -> Result<f64, PowerError> {
        watts(&mut Redfish::new(&url, None, trust)?).await
    };
    let began = Instant::now();
    let mut pace = tokio::time::interval(Duration::from_millis(100));
    let found = loop {
        pace.tick().await;
        match reading(&Trust::File(dir.path().join("cert.pem"))).await {
            Ok(found) => break found,
            Err(error) => assert!(began.elapsed() < PATIENCE, "{error}"),
        }
    };
    assert_eq!(found, 344.0);
    assert_eq!(reading(&Trust::Anyone).await.unwrap(), 344.0);
    let error = reading(&Trust::System).await.unwrap_err().to_string();
    assert!(error.contains("invalid peer certificate"), "{error}");
    assert!(error.contains("SSL_CERT_FILE"), "{error}");
    let missing = reading(&Trust::File("/nowhere.pem".into()))
        .await
        .unwrap_err();
    assert!(missing.to_string().contains("/nowhere.pem"), "{missing}");
}
