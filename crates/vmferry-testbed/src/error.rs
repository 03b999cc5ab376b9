//! What can go wrong with a testbed.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use vmferry_hypervisor::HypervisorError;

use crate::{Service, Side};

/// A testbed or one of its guests could not be made, found or asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TestbedError {
    /// Namespaces, bridges and taps need root.
    #[error("a testbed makes network namespaces, which needs root; run it as root")]
    NotRoot,
    /// A program is not installed.
    #[error("{program} is not installed; run `cargo xtask install`, or install it by hand")]
    ProgramMissing {
        /// The program's name.
        program: String,
    },
    /// A program failed.
    #[error("`{command}` failed ({status}): {stderr}")]
    Command {
        /// The command with its arguments.
        command: String,
        /// Its exit status.
        status: String,
        /// What it wrote to stderr.
        stderr: String,
    },
    /// A file, directory or process could not be used.
    #[error("cannot {what}: {source}")]
    Io {
        /// What was tried, with the path.
        what: String,
        /// The system's answer.
        source: io::Error,
    },
    /// The program that runs inside guests is nowhere to be found.
    #[error(
        "the guest program vmferry-load was not found ({tried}); build it with `cargo xtask load`, or set VMFERRY_LOAD"
    )]
    LoadProgramMissing {
        /// Where it was looked for.
        tried: String,
    },
    /// The program that runs inside guests needs a dynamic loader, which guests lack.
    #[error("{path} is not a static x86-64 program; build it with `cargo xtask load`")]
    LoadProgramNotStatic {
        /// The program.
        path: PathBuf,
    },
    /// No guest kernel could be had.
    #[error(
        "no guest kernel: {problem}; Debian 12 and its package archive are needed once, to fetch it"
    )]
    Kernel {
        /// What is missing.
        problem: String,
    },
    /// The Debian packages of programs or of a service could not be had.
    #[error(
        "no packages of {list}: {problem}; Debian 12 and its package archive are needed once, to fetch them; an image made earlier would do, copied into {}",
        crate::image::cache_directory().join("images").display()
    )]
    Packages {
        /// The file that lists them.
        list: String,
        /// What is missing.
        problem: String,
    },
    /// The disk of programs or of a service, or the clients' tools, could not be made.
    #[error(
        "the image {image} cannot be made in {directory} ({free} free): {problem}; nothing half-made is left, so mend that and try again, or set VMFERRY_CACHE to another directory"
    )]
    ImageNotMade {
        /// `programs`, `service-NAME` or `tools`.
        image: String,
        /// The cache.
        directory: PathBuf,
        /// What is free there.
        free: String,
        /// What failed.
        problem: String,
    },
    /// A name that cannot be a namespace's.
    #[error("`{name}` cannot name a {what}: use 1 to 32 of a-z, 0-9 and -, not at the ends")]
    InvalidName {
        /// The name asked for.
        name: String,
        /// `testbed` or `guest`.
        what: &'static str,
    },
    /// A testbed of that name exists.
    #[error(
        "there is already a testbed, or a network namespace, of the name {name}; remove it with `vmferry testbed down {name}` or choose another name"
    )]
    NameTaken {
        /// The name asked for.
        name: String,
    },
    /// There is no such testbed.
    #[error("there is no testbed {name}; `vmferry testbed status` lists them")]
    Unknown {
        /// The name asked for.
        name: String,
    },
    /// A testbed's record cannot be read.
    #[error("{path} cannot be read ({source}); remove the testbed with `vmferry testbed down`")]
    Record {
        /// The record.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// Unix sockets have short paths.
    #[error(
        "{path} is too long for a socket (at most 107 bytes); set XDG_STATE_HOME to a shorter directory"
    )]
    SocketPathTooLong {
        /// The path.
        path: PathBuf,
    },
    /// A guest is asked for that cannot be.
    #[error("guest {guest}: {problem}")]
    InvalidGuest {
        /// The guest.
        guest: String,
        /// What is wrong, and what is possible.
        problem: String,
    },
    /// A QEMU ended although nobody asked it to.
    #[error("guest {guest}, {side}: QEMU exited while {waiting_for}\n{tail}")]
    QemuExited {
        /// The guest.
        guest: String,
        /// Its end.
        side: Side,
        /// What was waited for.
        waiting_for: &'static str,
        /// The last lines of QEMU's log and of the guest's console.
        tail: String,
    },
    /// A guest took too long.
    #[error("guest {guest}, {side}: {waiting_for} took more than {after:?}\n{tail}")]
    NotReady {
        /// The guest.
        guest: String,
        /// Its end.
        side: Side,
        /// What was waited for.
        waiting_for: &'static str,
        /// How long it was waited for.
        after: Duration,
        /// The last lines of QEMU's log and of the guest's console.
        tail: String,
    },
    /// The guest is up, but its load does not run.
    #[error("guest {guest}: its load does not run: {problem}")]
    Load {
        /// The guest.
        guest: String,
        /// The guest's own words.
        problem: String,
    },
    /// A guest was not brought back to the source.
    #[error("guest {guest} is not brought back to the source: {problem}")]
    NotBack {
        /// The guest.
        guest: String,
        /// What went wrong, and where the guest is.
        problem: String,
    },
    /// Clients of a service are asked for that cannot be.
    #[error("clients of {service}: {problem}")]
    Client {
        /// The service.
        service: Service,
        /// What is wrong, and what is possible.
        problem: String,
    },
    /// A guest's monitor failed.
    #[error(transparent)]
    Hypervisor(#[from] HypervisorError),
    /// Something could not be removed.
    #[error("testbed {name} is not fully removed: {problem}; try again")]
    NotRemoved {
        /// The testbed.
        name: String,
        /// What is left.
        problem: String,
    },
}

impl TestbedError {
    /// For `map_err`: an I/O error with what was tried.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}
