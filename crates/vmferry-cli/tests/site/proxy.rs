//! A monitor that speaks a dialect: passes everything on between `vmferry`
//! and a real monitor, and rewrites what the hypervisor says.

use std::path::Path;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;
use vmferry::core::GuestUri;

/// A proxy at work; dropped, it stops taking clients.
pub(crate) struct Proxy {
    uri: GuestUri,
    server: JoinHandle<()>,
}

impl Proxy {
    /// Listens at `path` and passes on to `monitor`. `rewrite` sees each line
    /// of the hypervisor and gives the lines to hand on.
    pub(crate) fn start(path: &Path, monitor: &Path, rewrite: fn(&str) -> String) -> Self {
        let listener = UnixListener::bind(path).expect("a socket of the proxy");
        let monitor = monitor.to_owned();
        let server = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let monitor = UnixStream::connect(&monitor)
                    .await
                    .expect("the monitor behind the proxy");
                tokio::spawn(pass_on(client, monitor, rewrite));
            }
        });
        Self {
            uri: GuestUri::local(path),
            server,
        }
    }

    pub(crate) fn uri(&self) -> String {
        self.uri.to_string()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Until either side hangs up; then both connections end.
async fn pass_on(client: UnixStream, monitor: UnixStream, rewrite: fn(&str) -> String) {
    let (mut from_client, mut to_client) = client.into_split();
    let (from_monitor, mut to_monitor) = monitor.into_split();
    let answers = async {
        let mut lines = BufReader::new(from_monitor).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            let text = format!("{}\r\n", rewrite(&line));
            if to_client.write_all(text.as_bytes()).await.is_err() {
                break;
            }
        }
    };
    let requests = tokio::io::copy(&mut from_client, &mut to_monitor);
    tokio::select! {
        () = answers => {}
        _ = requests => {}
    }
}
