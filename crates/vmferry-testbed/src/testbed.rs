//! A testbed: made, found again, removed.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::spawn_blocking;
use vmferry_core::{ByteRate, Bytes};

use crate::accelerator::Accelerator;
use crate::error::TestbedError;
use crate::guest::{self, TestGuest};
use crate::guest_spec::GuestSpec;
use crate::host::Side;
use crate::image::GuestImage;
use crate::janitor::{self, Janitor};
use crate::netns::Namespace;
use crate::network::Network;
use crate::probe::Probe;
use crate::process::Process;
use crate::state::{self, TestbedRecord};
use crate::status::{self, TestbedStatus};
use crate::{sshd, tls};

/// Rate of the link unless another is asked for.
const USUAL_RATE: ByteRate = ByteRate::from_mbit_per_s(400.0);

/// Two hosts and a client on this machine. Dropping it removes all of it, unless it was
/// [detached](Testbed::detach) or [loaded](Testbed::load).
#[derive(Debug)]
pub struct Testbed {
    shared: Arc<Shared>,
    /// `None` for a testbed that lives on its own.
    janitor: Option<Janitor>,
}

/// What guests know of their testbed.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) directory: PathBuf,
    pub(crate) network: Network,
    record: Mutex<TestbedRecord>,
}

/// What testbed to make.
#[derive(Clone, Debug)]
pub struct TestbedBuilder {
    name: Option<String>,
    rate: Option<ByteRate>,
}

impl TestbedBuilder {
    /// Its name: 1 to 32 of a-z, 0-9 and -. By default `vmf-` and something random.
    #[must_use]
    pub fn name(self, name: impl Into<String>) -> Self {
        Self {
            name: Some(name.into()),
            ..self
        }
    }

    /// Rate of the migration link, frames included; 400 Mbit/s by default.
    #[must_use]
    pub fn rate(self, rate: ByteRate) -> Self {
        Self {
            rate: Some(rate),
            ..self
        }
    }

    /// A migration link as fast as this machine.
    #[must_use]
    pub fn unshaped(self) -> Self {
        Self { rate: None, ..self }
    }

    /// Makes the testbed. The first on a machine fetches the guest kernel (27 MB), later ones take
    /// half a second.
    ///
    /// # Errors
    /// Without root or a needed program, for a name that is taken, and when the guest image cannot
    /// be made. Nothing is left behind.
    pub async fn build(self) -> Result<Testbed, TestbedError> {
        blocking(move || self.build_now()).await
    }

    fn build_now(self) -> Result<Testbed, TestbedError> {
        if !nix::unistd::geteuid().is_root() {
            return Err(TestbedError::NotRoot);
        }
        let image = GuestImage::prepare()?;
        let accelerator = Accelerator::best(&image)?;
        let name = match self.name {
            Some(name) if is_name(&name) => name,
            Some(name) => {
                return Err(TestbedError::InvalidName {
                    name,
                    what: "testbed",
                });
            }
            None => format!("vmf-{}", &uuid::Uuid::new_v4().simple().to_string()[..6]),
        };
        let network = Network::of(&name);
        let directory = state::root().join(&name);
        // Checked before the janitor starts, which would remove what is not ours.
        if network.all().iter().any(|namespace| namespace.exists())
            || !state::make_directory(&directory)?
        {
            return Err(TestbedError::NameTaken { name });
        }
        let janitor = match Janitor::start(&directory, &network) {
            Ok(janitor) => janitor,
            Err(error) => {
                // Nothing else was made; what cannot be removed is an empty directory.
                let _ = std::fs::remove_dir(&directory);
                return Err(error);
            }
        };
        let record = TestbedRecord {
            schema_version: 1,
            name,
            created: jiff::Timestamp::now(),
            owner: Process::own(),
            rate: self.rate,
            accelerator,
            image,
            guests: Vec::new(),
        };
        // From here on a failure drops the testbed, which removes it.
        let testbed = Testbed {
            shared: Arc::new(Shared {
                directory,
                network,
                record: Mutex::new(record),
            }),
            janitor: Some(janitor),
        };
        testbed.shared.network.create(self.rate)?;
        testbed.shared.update(|_| ())?;
        Ok(testbed)
    }
}

impl Testbed {
    /// Starts to describe a testbed.
    #[must_use]
    pub fn builder() -> TestbedBuilder {
        TestbedBuilder {
            name: None,
            rate: Some(USUAL_RATE),
        }
    }

