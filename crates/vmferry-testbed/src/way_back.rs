//! The way back of a guest that was moved: while it stands still, so that every move of a series
//! finds it as the one before did.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::{Map, json};
use tokio::time::sleep;
use vmferry_core::Bytes;
use vmferry_hypervisor::HypervisorError;
use vmferry_hypervisor::qmp::{Guest, MigrationAddress, MigrationInfo};

use crate::error::TestbedError;
use crate::guest::TestGuest;
use crate::host::Side;
use crate::qemu;

/// How long the transfer may take: memory goes through a socket of this machine at 500 MB/s and
/// more, on a loaded machine at a tenth of that.
const PATIENCE: Duration = Duration::from_secs(120);

/// How often QEMU is asked.
const POLL: Duration = Duration::from_millis(10);

/// More than any machine copies: the way back is not shaped.
const NO_LIMIT: u64 = 1 << 40;

/// How the way back went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WayBack {
    /// From the order to stop at the destination until the guest ran at the source.
    #[serde(rename = "stopped_ms", with = "milliseconds")]
    pub stopped: Duration,
    /// What QEMU sent for it.
    #[serde(rename = "transferred_bytes")]
    pub transferred: Bytes,
    /// The guest's memory.
    #[serde(rename = "memory_bytes")]
    pub memory: Bytes,
}

mod milliseconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(time.as_millis() as u64)
    }

    pub(super) fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_millis)
    }
}

impl TestGuest {
    /// Brings the guest back to the source after a move that completed: stops it at the
    /// destination, hands it over unshaped to a fresh QEMU at the source, checks what has arrived,
    /// ends the QEMU at the destination, lets the guest go on, and starts a QEMU that awaits it
    /// anew. Both QEMUs have the settings of fresh ones then. The consoles go on growing.
    ///
    /// Connections to the monitors, and process numbers, are those of ended QEMUs afterwards.
    ///
    /// # Errors
    /// [`TestbedError::NotBack`] when the guest is not at the destination, or cannot be handed
    /// over; it says where the guest is. It never runs at both ends: the QEMU that is not to run it
    /// is ended before the other goes on.
    pub async fn move_back_stopped(&self) -> Result<WayBack, TestbedError> {
        let destination = match self.moved_to().await {
            Ok(destination) => destination,
            Err(error @ TestbedError::NotBack { .. }) => return Err(error),
            Err(error) => {
                let problem = format!("{error}; where it is cannot be told, nothing was changed");
                return Err(self.not_back(problem));
            }
        };
        // The guest need not stand still for what takes the longest.
        if let Err(error) = self.kill(Side::Source).await {
            return Err(self.not_back(format!("{error}; it is at the destination, untouched")));
        }
        if let Err(error) = self.await_at(Side::Source).await {
            return Err(self.stay(&destination, error.to_string()).await);
        }
        let begin = Instant::now();
        let handed_over = match self.hand_over(&destination).await {
            Ok(info) => info,
            Err(problem) => return Err(self.stay(&destination, problem).await),
        };
        // From here on it is at the source, where it stands still.
        if let Err(error) = self.go_on_at_source().await {
            let problem = format!("{error}; it has arrived, and as far as is known stands still");
            return Err(self.not_back(problem));
        }
        let stopped = begin.elapsed();
        if let Err(error) = self.await_at(Side::Destination).await {
            let problem =
                format!("{error}; it runs at the source, and no QEMU awaits its next move");
            return Err(self.not_back(problem));
        }
        Ok(WayBack {
            stopped,
            transferred: Bytes(handed_over.ram.transferred_bytes.unwrap_or_default()),
            memory: Bytes(handed_over.ram.total_bytes.unwrap_or_default()),
        })
    }

    /// The monitor of the destination, where the guest is wholly.
    async fn moved_to(&self) -> Result<Guest, TestbedError> {
        let destination = self.watch(Side::Destination).await?;
        self.check_moved(&destination).await?;
        Ok(destination)
    }

    /// Lets the guest, which has arrived, go on at the source once it can no more at the destination.
    async fn go_on_at_source(&self) -> Result<(), TestbedError> {
        self.kill(Side::Destination).await?;
        self.forget_place().await?;
        Ok(self.watch(Side::Source).await?.cont().await?)
    }

    /// Whether the guest is at the destination, wholly.
    async fn check_moved(&self, destination: &Guest) -> Result<(), TestbedError> {
        let there = status(destination).await?;
        if there != "running" && there != "paused" {
            return Err(self.not_back(format!("it is not at the destination, which is `{there}`")));
        }
        let arrived = destination.migration().await?.status.to_string();
        if arrived != "completed" {
            return Err(self.not_back(format!("its move is not over: `{arrived}`")));
        }
        if self.pid(Side::Source).is_some() {
            let here = status(&self.watch(Side::Source).await?).await?;
            if here != "postmigrate" {
                return Err(self.not_back(format!("it may run at the source, which is `{here}`")));
            }
        }
        Ok(())
    }

