//! A guest of a testbed.

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use vmferry_core::guest_uri::SshDestination;
use vmferry_core::{GuestUri, StreamUri};
use vmferry_hypervisor::qmp::{ConnectOptions, Guest};

use crate::console::ConsoleWatch;
use crate::error::TestbedError;
use crate::guest_spec::GuestSpec;
use crate::host::Side;
use crate::program_image::ProgramImage;
use crate::qemu::{self, Begin};
use crate::service_image::ServiceImage;
use crate::state::{self, EndRecord, GuestRecord, ServiceDisk};
use crate::testbed::{Shared, blocking};

/// Addresses of the guest network go from 10.78.0.10 to 10.78.0.209.
const MOST_GUESTS: usize = 200;
const FIRST_HOST: u8 = 10;
const FIRST_PORT: u16 = 4444;

/// How long a killed QEMU may take to vanish: its memory has to be given back.
const KILL_PATIENCE: Duration = Duration::from_secs(20);

/// A guest at the source, and the QEMU that awaits it at the destination.
#[derive(Clone, Debug)]
pub struct TestGuest {
    shared: Arc<Shared>,
    index: usize,
}

/// See [`crate::Testbed::start_guest`].
pub(crate) async fn start(
    shared: &Arc<Shared>,
    spec: GuestSpec,
) -> Result<TestGuest, TestbedError> {
    spec.check()?;
    let programs = if spec.runs_programs() {
        let image = blocking(ProgramImage::prepare).await?;
        Some(image.disk)
    } else {
        None
    };
    let service = match spec.offers() {
        Some(service) => blocking(move || ServiceImage::prepare(service)).await?,
        None => None,
    };
    let guest = add(shared, spec, programs, service)?;
    let tap = guest.record().tap;
    let of = Arc::clone(shared);
    let disk = guest.record().service;
    blocking(move || {
        of.network.add_tap(&tap)?;
        disk.map_or(Ok(()), |disk| {
            ServiceImage::overlay(&disk.base, &disk.overlay)
        })
    })
    .await?;
    if let Err(error) = guest.start_both().await {
        // The files stay, for a look at what went wrong.
        for side in Side::BOTH {
            guest.kill(side).await?;
        }
        return Err(error);
    }
    Ok(guest)
}

/// Gives a guest its number and all that follows from it.
fn add(
    shared: &Arc<Shared>,
    spec: GuestSpec,
    programs: Option<PathBuf>,
    service: Option<ServiceImage>,
) -> Result<TestGuest, TestbedError> {
    let directory = shared.directory.join(&spec.name);
    let wrong = |problem: String| TestbedError::InvalidGuest {
        guest: spec.name.clone(),
        problem,
    };
    // Checked and made at once: two guests may be started at the same time.
    fs::DirBuilder::new()
        .mode(0o700)
        .create(&directory)
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => {
                wrong("this testbed has a guest of that name".to_owned())
            }
            _ => TestbedError::io(format!("make {}", directory.display()))(error),
        })?;
    let disk = match spec.disk {
        None => None,
        Some(size) => {
            let path = directory.join("disk.raw");
            fs::File::create(&path)
                .and_then(|file| file.set_len(size.0))
                .map_err(TestbedError::io(format!("make {}", path.display())))?;
            Some(path)
        }
    };
    let service = service.map(|image| ServiceDisk {
        service: image.service,
        base: image.disk,
        overlay: directory.join("service.qcow2"),
    });
    let index = shared.update(|record| {
        let index = record.guests.len();
        let number = u8::try_from(index).ok().filter(|_| index < MOST_GUESTS)?;
        record.guests.push(GuestRecord {
            index: number,
            uuid: uuid::Uuid::new_v4(),
            mac: format!("52:54:00:4e:00:{number:02x}"),
            ip: Ipv4Addr::new(10, 78, 0, FIRST_HOST + number),
            tap: format!("tap{number}"),
            via: StreamUri {
                host: Side::Destination.address().to_owned(),
                port: FIRST_PORT + u16::from(number),
            },
            disk,
            programs: programs.clone(),
            service: service.clone(),
            source: EndRecord::in_directory(&directory.join(Side::Source.name())),
            destination: EndRecord::in_directory(&directory.join(Side::Destination.name())),
            spec: spec.clone(),
        });
        Some(index)
    })?;
    match index {
        Some(index) => Ok(TestGuest::new(shared, index)),
        None => Err(wrong(format!(
            "a testbed has room for {MOST_GUESTS} guests"
        ))),
    }
}

impl TestGuest {
    pub(crate) fn new(shared: &Arc<Shared>, index: usize) -> Self {
        Self {
            shared: Arc::clone(shared),
            index,
        }
    }

