//! A connection that breaks in mid-move is made anew: the hypervisor goes on
//! migrating without it. Only a hypervisor whose process is gone ends the
//! supervision.

use std::future::{Future, pending};
use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use vmferry_core::GuestUri;
use vmferry_hypervisor::HypervisorError;
use vmferry_hypervisor::qmp::{ConnectOptions, Guest};

/// How long an end that cannot be reached is tried again: longer than a
/// switch or a host's sshd takes to restart.
const PATIENCE: Duration = Duration::from_secs(120);
/// Pause between two attempts; ssh alone takes about as long to log in.
const PAUSE: Duration = Duration::from_millis(250);
/// A monitor greets at once, unless a dead connection still holds it.
const GREETING: Duration = Duration::from_secs(3);

/// How an attempt to come back ended.
#[derive(Debug)]
pub(crate) enum Back {
    /// Connected again.
    Connected(Guest),
    /// The hypervisor's process is gone.
    Gone,
    /// It could not be reached for all of the patience.
    GaveUp(HypervisorError),
}

/// An attempt to come back that may be under way, for use in a `select!`.
#[derive(Default)]
pub(crate) struct Return(Option<Pin<Box<dyn Future<Output = Back> + Send>>>);

impl Return {
    /// Begins to come back, unless that is under way already; says whether it began.
    pub(crate) fn begin(&mut self, uri: &GuestUri) -> bool {
        let begun = self.0.is_none();
        let uri = uri.clone();
        self.0
            .get_or_insert_with(|| Box::pin(async move { come_back(&uri, PATIENCE).await }));
        begun
    }

    /// Waits for the end of the attempt; for ever where none is under way.
    pub(crate) async fn ended(&mut self) -> Back {
        match &mut self.0 {
            Some(attempt) => {
                let back = attempt.await;
                self.0 = None;
                back
            }
            None => pending().await,
        }
    }

    /// Brings an attempt that is under way to its end, within `patience`: left
    /// alone it would hold the monitor against everybody else.
    pub(crate) async fn finish(self, patience: Duration) -> Option<Guest> {
        match timeout(patience, self.0?).await {
            Ok(Back::Connected(guest)) => Some(guest),
            _ => None,
        }
    }
}

/// Connects until it works, the process is known to be gone or the patience
/// is over.
pub(crate) async fn come_back(uri: &GuestUri, patience: Duration) -> Back {
    let deadline = Instant::now() + patience;
    loop {
        let options = ConnectOptions {
            greeting_timeout: GREETING,
            ..ConnectOptions::default()
        };
        let error = match Guest::connect(uri, options).await {
            Ok(guest) => return Back::Connected(guest),
            Err(error) if error.is_gone() => return Back::Gone,
            Err(error) => error,
        };
        tracing::debug!(%error, %uri, "not connected again yet");
        if Instant::now() >= deadline {
            return Back::GaveUp(error);
        }
        // Nobody tells when a network or a monitor is free again.
        sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
    use tokio::net::{UnixListener, UnixStream};

    async fn greet(stream: UnixStream) {
        let (reader, mut writer) = stream.into_split();
        let greeting = br#"{"QMP": {"version": {"qemu": {"major": 10, "minor": 0, "micro": 2}, "package": ""}, "capabilities": []}}"#;
        writer.write_all(greeting).await.unwrap();
        writer.write_all(b"\r\n").await.unwrap();
        let mut lines = BufReader::new(reader).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            let request: serde_json::Value = serde_json::from_str(&line).unwrap();
            let reply = serde_json::json!({ "return": {}, "id": request["id"] });
            writer
                .write_all(format!("{reply}\r\n").as_bytes())
                .await
                .unwrap();
        }
    }

    #[tokio::test]
    async fn comes_back_to_a_monitor_that_hangs_up_at_first() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("qmp.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let server = tokio::spawn(async move {
            drop(listener.accept().await.unwrap());
            let (stream, _) = listener.accept().await.unwrap();
            greet(stream).await;
        });
        let mut back = Return::default();
        assert!(back.begin(&GuestUri::local(&path)));
        assert!(!back.begin(&GuestUri::local(&path)));
        let Back::Connected(guest) = back.ended().await else {
            panic!("not connected")
        };
        drop(guest);
        server.await.unwrap();
    }

    #[tokio::test]
    async fn a_process_that_is_gone_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("qmp.sock");
        let mut back = Return::default();
        back.begin(&GuestUri::local(&path));
        assert!(matches!(back.ended().await, Back::Gone));
        // A socket whose listener has exited.
        drop(UnixListener::bind(&path).unwrap());
        back.begin(&GuestUri::local(&path));
        assert!(matches!(back.ended().await, Back::Gone));
    }

    #[tokio::test]
    async fn an_attempt_under_way_is_finished_or_given_up() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("qmp.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let uri = GuestUri::local(&path);
        assert!(Return::default().finish(PATIENCE).await.is_none());

        let mut back = Return::default();
        back.begin(&uri);
        let server = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            greet(stream).await;
            listener
        });
        assert!(back.finish(PATIENCE).await.is_some());
        let listener = server.await.unwrap();

        let mut back = Return::default();
        back.begin(&uri);
        assert!(back.finish(Duration::from_millis(20)).await.is_none());
        // Connected meanwhile, and hung up again.
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut rest = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut rest)
            .await
            .unwrap();
        assert!(rest.is_empty());
    }

    #[tokio::test]
    async fn patience_ends() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("qmp.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let hang_up = tokio::spawn(async move {
            loop {
                drop(listener.accept().await.unwrap());
            }
        });
        let back = come_back(&GuestUri::local(&path), Duration::ZERO).await;
        assert!(matches!(back, Back::GaveUp(_)), "{back:?}");
        hang_up.abort();
    }
}