    /// Finds a testbed made earlier, by this or another program. Dropping it then changes nothing.
    ///
    /// # Errors
    /// When there is none, or its record cannot be read.
    pub fn load(name: &str) -> Result<Self, TestbedError> {
        let unknown = || TestbedError::Unknown {
            name: name.to_owned(),
        };
        if !is_name(name) {
            return Err(unknown());
        }
        let directory = state::root().join(name);
        let record = state::read(&directory)?.ok_or_else(unknown)?;
        let network = Network::of(name);
        let shared = Shared {
            directory,
            network,
            record: Mutex::new(record),
        };
        Ok(Self {
            shared: Arc::new(shared),
            janitor: None,
        })
    }

    /// The names of all testbeds of this user, sorted, broken ones included.
    ///
    /// # Errors
    /// When the directory of testbeds cannot be read.
    pub fn list() -> Result<Vec<String>, TestbedError> {
        let root = state::root();
        let entries = match std::fs::read_dir(&root) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(TestbedError::io(format!("read {}", root.display()))(error)),
        };
        let mut names: Vec<String> = entries
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| is_name(name))
            .collect();
        names.sort();
        Ok(names)
    }

    /// Removes a testbed, also one that is half broken: its processes, namespaces and files. True
    /// if there was something to remove.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub async fn down(name: &str) -> Result<bool, TestbedError> {
        let name = name.to_owned();
        blocking(move || down_now(&name)).await
    }

    /// Lets the testbed live on when this program ends, until [`Testbed::down`].
    ///
    /// # Errors
    /// When the testbed's record cannot be written; it is removed then.
    pub fn detach(mut self) -> Result<String, TestbedError> {
        self.shared.update(|record| record.owner = None)?;
        if let Some(janitor) = self.janitor.take() {
            janitor.release();
        }
        Ok(self.name())
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> String {
        self.shared.record().name.clone()
    }

    /// Its directory: the record, sockets, consoles, logs and disks.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.shared.directory
    }

    /// What is written down of it.
    #[must_use]
    pub fn record(&self) -> TestbedRecord {
        self.shared.record().clone()
    }

    /// How virtual CPUs run here.
    #[must_use]
    pub fn accelerator(&self) -> Accelerator {
        self.shared.record().accelerator
    }

    /// A host's network namespace.
    #[must_use]
    pub fn host(&self, side: Side) -> &Namespace {
        self.shared.network.host(side)
    }

    /// The network namespace from which the guests' clients come (10.78.0.1).
    #[must_use]
    pub fn client(&self) -> &Namespace {
        &self.shared.network.client
    }

    /// Rate of the migration link; `None` where it is not shaped.
    #[must_use]
    pub fn rate(&self) -> Option<ByteRate> {
        self.shared.record().rate
    }

    /// Changes the rate of the migration link, in both directions, also while it is used. `None`
    /// takes the shaping off.
    ///
    /// # Errors
    /// When `tc` fails.
    pub async fn set_rate(&self, rate: Option<ByteRate>) -> Result<(), TestbedError> {
        let shared = Arc::clone(&self.shared);
        blocking(move || {
            shared.network.set_rate(rate)?;
            shared.update(|record| record.rate = rate)
        })
        .await
    }

    /// Pulls the plug of the migration link.
    ///
    /// # Errors
    /// When `ip` fails.
    pub async fn cut_link(&self) -> Result<(), TestbedError> {
        let shared = Arc::clone(&self.shared);
        blocking(move || shared.network.plug(false)).await
    }

    /// Puts the plug of the migration link back.
    ///
    /// # Errors
    /// When `ip` fails.
    pub async fn mend_link(&self) -> Result<(), TestbedError> {
        let shared = Arc::clone(&self.shared);
        blocking(move || shared.network.plug(true)).await
    }

    /// Bytes a host has sent over the migration link since it was made, frames included.
    ///
    /// # Errors
    /// When `ip` fails.
    pub fn link_bytes(&self, from: Side) -> Result<Bytes, TestbedError> {
        self.shared.network.sent(from)
    }

    /// Starts a guest at the source and the QEMU that awaits it at the destination, and waits until
    /// the guest's load runs and both monitors answer.
    ///
    /// # Errors
    /// For a guest that cannot be, one whose name is taken, and when QEMU ends or hangs: the error
    /// then carries the last lines of its log and of the guest's console. A guest that does not
    /// start is ended at both ends; its files, and so its name, stay.
    pub async fn start_guest(&self, spec: GuestSpec) -> Result<TestGuest, TestbedError> {
        guest::start(&self.shared, spec).await
    }

    /// All guests, in the order of their start.
    #[must_use]
    pub fn guests(&self) -> Vec<TestGuest> {
        let guests = self.shared.record().guests.len();
        (0..guests)
            .map(|index| TestGuest::new(&self.shared, index))
            .collect()
    }

    /// How it is: hosts, guests, their QEMUs, monitors and last reports.
    pub async fn status(&self) -> TestbedStatus {
        status::of(&self.shared).await
    }

    /// A client that asks a guest for an echo again and again; see [`Probe`].
    ///
    /// # Errors
    /// When the client's namespace cannot be entered.
    pub fn probe(&self, guest: &TestGuest, every: Duration) -> Result<Probe, TestbedError> {
        Probe::start(self.client(), guest.record().ip, every)
    }

    /// Sets up ssh to both hosts, if that is not done yet, and returns a configuration for `ssh -F`
    /// with the hosts `source` and `destination`: real sshd inside the hosts' namespaces, with keys
    /// of the testbed's own.
    ///
    /// # Errors
    /// When OpenSSH is not installed, or the keys cannot be made.
    pub async fn ssh_config(&self) -> Result<PathBuf, TestbedError> {
        let shared = Arc::clone(&self.shared);
        blocking(move || sshd::configure(&shared)).await
    }

    /// Makes an authority and certificates for both hosts, if there are none yet, and returns the
    /// directory, as QEMU's `tls-creds-x509` reads it.
    ///
    /// # Errors
    /// When `certtool` is missing or fails.
    pub async fn tls_directory(&self) -> Result<PathBuf, TestbedError> {
        let shared = Arc::clone(&self.shared);
        blocking(move || tls::certificates(&shared.directory.join("tls"))).await
    }

    /// Removes the testbed, as dropping it does, and says if that failed.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub async fn close(mut self) -> Result<(), TestbedError> {
        blocking(move || self.remove()).await
    }

    fn remove(&mut self) -> Result<(), TestbedError> {
        let Some(janitor) = self.janitor.take() else {
            return Ok(());
        };
        let processes = listed(&self.shared.directory);
        let clean = janitor.clean();
        for process in processes {
            process.reap();
        }
        // A janitor that was killed is no excuse.
        if clean {
            Ok(())
        } else {
            down_now(&self.name()).map(drop)
        }
    }
}