    /// Stops the guest and migrates it to the fresh QEMU at the source. On failure it is still at
    /// the destination.
    async fn hand_over(&self, destination: &Guest) -> Result<MigrationInfo, String> {
        let told = |error: TestbedError| error.to_string();
        let refused = |error: HypervisorError| error.to_string();
        let source = self.watch(Side::Source).await.map_err(told)?;
        settle(&source, destination).await.map_err(refused)?;
        destination.stop().await.map_err(refused)?;
        let socket = self.record().source.qmp.with_file_name("back.sock");
        let at = MigrationAddress::Unix {
            path: socket.clone(),
        };
        source.migrate_incoming(&at).await.map_err(refused)?;
        destination.migrate(&at).await.map_err(refused)?;
        let sent = completed(destination).await?;
        remove(&socket);
        if sent.ram.transferred_bytes.unwrap_or_default() == 0
            || sent.ram.remaining_bytes.unwrap_or_default() != 0
        {
            return Err("QEMU calls the migration completed, but memory is missing".to_owned());
        }
        arrived(&source).await?;
        let left = status(destination).await.map_err(refused)?;
        if left != "postmigrate" {
            return Err(format!("the destination is `{left}` after the migration"));
        }
        Ok(sent)
    }

    /// After a failure: the guest goes on at the destination if it certainly is there.
    async fn stay(&self, destination: &Guest, problem: String) -> TestbedError {
        if let Err(error) = self.kill(Side::Source).await {
            return self.not_back(format!(
                "{problem}; it stands still, since QEMU at the source cannot be ended: {error}"
            ));
        }
        match destination.cont().await {
            Ok(()) => self.not_back(format!("{problem}; it goes on at the destination")),
            Err(error) => self.not_back(format!(
                "{problem}; it stands still at the destination: {error}"
            )),
        }
    }

    fn not_back(&self, problem: String) -> TestbedError {
        TestbedError::NotBack {
            guest: self.name(),
            problem,
        }
    }

    /// Starts a QEMU that awaits the guest at one end.
    async fn await_at(&self, side: Side) -> Result<(), TestbedError> {
        let end = self.record().end(side).clone();
        remove(&end.qmp);
        remove(&end.watch);
        self.start_end(side, qemu::Begin::Awaiting).await?;
        qemu::monitor(&self.record(), side).await.map(drop)
    }
}

/// Makes both ends agree, and the sender fast: what was set for moves is as in a fresh QEMU again.
async fn settle(fresh: &Guest, sender: &Guest) -> Result<(), HypervisorError> {
    let (wanted, is) = (fresh.capabilities().await?, sender.capabilities().await?);
    let changed: Vec<(&str, bool)> = wanted
        .iter()
        .filter(|(name, on)| is.get(*name).is_some_and(|is| is != *on))
        .map(|(name, on)| (name.as_str(), *on))
        .collect();
    if !changed.is_empty() {
        sender.set_capabilities(&changed).await?;
    }
    sender.disable_tls().await?;
    let mut parameters = Map::new();
    parameters.insert("max-bandwidth".to_owned(), json!(NO_LIMIT));
    sender.set_parameters(parameters).await
}

async fn status(end: &Guest) -> Result<String, HypervisorError> {
    let state = end.run_state().await?;
    Ok(state.status.unwrap_or_else(|| "unknown".to_owned()))
}

/// Waits until the sender is done.
async fn completed(sender: &Guest) -> Result<MigrationInfo, String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let info = sender.migration().await;
        let info = info.map_err(|error| error.to_string())?;
        match info.status.to_string().as_str() {
            "completed" => return Ok(info),
            status @ ("failed" | "cancelled") => {
                let why = info.error_desc.unwrap_or_default();
                return Err(format!("the migration {status}: {why}"));
            }
            _ if Instant::now() > deadline => {
                // What it can still do at this moment is of no matter: QEMU at the source is ended.
                let _ = sender.migrate_cancel().await;
                return Err(format!("the migration took more than {PATIENCE:?}"));
            }
            _ => sleep(POLL).await,
        }
    }
}

/// Waits until the receiver has loaded the guest, which must stand still there.
async fn arrived(receiver: &Guest) -> Result<(), String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let state = status(receiver).await.map_err(|error| error.to_string())?;
        match state.as_str() {
            "paused" => return Ok(()),
            "inmigrate" if Instant::now() < deadline => sleep(POLL).await,
            _ => return Err(format!("the guest arrived as `{state}`, not paused")),
        }
    }
}

/// Removes a socket's file; QEMU makes its own anew in any case.
fn remove(socket: &Path) {
    let _ = fs::remove_file(socket);
}
