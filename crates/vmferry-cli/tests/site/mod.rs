//! A place to move guests for end-to-end tests: a testbed with real QEMU, the
//! `vmferry` command with a private history and state directory, and the
//! questions asked afterwards: where the guest runs, whether both hypervisors
//! are set as before, whether anything was left behind.

#![allow(
    clippy::allow_attributes,
    dead_code,
    unused_imports,
    reason = "no test program uses all of it"
)]

mod command;
mod disk;
mod proxy;
mod schema;
mod traces;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use vmferry::core::{ByteRate, Bytes};
use vmferry::hypervisor::qmp::{ConnectOptions, Guest};
use vmferry::testbed::{GuestSpec, Process, Side, TestGuest, Testbed};

pub(crate) use command::{Finished, Running, Vmferry};
pub(crate) use disk::Disk;
pub(crate) use proxy::Proxy;
pub(crate) use schema::is_valid;

/// How long anything may take on a loaded machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Asks until the answer is there; panics when it does not come.
pub(crate) async fn wait_for<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A testbed, and the files of the `vmferry` under test.
pub(crate) struct Site {
    pub(crate) bed: Testbed,
    dir: TempDir,
}

impl Site {
    /// Two hosts with a link of that rate, without guests.
    pub(crate) async fn open(rate: ByteRate) -> Self {
        let bed = Testbed::builder()
            .rate(rate)
            .build()
            .await
            .expect("a testbed");
        Self {
            bed,
            dir: tempfile::tempdir().expect("a directory"),
        }
    }

    /// The same with one guest of 128 MiB that runs `load`.
    pub(crate) async fn with_guest(rate: ByteRate, load: &str) -> (Self, TestGuest) {
        let site = Self::open(rate).await;
        let guest = site.start(small("web", load)).await;
        (site, guest)
    }

    /// Starts one more guest.
    pub(crate) async fn start(&self, spec: GuestSpec) -> TestGuest {
        self.bed
            .start_guest(spec)
            .await
            .expect("a guest that boots")
    }

    /// A directory for the test's own files; every process that has it in its
    /// environment must be gone in the end.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The history of the `vmferry` under test.
    pub(crate) fn database(&self) -> PathBuf {
        self.dir().join("history.db")
    }

    /// Its state directory.
    pub(crate) fn state(&self) -> PathBuf {
        self.dir().join("state")
    }

    /// `vmferry` with these arguments.
    pub(crate) fn vmferry(&self, arguments: &[&str]) -> Vmferry {
        Vmferry::new(self.dir()).args(arguments)
    }

    /// `vmferry migrate SOURCE --to DESTINATION --via ADDRESS --yes ARGUMENTS`.
    pub(crate) fn migrate(&self, guest: &TestGuest, arguments: &[&str]) -> Vmferry {
        let (source, destination) = (
            guest.source_uri().to_string(),
            guest.destination_uri().to_string(),
        );
        self.migrate_between(&source, &destination, guest, arguments)
    }

    /// [`Site::migrate`] with other monitors.
    pub(crate) fn migrate_between(
        &self,
        source: &str,
        destination: &str,
        guest: &TestGuest,
        arguments: &[&str],
    ) -> Vmferry {
        let via = guest.via().to_string();
        self.vmferry(&[
            "migrate",
            source,
            "--to",
            destination,
            "--via",
            &via,
            "--yes",
        ])
        .args(arguments)
    }

    /// Nothing of any `vmferry` of this site is left: no directory of a move,
    /// no process. A guard that was just dismissed gets a moment.
    pub(crate) async fn is_clean(&self) {
        wait_for_empty("left behind", || self.leftovers()).await;
    }

    /// Directories of moves, and processes with this site in their environment.
    pub(crate) fn leftovers(&self) -> Vec<String> {
        let mut left = traces::processes_with(self.dir());
        if let Ok(moves) = std::fs::read_dir(self.state().join("moves")) {
            left.extend(
                moves
                    .flatten()
                    .map(|entry| entry.path().display().to_string()),
            );
        }
        left
    }

    /// Both ends of a guest as they are now.
    pub(crate) async fn before(&self, guest: &TestGuest) -> Before {
        Before {
            source: settings(guest, Side::Source).await,
            destination: settings(guest, Side::Destination).await,
        }
    }

    /// The guest runs where it was, both hypervisors are set as before, and
    /// nothing is left behind. A destination that has exited since is fine: a
    /// failed migration ends it.
    pub(crate) async fn is_untouched(&self, guest: &TestGuest, before: &Before) {
        assert_eq!(
            run_state(guest, Side::Source).await.as_deref(),
            Some("running"),
            "at the source"
        );
        if guest.pid(Side::Destination).is_some() {
            let state = run_state(guest, Side::Destination).await;
            assert_ne!(state.as_deref(), Some("running"), "at the destination");
        }
        self.is_put_back(guest, before).await;
    }

