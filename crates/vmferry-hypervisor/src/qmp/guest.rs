//! A connected guest.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::sync::OnceCell;
use tokio::time::timeout;
use vmferry_core::GuestUri;

use super::connection::Connection;
use super::endpoint::Endpoint;
use super::event::EventStream;
use super::greeting::Greeting;
use super::process;
use super::schema::Schema;
use crate::HypervisorError;
use crate::ssh::{SshCommand, Tunnel};

/// The protocol's own word for commands that do not wait for QEMU's main loop.
const URGENT: &str = "oob";

/// How patient a connection is, and how it calls ssh.
#[derive(Debug, Clone)]
pub struct ConnectOptions {
    /// How long the monitor may take to greet; 5 s by default.
    pub greeting_timeout: Duration,
    /// How long to wait for a socket of this machine that is not there yet, or that nobody listens
    /// on yet, for a QEMU that is just starting; zero by default.
    pub appear_timeout: Duration,
    /// How long a command may take to be answered; 30 s by default, since QEMU answers late while
    /// it sends device state.
    pub request_timeout: Duration,
    /// How long ssh may take to log in; 30 s by default.
    pub ssh_timeout: Duration,
    /// The ssh program; `VMFERRY_SSH` or `ssh` by default.
    pub ssh: SshCommand,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self {
            greeting_timeout: Duration::from_secs(5),
            appear_timeout: Duration::ZERO,
            request_timeout: Duration::from_secs(30),
            ssh_timeout: Duration::from_secs(30),
            ssh: SshCommand::from_env(),
        }
    }
}

/// A guest whose QMP monitor is connected. Clones share the connection, which closes with the last
/// of them.
#[derive(Debug, Clone)]
pub struct Guest {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    uri: Arc<GuestUri>,
    greeting: Greeting,
    connection: Connection,
    next_id: AtomicU64,
    request_timeout: Duration,
    listener: Option<u32>,
    pub(crate) schema: OnceCell<Schema>,
    _tunnel: Option<Tunnel>,
}

impl Guest {
    /// Connects to a guest's monitor and readies it for commands.
    ///
    /// # Errors
    /// Where the socket is missing, refused, held by another client or no QMP monitor, and where
    /// ssh fails: all of them [`HypervisorError::is_unreachable`].
    pub async fn connect(uri: &GuestUri, options: ConnectOptions) -> Result<Self, HypervisorError> {
        let uri = Arc::new(uri.clone());
        let endpoint = Endpoint::open(&uri, &options).await?;
        let guest = Self {
            inner: Arc::new(Inner {
                uri,
                greeting: endpoint.greeting,
                connection: Connection::start(endpoint.lines, endpoint.writer),
                next_id: AtomicU64::new(1),
                request_timeout: options.request_timeout,
                listener: endpoint.listener,
                schema: OnceCell::new(),
                _tunnel: endpoint.tunnel,
            }),
        };
        let wanted = guest.takes_urgent().then(|| json!({ "enable": [URGENT] }));
        guest
            .request_within("qmp_capabilities", wanted, options.greeting_timeout)
            .await?;
        Ok(guest)
    }

    /// Whether the monitor carries out urgent commands beside the others, since QEMU 3.0.
    #[must_use]
    pub fn takes_urgent(&self) -> bool {
        let offered = &self.inner.greeting.capabilities;
        offered.iter().any(|capability| capability == URGENT)
    }

    /// The address this guest was connected by.
    #[must_use]
    pub fn uri(&self) -> &GuestUri {
        &self.inner.uri
    }

    /// What the monitor said when it was connected.
    #[must_use]
    pub fn greeting(&self) -> &Greeting {
        &self.inner.greeting
    }