impl Drop for Testbed {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            tracing::error!(%error, "testbed not removed");
        }
    }
}

impl Shared {
    pub(crate) fn record(&self) -> MutexGuard<'_, TestbedRecord> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the record and writes it down.
    pub(crate) fn update<T>(
        &self,
        change: impl FnOnce(&mut TestbedRecord) -> T,
    ) -> Result<T, TestbedError> {
        let mut record = self.record();
        let result = change(&mut record);
        state::write(&self.directory, &record)?;
        Ok(result)
    }
}

fn down_now(name: &str) -> Result<bool, TestbedError> {
    if !is_name(name) {
        return Err(TestbedError::Unknown {
            name: name.to_owned(),
        });
    }
    let directory = state::root().join(name);
    let network = Network::of(name);
    // Namespaces alone are taken for ours only with a name that we would give.
    let namespaces = network.all().iter().any(|namespace| namespace.exists());
    let ours = namespaces && name.starts_with("vmf-");
    if !directory.exists() && !ours {
        return Ok(false);
    }
    let processes = listed(&directory);
    janitor::remove(name, &directory, &network)?;
    for process in processes {
        process.reap();
    }
    Ok(true)
}

/// The processes of a testbed's list, ended ones included.
fn listed(directory: &Path) -> Vec<Process> {
    std::fs::read_to_string(directory.join("processes"))
        .unwrap_or_default()
        .lines()
        .filter_map(|line| {
            let (pid, start_time) = line.split_once(' ')?;
            Some(Process {
                pid: pid.parse().ok()?,
                start_time: start_time.parse().ok()?,
            })
        })
        .collect()
}

/// Whether a text can name a namespace, a directory and a guest.
pub(crate) fn is_name(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=32).contains(&text.len())
        && text.chars().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// Runs what blocks (programs, files) where it hinders nobody.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, TestbedError> + Send + 'static,
) -> Result<T, TestbedError> {
    match spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(error) => Err(TestbedError::Io {
            what: "finish while the program shuts down".to_owned(),
            source: std::io::Error::other(error),
        }),
    }
}