    /// Both hypervisors are set as before, and nothing is left behind,
    /// wherever the guest is.
    pub(crate) async fn is_put_back(&self, guest: &TestGuest, before: &Before) {
        for (side, was) in [
            (Side::Source, &before.source),
            (Side::Destination, &before.destination),
        ] {
            let is = settings(guest, side).await;
            if is.is_some() {
                pretty_eq(&is, was, side);
            }
        }
        self.is_clean().await;
    }
}

/// A guest of 128 MiB, which boots fastest.
pub(crate) fn small(name: &str, load: &str) -> GuestSpec {
    GuestSpec::new(name, load).memory(Bytes::from_mib(128))
}

/// What [`Site::before`] saw.
#[derive(Debug, PartialEq)]
pub(crate) struct Before {
    source: Option<Value>,
    destination: Option<Value>,
}

/// The migration settings and objects of a hypervisor, over the second
/// monitor; `None` where it has exited.
pub(crate) async fn settings(guest: &TestGuest, side: Side) -> Option<Value> {
    let monitor = monitor(guest, side).await?;
    let mut seen = serde_json::Map::new();
    for (command, arguments) in [
        ("query-migrate-parameters", None),
        ("query-migrate-capabilities", None),
        ("qom-list", Some(json!({ "path": "/objects" }))),
    ] {
        let answer = monitor.request(command, arguments).await.ok()?;
        seen.insert(command.to_owned(), answer);
    }
    Some(Value::Object(seen))
}

fn pretty_eq(is: &Option<Value>, was: &Option<Value>, side: Side) {
    let text = |value: &Option<Value>| {
        value
            .as_ref()
            .and_then(|v| serde_json::to_string_pretty(v).ok())
            .unwrap_or_default()
    };
    let (is, was) = (text(is), text(was));
    let other: Vec<_> = is
        .lines()
        .zip(was.lines())
        .filter(|(a, b)| a != b)
        .collect();
    assert_eq!(is, was, "the {side} is not set as before: {other:?}");
}

/// `query-status` of one end: `running`, `paused`, `inmigrate`, `postmigrate`,
/// ...; `None` where its QEMU has exited.
pub(crate) async fn run_state(guest: &TestGuest, side: Side) -> Option<String> {
    monitor(guest, side).await?.run_state().await.ok()?.status
}

/// The guest runs at one end and at no other.
pub(crate) async fn runs_only_at(guest: &TestGuest, side: Side) {
    for end in Side::BOTH {
        let state = run_state(guest, end).await;
        assert_eq!(
            state.as_deref() == Some("running"),
            end == side,
            "{end}: {state:?}"
        );
    }
}

/// Waits until the migration has sent that much, seen over the second monitor.
/// An earlier migration that failed is not meant.
pub(crate) async fn in_mid_move(guest: &TestGuest, sent: Bytes) {
    let monitor = monitor(guest, Side::Source)
        .await
        .expect("a source that runs");
    wait_for("the middle of the move", async || {
        let info = monitor.migration().await.expect("query-migrate");
        let status = info.status.to_string();
        assert_ne!(status, "completed", "the move is over before its middle");
        let is_middle = info.ram.transferred_bytes? >= sent.0;
        (info.status.is_under_way() && is_middle).then_some(())
    })
    .await;
}

/// The second monitor of one end; `None` where its QEMU has exited, also
/// while we ask.
pub(crate) async fn monitor(guest: &TestGuest, side: Side) -> Option<Guest> {
    let uri = vmferry::core::GuestUri::local(&guest.record().end(side).watch);
    let options = ConnectOptions {
        greeting_timeout: PATIENCE,
        ..ConnectOptions::default()
    };
    guest.pid(side)?;
    match Guest::connect(&uri, options).await {
        Ok(monitor) => Some(monitor),
        Err(error) => {
            // A QEMU on its way out closes its monitors first.
            let process = guest.record().end(side).process?;
            wait_for(&format!("a monitor at the {side} ({error})"), async || {
                (!process.is_alive()).then_some(())
            })
            .await;
            None
        }
    }
}

/// Kills QEMU at one end as a crash would: at once. Returns when its last
/// thread, which holds its sockets, is gone.
pub(crate) fn crash(guest: &TestGuest, side: Side) {
    let pid = guest.pid(side).expect("a QEMU that runs");
    let deadline = Instant::now() + PATIENCE;
    while let Some(process) = Process::of(pid) {
        assert!(
            process.kill_and_wait(PATIENCE) && Instant::now() < deadline,
            "QEMU at the {side} does not end"
        );
    }
}

async fn wait_for_empty(what: &str, mut list: impl FnMut() -> Vec<String>) {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let left = list();
        if left.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "{what}: {left:#?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