    /// The QEMU process; `None` for a guest of another machine, once the guest has exited, and where
    /// another program (such as libvirt) made the socket.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        // The number of a QEMU that has exited may be another process's by now.
        let listener = self.inner.listener.filter(|_| !self.is_closed());
        listener.and_then(process::qemu)
    }

    /// The events from now on; subscribe before the command whose events are wanted.
    #[must_use]
    pub fn events(&self) -> EventStream {
        self.inner.connection.events()
    }

    /// Whether the guest has exited or its monitor was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.inner.connection.has_ended()
    }

    /// Waits until the guest has exited or its monitor was closed.
    pub async fn closed(&self) {
        self.inner.connection.ended().await;
    }

    /// Sends any QMP command and returns what it returned. The future may be dropped at any time;
    /// the command may then still be carried out.
    ///
    /// # Errors
    /// [`HypervisorError::Refused`] with QEMU's class and words, [`HypervisorError::Closed`] and
    /// [`HypervisorError::Timeout`].
    pub async fn request(
        &self,
        command: &str,
        arguments: Option<Value>,
    ) -> Result<Value, HypervisorError> {
        self.request_within(command, arguments, self.inner.request_timeout)
            .await
    }

    /// As [`Guest::request`], with a time limit of its own.
    ///
    /// # Errors
    /// As [`Guest::request`].
    pub async fn request_within(
        &self,
        command: &str,
        arguments: Option<Value>,
        limit: Duration,
    ) -> Result<Value, HypervisorError> {
        self.send("execute", command, arguments, limit).await
    }

    /// As [`Guest::request_within`], for the few commands that QEMU carries out even while its main
    /// loop stands still, as that of a destination in post-copy does when a page is missing. Sent
    /// like any other to a monitor that does not take them.
    ///
    /// # Errors
    /// As [`Guest::request`].
    pub async fn request_urgently(
        &self,
        command: &str,
        arguments: Option<Value>,
        limit: Duration,
    ) -> Result<Value, HypervisorError> {
        let how = if self.takes_urgent() {
            "exec-oob"
        } else {
            "execute"
        };
        self.send(how, command, arguments, limit).await
    }

    async fn send(
        &self,
        how: &str,
        command: &str,
        arguments: Option<Value>,
        limit: Duration,
    ) -> Result<Value, HypervisorError> {
        let id = self.inner.next_id.fetch_add(1, Ordering::Relaxed);
        let mut message = Map::new();
        message.insert(how.to_owned(), json!(command));
        message.insert("id".to_owned(), json!(id));
        if let Some(arguments) = arguments {
            message.insert("arguments".to_owned(), arguments);
        }
        tracing::debug!(id, command, "request");
        let mut line = Value::Object(message).to_string().into_bytes();
        line.extend_from_slice(b"\r\n");

        let closed = |detail| HypervisorError::Closed {
            guest: self.address(),
            detail,
        };
        let connection = &self.inner.connection;
        let answer = async {
            let mut pending = match how {
                "execute" => connection.send_in_turn(id, line).await,
                _ => connection.send(id, line),
            }?;
            pending.reply().await
        };
        match timeout(limit, answer).await {
            Err(_) => Err(HypervisorError::Timeout {
                guest: self.address(),
                command: command.to_owned(),
                after: limit,
            }),
            Ok(Err(detail)) => Err(closed(detail)),
            Ok(Ok(reply)) => reply.result.map_err(|refused| HypervisorError::Refused {
                guest: self.address(),
                command: command.to_owned(),
                class: refused.class,
                desc: refused.desc,
            }),
        }
    }

    /// Sends a command of QEMU's monitor for people (HMP) and returns the text it printed.
    ///
    /// # Errors
    /// As [`Guest::request`]. HMP reports its own errors within the text.
    pub async fn monitor_command(&self, line: &str) -> Result<String, HypervisorError> {
        let answer = self
            .request(
                "human-monitor-command",
                Some(json!({ "command-line": line })),
            )
            .await?;
        match answer {
            Value::String(text) => Ok(text),
            _ => Err(self.bad_reply("human-monitor-command", "it is no text")),
        }
    }

    pub(crate) fn address(&self) -> Arc<GuestUri> {
        Arc::clone(&self.inner.uri)
    }

    pub(crate) fn unsupported(&self, what: &str) -> HypervisorError {
        HypervisorError::Unsupported {
            guest: self.address(),
            what: what.to_owned(),
        }
    }

    pub(crate) fn bad_reply(&self, command: &str, problem: &str) -> HypervisorError {
        HypervisorError::BadReply {
            guest: self.address(),
            command: command.to_owned(),
            problem: problem.to_owned(),
        }
    }
}
