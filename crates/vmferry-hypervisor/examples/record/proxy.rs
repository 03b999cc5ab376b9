//! Stands between a client and QEMU and writes down every line.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};

use crate::trim;

/// Offers a socket beside `qemu` that leads to it; every line goes to `recording`, as
/// `{"at_us": .., "sent": ..}` for the client's and `{"at_us": .., "received": ..}` for QEMU's.
pub(crate) async fn start(qemu: &Path, recording: &Path) -> io::Result<PathBuf> {
    let offered = qemu.with_extension("recorded");
    let listener = UnixListener::bind(&offered)?;
    let recording = Arc::new(Recording {
        file: Mutex::new(File::create(recording)?),
        started: Instant::now(),
    });
    let qemu = UnixStream::connect(qemu).await?;
    tokio::spawn(async move {
        let (client, _) = listener.accept().await?;
        let (from_client, to_client) = client.into_split();
        let (from_qemu, to_qemu) = qemu.into_split();
        tokio::try_join!(
            recording.pass_on("sent", from_client, to_qemu),
            recording.pass_on("received", from_qemu, to_client),
        )
    });
    Ok(offered)
}

struct Recording {
    file: Mutex<File>,
    started: Instant,
}

impl Recording {
    async fn pass_on(
        &self,
        direction: &str,
        from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
    ) -> io::Result<()> {
        let mut lines = BufReader::new(from).lines();
        while let Some(line) = lines.next_line().await? {
            let at_us = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
            let message: Value = serde_json::from_str(&line)?;
            let entry = json!({ "at_us": at_us, direction: trim::schema(message) });
            {
                let mut file = self.file.lock().map_err(|_| io::ErrorKind::Other)?;
                writeln!(file, "{entry}")?;
            }
            to.write_all(line.as_bytes()).await?;
            to.write_all(b"\r\n").await?;
        }
        Ok(())
    }
}
