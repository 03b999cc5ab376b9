//! Opens the socket of a monitor, here or through ssh, and hears its greeting.

use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::{Instant, sleep, timeout};
use vmferry_core::GuestUri;

use super::greeting::Greeting;
use super::guest::ConnectOptions;
use super::line::{Line, parse_line};
use super::line_reader::{LineReader, MAX_LINE_BYTES, ReadError};
use super::process;
use crate::HypervisorError;
use crate::ssh::{Tunnel, look_at};

/// How often a socket that is busy or not there yet is tried again.
const RETRY: Duration = Duration::from_millis(20);

/// How much of a wrong greeting is shown.
const SHOWN_BYTES: usize = 60;

/// An open, greeted monitor.
pub(crate) struct Endpoint {
    pub(crate) greeting: Greeting,
    pub(crate) lines: LineReader<OwnedReadHalf>,
    pub(crate) writer: OwnedWriteHalf,
    pub(crate) tunnel: Option<Tunnel>,
    /// The process that listens on the socket of this machine.
    pub(crate) listener: Option<u32>,
}

impl Endpoint {
    pub(crate) async fn open(
        guest: &Arc<GuestUri>,
        options: &ConnectOptions,
    ) -> Result<Self, HypervisorError> {
        let (tunnel, stream) = match &**guest {
            GuestUri::Qmp { path } => (None, connect(guest, path, options).await?),
            GuestUri::QmpSsh { destination, path } => {
                let (tunnel, stream) =
                    Tunnel::connect(&options.ssh, destination, path, options.ssh_timeout).await?;
                (Some(tunnel), stream)
            }
        };
        let listener = if tunnel.is_none() {
            process::listener(&stream)
        } else {
            None
        };
        let (reader, writer) = stream.into_split();
        let mut lines = LineReader::new(reader, MAX_LINE_BYTES);
        let heard = timeout(options.greeting_timeout, lines.next()).await;
        let greeting = match heard {
            Ok(Ok(Some(line))) => match parse_line(&line) {
                Ok(Line::Greeting(greeting)) => greeting,
                _ => return Err(not_qmp(guest, &line)),
            },
            Err(_) if lines.unfinished().is_empty() => {
                return Err(HypervisorError::MonitorBusy {
                    guest: Arc::clone(guest),
                    waited: options.greeting_timeout,
                    listener: process::describe(listener),
                });
            }
            Ok(Ok(None)) if lines.unfinished().is_empty() => {
                return Err(closed_at_once(guest, tunnel.as_ref(), options).await);
            }
            // Its process ended between our connecting and its greeting.
            Ok(Err(ReadError::Io(source)))
                if source.kind() == io::ErrorKind::ConnectionReset && tunnel.is_none() =>
            {
                return Err(HypervisorError::Closed {
                    guest: Arc::clone(guest),
                    detail: format!(": {source}"),
                });
            }
            Ok(Err(ReadError::Io(source))) => {
                return Err(HypervisorError::Connect {
                    guest: Arc::clone(guest),
                    source,
                });
            }
            Ok(Ok(None) | Err(ReadError::TooLong(_))) | Err(_) => {
                return Err(not_qmp(guest, lines.unfinished()));
            }
        };
        Ok(Self {
            greeting,
            lines,
            writer,
            tunnel,
            listener,
        })
    }
}

async fn connect(
    guest: &Arc<GuestUri>,
    path: &Path,
    options: &ConnectOptions,
) -> Result<UnixStream, HypervisorError> {
    let started = Instant::now();
    loop {
        let guest = Arc::clone(guest);
        match UnixStream::connect(path).await {
            Ok(stream) => return Ok(stream),
            Err(source) => match source.kind() {
                // The socket's queue is full: others wait for this monitor already.
                io::ErrorKind::WouldBlock if started.elapsed() < options.greeting_timeout => {
                    sleep(RETRY).await;
                }
                io::ErrorKind::WouldBlock => {
                    return Err(HypervisorError::MonitorBusy {
                        guest,
                        waited: options.greeting_timeout,
                        listener: String::new(),
                    });
                }
                // QEMU binds its socket a moment before it listens.
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
                    if started.elapsed() < options.appear_timeout =>
                {
                    sleep(RETRY).await;
                }
                io::ErrorKind::NotFound => return Err(HypervisorError::SocketMissing { guest }),
                io::ErrorKind::PermissionDenied => {
                    return Err(HypervisorError::PermissionDenied { guest });
                }
                io::ErrorKind::ConnectionRefused => {
                    return Err(match kind_of_file(path) {
                        Some(got) => HypervisorError::NotQmp {
                            guest,
                            got: got.to_owned(),
                        },
                        None => HypervisorError::ConnectionRefused { guest },
                    });
                }
                _ => return Err(HypervisorError::Connect { guest, source }),
            },
        }
    }
}

/// What is at `path` where it is not a socket.
fn kind_of_file(path: &Path) -> Option<&'static str> {
    let kind = fs::metadata(path).ok()?.file_type();
    if kind.is_socket() {
        None
    } else if kind.is_dir() {
        Some("a directory")
    } else if kind.is_file() {
        Some("a regular file")
    } else {
        Some("a file that is no socket")
    }
}

async fn closed_at_once(
    guest: &Arc<GuestUri>,
    tunnel: Option<&Tunnel>,
    options: &ConnectOptions,
) -> HypervisorError {
    let guest = Arc::clone(guest);
    match (tunnel, guest.destination()) {
        (Some(tunnel), Some(destination)) => {
            let path = guest.path().display().to_string();
            let seen = look_at(&options.ssh, destination, &path, options.ssh_timeout).await;
            HypervisorError::RemoteSocket {
                path,
                host: destination.host.clone(),
                nobody: seen.as_ref().is_some_and(|seen| seen.nobody),
                reason: match seen {
                    Some(seen) => seen.words.to_owned(),
                    None => tunnel.complaint().await,
                },
                guest,
            }
        }
        _ => HypervisorError::NotQmp {
            guest,
            got: "the end of the connection".to_owned(),
        },
    }
}

fn not_qmp(guest: &Arc<GuestUri>, got: &[u8]) -> HypervisorError {
    let text = String::from_utf8_lossy(&got[..got.len().min(SHOWN_BYTES)]);
    let dots = if got.len() > SHOWN_BYTES { "..." } else { "" };
    let hint = if text.starts_with("QEMU ") {
        ", which is QEMU's monitor for people (-monitor)"
    } else {
        ""
    };
    HypervisorError::NotQmp {
        guest: Arc::clone(guest),
        got: format!("{:?}{dots}{hint}", text.trim_end()),
    }
}
