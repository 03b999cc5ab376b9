//! What runs behind a connected guest: one task that reads, one that writes, and the requests that
//! wait for their replies.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast, mpsc, oneshot, watch};
use tokio::task::AbortHandle;

use super::event::{EventStream, QmpEvent};
use super::line::{Line, Reply, parse_line};
use super::line_reader::LineReader;

/// Events kept for a reader that is behind. A migration gives a few a second at most.
const EVENT_BACKLOG: usize = 4096;

/// Commands that may wait for their answers at once. QEMU takes seven more than the one it works on,
/// and then stops reading, urgent commands too.
const UNANSWERED: usize = 4;

/// The link to a monitor. Ends both tasks, and with them the connection, when dropped.
#[derive(Debug)]
pub(crate) struct Connection {
    outgoing: mpsc::UnboundedSender<Vec<u8>>,
    shared: Arc<Shared>,
    tasks: [AbortHandle; 2],
}

#[derive(Debug)]
struct Shared {
    pending: Mutex<HashMap<u64, oneshot::Sender<Reply>>>,
    /// Held for every command that QEMU has not answered, also when nobody waits for it any more.
    unanswered: Mutex<HashMap<u64, OwnedSemaphorePermit>>,
    room: Arc<Semaphore>,
    /// `None` once the connection has ended, so that every [`EventStream`] ends too.
    events: Mutex<Option<broadcast::Sender<QmpEvent>>>,
    /// Why the connection ended; empty for a plain end of the stream.
    ended: watch::Sender<Option<String>>,
}

/// A request that was sent. Dropping it forgets the request: a late reply is then ignored.
pub(crate) struct Pending {
    id: u64,
    shared: Arc<Shared>,
    reply: oneshot::Receiver<Reply>,
}

impl Connection {
    /// Takes over a stream that has been greeted. Must be called within a tokio runtime.
    pub(crate) fn start<R, W>(lines: LineReader<R>, writer: W) -> Self
    where
        R: AsyncRead + Unpin + Send + 'static,
        W: AsyncWrite + Unpin + Send + 'static,
    {
        let (outgoing, to_send) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            pending: Mutex::default(),
            unanswered: Mutex::default(),
            room: Arc::new(Semaphore::new(UNANSWERED)),
            events: Mutex::new(Some(broadcast::Sender::new(EVENT_BACKLOG))),
            ended: watch::Sender::new(None),
        });
        let reading = tokio::spawn(read(lines, Arc::clone(&shared))).abort_handle();
        let writing = tokio::spawn(write(writer, to_send, Arc::clone(&shared))).abort_handle();
        Self {
            outgoing,
            shared,
            tasks: [reading, writing],
        }
    }

    /// As [`Connection::send`], once QEMU has answered enough of what it was sent before.
    pub(crate) async fn send_in_turn(&self, id: u64, line: Vec<u8>) -> Result<Pending, String> {
        let room = Arc::clone(&self.shared.room).acquire_owned().await;
        // Never closed; a connection that has ended says so below.
        if let Ok(permit) = room {
            lock(&self.shared.unanswered).insert(id, permit);
        }
        self.send(id, line)
            .inspect_err(|_| drop(lock(&self.shared.unanswered).remove(&id)))
    }

    /// Sends a line whose reply will carry `id`; `Err` says why the connection has ended.
    pub(crate) fn send(&self, id: u64, line: Vec<u8>) -> Result<Pending, String> {
        let (sender, reply) = oneshot::channel();
        {
            let mut pending = lock(&self.shared.pending);
            if let Some(reason) = &*self.shared.ended.borrow() {
                return Err(reason.clone());
            }
            pending.insert(id, sender);
        }
        // A failure here means that the writing task has ended, which ends the connection and
        // thereby this request.
        let _ = self.outgoing.send(line);
        Ok(Pending {
            id,
            shared: Arc::clone(&self.shared),
            reply,
        })
    }

    pub(crate) fn events(&self) -> EventStream {
        let receiver = match &*lock(&self.shared.events) {
            Some(sender) => sender.subscribe(),
            None => broadcast::channel(1).1,
        };
        EventStream { receiver, lost: 0 }
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.shared.ended.borrow().is_some()
    }

    /// Waits for the connection's end.
    pub(crate) async fn ended(&self) {
        // The sender lives as long as `self`.
        let _ = self
            .shared
            .ended
            .subscribe()
            .wait_for(Option::is_some)
            .await;
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Pending {
    /// The reply, or why the connection ended before it came.
    pub(crate) async fn reply(&mut self) -> Result<Reply, String> {
        (&mut self.reply).await.map_err(|_| {
            let ended = self.shared.ended.borrow();
            ended.clone().unwrap_or_default()
        })
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        lock(&self.shared.pending).remove(&self.id);
    }
}

impl Shared {
    fn receive(&self, line: Line) {
        match line {
            Line::Reply(Reply {
                id: Some(id),
                result,
            }) => {
                lock(&self.unanswered).remove(&id);
                let waiting = lock(&self.pending).remove(&id);
                match waiting {
                    // The requester may give up at this very moment.
                    Some(sender) => drop(sender.send(Reply {
                        id: Some(id),
                        result,
                    })),
                    None => tracing::debug!(id, "late reply ignored"),
                }
            }
            Line::Reply(Reply { id: None, result }) => {
                tracing::warn!(?result, "reply without an id ignored");
            }
            Line::Event(event) => {
                tracing::debug!(name = event.name, data = %event.data, "event");
                if let Some(sender) = &*lock(&self.events) {
                    // Nobody listening is fine.
                    let _ = sender.send(event);
                }
            }
            Line::Greeting(_) | Line::Other(_) => {
                tracing::debug!("line of an unknown kind ignored");
            }
        }
    }

    /// Ends the connection once: every waiting request fails, every event stream ends.
    fn end(&self, reason: String) {
        let mut pending = lock(&self.pending);
        self.ended.send_if_modified(|ended| {
            let first = ended.is_none();
            if first {
                *ended = Some(reason);
            }
            first
        });
        pending.clear();
        // Whoever waits for room learns that the connection has ended.
        lock(&self.unanswered).clear();
        lock(&self.events).take();
    }
}

async fn read<R: AsyncRead + Unpin>(mut lines: LineReader<R>, shared: Arc<Shared>) {
    let reason = loop {
        match lines.next().await {
            Ok(Some(bytes)) => match parse_line(&bytes) {
                Ok(line) => shared.receive(line),
                Err(error) => tracing::warn!(%error, "line from the monitor ignored"),
            },
            Ok(None) => break String::new(),
            Err(error) => break format!(": {error}"),
        }
    };
    shared.end(reason);
}

async fn write<W: AsyncWrite + Unpin>(
    mut writer: W,
    mut to_send: mpsc::UnboundedReceiver<Vec<u8>>,
    shared: Arc<Shared>,
) {
    while let Some(line) = to_send.recv().await {
        if let Err(error) = writer.write_all(&line).await {
            shared.end(format!(": {error}"));
            return;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that runs under these locks can leave its data half changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
