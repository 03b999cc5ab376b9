//! What can go wrong between vmferry and a hypervisor.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use vmferry_core::GuestUri;
use vmferry_core::guest_uri::SshDestination;

/// A failure to reach a hypervisor, or its refusal. Every message names the guest or host and what
/// to do next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HypervisorError {
    /// There is no file at the socket's path.
    #[error(
        "{guest}: there is no such socket; is the guest running, and is this the path of its -qmp option?"
    )]
    SocketMissing {
        /// The guest asked for.
        guest: Arc<GuestUri>,
    },
    /// The socket, or a directory on its path, may not be opened by this user.
    #[error("{guest}: permission denied; run vmferry as the user who owns the socket, or as root")]
    PermissionDenied {
        /// The guest asked for.
        guest: Arc<GuestUri>,
    },
    /// The socket exists but nobody listens.
    #[error(
        "{guest}: connection refused; the QEMU that made this socket has exited, so start the guest again or remove the socket"
    )]
    ConnectionRefused {
        /// The guest asked for.
        guest: Arc<GuestUri>,
    },
    /// Another failure of the system while connecting.
    #[error("{guest}: cannot connect to the monitor: {source}")]
    Connect {
        /// The guest asked for.
        guest: Arc<GuestUri>,
        /// The system's answer.
        source: io::Error,
    },
    /// Connected, but no greeting came: a QMP socket serves one client at a time.
    #[error(
        "{guest}: no greeting within {waited:?}{listener}; another client probably holds this monitor \
         (a QMP socket serves one at a time): close it, or give the guest one more -qmp socket for vmferry"
    )]
    MonitorBusy {
        /// The guest asked for.
        guest: Arc<GuestUri>,
        /// How long the greeting was waited for.
        waited: Duration,
        /// Who listens there, as ` from PROCESS (PID n)`; empty where unknown.
        listener: String,
    },
    /// Whatever answers is no QMP monitor.
    #[error(
        "{guest} is not a QMP monitor: got {got}; give the path of the socket in the guest's -qmp option"
    )]
    NotQmp {
        /// The guest asked for.
        guest: Arc<GuestUri>,
        /// The beginning of what came instead of a greeting.
        got: String,
    },
    /// The monitor's connection ended.
    #[error("{guest}: guest exited or monitor closed{detail}")]
    Closed {
        /// The guest.
        guest: Arc<GuestUri>,
        /// Why, as `: REASON`; empty for a plain end of the stream.
        detail: String,
    },
    /// A command was sent and not answered in time. It may still be carried out.
    #[error(
        "{guest}: no answer to {command} within {after:?}; QEMU may hang or its host be overloaded"
    )]
    Timeout {
        /// The guest.
        guest: Arc<GuestUri>,
        /// The QMP command.
        command: String,
        /// How long the answer was waited for.
        after: Duration,
    },
    /// The hypervisor refused a command.
    #[error("{guest}: {command} was refused: {desc} ({class})")]
    Refused {
        /// The guest.
        guest: Arc<GuestUri>,
        /// The QMP command.
        command: String,
        /// QEMU's error class, for example `GenericError` or `CommandNotFound`.
        class: String,
        /// QEMU's own words.
        desc: String,
    },
    /// An answer came, but not with what it must hold.
    #[error(
        "{guest}: the answer to {command} cannot be understood: {problem}; please report this QEMU version"
    )]
    BadReply {
        /// The guest.
        guest: Arc<GuestUri>,
        /// The QMP command.
        command: String,
        /// What is missing or wrong.
        problem: String,
    },
    /// This hypervisor does not know what is asked of it.
    #[error("{guest}: this QEMU does not know {what}; a newer QEMU may")]
    Unsupported {
        /// The guest.
        guest: Arc<GuestUri>,
        /// The command, capability or parameter.
        what: String,
    },
    /// The ssh program could not be started.
    #[error(
        "cannot start \"{program}\" to reach {destination}: {source}; install the OpenSSH client or set VMFERRY_SSH"
    )]
    SshMissing {
        /// The other machine.
        destination: SshDestination,
        /// The program tried.
        program: String,
        /// The system's answer.
        source: io::Error,
    },
    /// A file or directory for the ssh tunnel could not be made.
    #[error("cannot prepare the ssh tunnel to {destination}: {source}")]
    SshSetup {
        /// The other machine.
        destination: SshDestination,
        /// The system's answer.
        source: io::Error,
    },
    /// ssh ended before the tunnel stood.
    #[error("ssh to {destination} failed: {reason}; try: ssh {destination} true")]
    SshFailed {
        /// The other machine.
        destination: SshDestination,
        /// The last line ssh wrote, or its exit status.
        reason: String,
    },
    /// ssh did not log in within the time given.
    #[error("ssh to {destination} did not log in within {after:?}; try: ssh {destination} true")]
    SshTimeout {
        /// The other machine.
        destination: SshDestination,
        /// How long it was waited for.
        after: Duration,
    },
    /// Logged in, but the socket there could not be opened.
    #[error("{guest}: ssh works, but {path} on {host} cannot be opened: {reason}")]
    RemoteSocket {
        /// The guest asked for.
        guest: Arc<GuestUri>,
        /// The socket's path on the other machine.
        path: String,
        /// The other machine.
        host: String,
        /// What a look at the path showed and what to do, or ssh's words.
        reason: String,
        /// Whether the look showed for certain that nobody listens there: no socket, or one that is
        /// left over.
        nobody: bool,
    },
}

impl HypervisorError {
    /// Whether the hypervisor could not be reached, or was lost: nothing is known of the guest.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        !matches!(
            self,
            Self::Refused { .. } | Self::BadReply { .. } | Self::Unsupported { .. }
        )
    }

    /// Whether the hypervisor answered, and would not.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }

    /// Whether the hypervisor answered that it does not know the command or feature.
    #[must_use]
    pub fn is_unsupported(&self) -> bool {
        match self {
            Self::Unsupported { .. } => true,
            Self::Refused { class, .. } => class == "CommandNotFound",
            _ => false,
        }
    }

    /// Whether the connection ended: the guest exited, or its monitor was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self, Self::Closed { .. })
    }

    /// Whether the machine was reached, and nobody listens at the monitor's path: its hypervisor
    /// has exited. False where that is not certain: the machine could not be asked, or the monitor
    /// only takes no more connections.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        match self {
            Self::SocketMissing { .. } | Self::ConnectionRefused { .. } => true,
            Self::RemoteSocket { nobody, .. } => *nobody,
            _ => false,
        }
    }
}