    /// What is written down of it.
    #[must_use]
    pub fn record(&self) -> GuestRecord {
        self.shared.record().guests[self.index].clone()
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> String {
        self.record().spec.name
    }

    /// Its monitor at the source.
    #[must_use]
    pub fn source_uri(&self) -> GuestUri {
        self.uri(Side::Source)
    }

    /// Its monitor at the destination.
    #[must_use]
    pub fn destination_uri(&self) -> GuestUri {
        self.uri(Side::Destination)
    }

    /// Its monitor at one end.
    #[must_use]
    pub fn uri(&self, side: Side) -> GuestUri {
        self.record().end(side).uri()
    }

    /// Its monitor at one end, through ssh with [`crate::Testbed::ssh_config`].
    #[must_use]
    pub fn ssh_uri(&self, side: Side) -> GuestUri {
        GuestUri::QmpSsh {
            destination: SshDestination {
                user: None,
                host: side.name().to_owned(),
                port: None,
            },
            path: self.record().end(side).qmp.clone(),
        }
    }

    /// Where the destination is to listen for its migration stream. Nobody listens there yet: the
    /// destination waits to be told.
    #[must_use]
    pub fn via(&self) -> StreamUri {
        self.record().via
    }

    /// The process number of its QEMU at one end; `None` where it has ended.
    #[must_use]
    pub fn pid(&self, side: Side) -> Option<u32> {
        let process = self.record().end(side).process?;
        process.is_alive().then_some(process.pid)
    }

    /// A connection to its second monitor at one end, which leaves the first to the program under
    /// test.
    ///
    /// # Errors
    /// When QEMU has ended, or another client holds the monitor.
    pub async fn watch(&self, side: Side) -> Result<Guest, TestbedError> {
        let uri = GuestUri::local(&self.record().end(side).watch);
        Ok(Guest::connect(&uri, ConnectOptions::default()).await?)
    }

    /// Follows its consoles from now on.
    #[must_use]
    pub fn console_watch(&self) -> ConsoleWatch {
        let record = self.record();
        ConsoleWatch::start(&record.source.console, &record.destination.console)
    }

    /// Kills QEMU at one end.
    ///
    /// # Errors
    /// When it does not vanish.
    pub async fn kill(&self, side: Side) -> Result<(), TestbedError> {
        let guest = self.clone();
        blocking(move || guest.kill_now(side)).await
    }

    /// Kills QEMU at the destination and starts it again, waiting: a destination ends when a move
    /// to it fails.
    ///
    /// # Errors
    /// As [`crate::Testbed::start_guest`].
    pub async fn restart_destination(&self) -> Result<(), TestbedError> {
        self.restart(&[Side::Destination]).await
    }

    /// Kills both ends and starts them again: the guest boots at the source, with empty consoles,
    /// and with the disk of its service as it was at first. Where it was before does not matter.
    ///
    /// # Errors
    /// As [`crate::Testbed::start_guest`].
    pub async fn reset(&self) -> Result<(), TestbedError> {
        self.restart(&Side::BOTH).await
    }

    async fn restart(&self, sides: &'static [Side]) -> Result<(), TestbedError> {
        let guest = self.clone();
        blocking(move || {
            for side in sides {
                guest.kill_now(*side)?;
                let end = guest.record().end(*side).clone();
                for file in [&end.qmp, &end.watch, &end.console, &end.log] {
                    match fs::remove_file(file) {
                        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                            return Err(TestbedError::io(format!("remove {}", file.display()))(
                                error,
                            ));
                        }
                        _ => {}
                    }
                }
            }
            if sides.contains(&Side::Source)
                && let Some(disk) = guest.record().service
            {
                ServiceImage::overlay(&disk.base, &disk.overlay)?;
            }
            guest.shared.network.forget_guests()
        })
        .await?;
        if sides.contains(&Side::Source) {
            self.start_both().await
        } else {
            self.start_end(Side::Destination, Begin::Awaiting).await?;
            qemu::monitor(&self.record(), Side::Destination)
                .await
                .map(drop)
        }
    }

    async fn start_both(&self) -> Result<(), TestbedError> {
        self.start_end(Side::Source, Begin::Booting).await?;
        self.start_end(Side::Destination, Begin::Awaiting).await?;
        let guest = self.record();
        for side in Side::BOTH {
            drop(qemu::monitor(&guest, side).await?);
        }
        qemu::booted(&guest).await
    }

    /// Makes the bridges look for the guest anew.
    pub(crate) async fn forget_place(&self) -> Result<(), TestbedError> {
        let guest = self.clone();
        blocking(move || guest.shared.network.forget_guests()).await
    }

    pub(crate) async fn start_end(&self, side: Side, begin: Begin) -> Result<(), TestbedError> {
        let guest = self.clone();
        blocking(move || {
            let testbed = guest.shared.record().clone();
            let record = guest.record();
            let arguments =
                qemu::arguments(&record, side, begin, &testbed.image, testbed.accelerator);
            let host = guest.shared.network.host(side);
            let process = qemu::start(host, &record, side, &arguments)?;
            state::list_process(&guest.shared.directory, process)?;
            guest.set_process(side, Some(process))
        })
        .await
    }

    fn kill_now(&self, side: Side) -> Result<(), TestbedError> {
        let record = self.record();
        let Some(process) = record.end(side).process else {
            return Ok(());
        };
        if !process.kill_and_wait(KILL_PATIENCE) {
            return Err(TestbedError::NotRemoved {
                name: record.spec.name,
                problem: format!("QEMU at the {side}, process {}, does not end", process.pid),
            });
        }
        self.set_process(side, None)
    }

    fn set_process(
        &self,
        side: Side,
        process: Option<crate::process::Process>,
    ) -> Result<(), TestbedError> {
        self.shared.update(|record| {
            record.guests[self.index].end_mut(side).process = process;
        })
    }
}
