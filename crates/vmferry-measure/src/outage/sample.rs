//! What a probe has seen.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vmferry_core::Millis;

/// What a probe asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "probe", rename_all = "kebab-case")]
pub enum ProbeKind {
    /// ICMP echo requests, as `ping` sends them.
    IcmpEcho,
    /// Datagrams that a server sends back; 7 is the port of test guests.
    UdpEcho {
        /// The port.
        port: u16,
    },
    /// Connections to an open TCP port. One that is refused counts as not answered.
    TcpConnect {
        /// The port.
        port: u16,
    },
    /// Connections to a closed TCP port. The refusal is the answer, and so is a connection.
    TcpRefusal {
        /// The port.
        port: u16,
    },
    /// The service's own requests, one after the other over one connection.
    Request {
        /// What is spoken.
        protocol: Protocol,
        /// The TCP port.
        port: u16,
    },
}

/// What a service is asked in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// HTTP/1.1 `GET /` with keep-alive; any status below 500 is an answer.
    Http,
    /// PostgreSQL's `SELECT 1`, as user and database `postgres` without a password.
    Postgres,
    /// MariaDB's `COM_PING`, as user `bench` without a password.
    Mariadb,
    /// Redis's `PING`.
    Redis,
    /// SMTP's `NOOP`. Every 90 of them over a new connection: Postfix takes more for junk.
    Smtp,
    /// IMAP's `NOOP`, before a login.
    Imap,
}

/// All that a probe has seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProbeSamples {
    /// What was asked.
    pub kind: ProbeKind,
    /// From question to question, at least.
    pub pace_ms: Millis,
    /// Processor time that asking took.
    pub cpu_ms: Millis,
    /// Every question, in the order of asking.
    pub samples: Vec<ProbeSample>,
}

/// One question.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProbeSample {
    /// When it was asked, by `CLOCK_MONOTONIC`.
    pub asked_ns: u64,
    /// From question to answer, however late that came; `None` where it never did.
    pub latency_ms: Option<Millis>,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ProbeError>,
}

/// Why a question was not answered, beyond silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ProbeError {
    /// The port is closed.
    Refused,
    /// There is no way to the guest: nobody says where its address is.
    Unreachable,
    /// The connection broke.
    ConnectionLost,
    /// No answer within a minute, no connection within 3 s, or too many questions hung.
    GivenUp,
    /// The service answered that it cannot.
    Rejected,
    /// The answer is not of the protocol.
    NotUnderstood,
    /// This machine could not ask: out of ports, files or memory.
    NotAsked,
}

impl ProbeSamples {
    /// Questions that were answered.
    #[must_use]
    pub fn answered(&self) -> usize {
        let answered = |sample: &&ProbeSample| sample.latency_ms.is_some();
        self.samples.iter().filter(answered).count()
    }
}

impl ProbeSample {
    /// When the answer came, by `CLOCK_MONOTONIC`.
    #[must_use]
    pub fn answered_ns(&self) -> Option<u64> {
        let latency = self.latency_ms?.duration().as_nanos();
        Some(self.asked_ns.saturating_add(u64::try_from(latency).ok()?))
    }

    /// Whether it was asked at all; one that was not tells nothing.
    pub(super) fn was_asked(&self) -> bool {
        self.error != Some(ProbeError::NotAsked)
    }

    /// A question that was just asked.
    pub(super) const fn open(asked_ns: u64) -> Self {
        Self {
            asked_ns,
            latency_ms: None,
            error: None,
        }
    }

    /// Notes the answer; only the first counts.
    pub(super) fn answer(&mut self, now_ns: u64) {
        self.latency_ms
            .get_or_insert_with(|| Millis(now_ns.saturating_sub(self.asked_ns) as f64 / 1e6));
        self.error = None;
    }
}

impl fmt::Display for ProbeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IcmpEcho => f.write_str("ICMP echo"),
            Self::UdpEcho { port } => write!(f, "UDP echo, port {port}"),
            Self::TcpConnect { port } => write!(f, "TCP connect, port {port}"),
            Self::TcpRefusal { port } => write!(f, "TCP refusal, port {port}"),
            Self::Request { protocol, port } => write!(f, "{protocol}, port {port}"),
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "HTTP GET",
            Self::Postgres => "PostgreSQL SELECT 1",
            Self::Mariadb => "MariaDB ping",
            Self::Redis => "Redis PING",
            Self::Smtp => "SMTP NOOP",
            Self::Imap => "IMAP NOOP",
        })
    }
}
