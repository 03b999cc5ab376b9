//! Two hosts on one machine: network namespaces, a shaped link, real QEMU, guest images.
//!
//! ```text
//!   namespace NAME-source          namespace NAME-destination
//!   ┌───────────────────┐  tbf     ┌───────────────────┐
//!   │ QEMU   link ──────┼──────────┼────── link   QEMU │   migration: 10.77.0.1 - 10.77.0.2
//!   │  └tap─ guests     │          │     guests ─tap┘  │
//!   └──────────┼────────┘          └────────┼──────────┘
//!              └───────── guests ───────────┘             guest network: 10.78.0.0/24
//!                   namespace NAME-client (10.78.0.1)
//! ```
//!
//! ```no_run
//! use vmferry_core::ByteRate;
//! use vmferry_testbed::{GuestSpec, Testbed};
//!
//! # async fn example() -> Result<(), vmferry_testbed::TestbedError> {
//! let testbed = Testbed::builder()
//!     .rate(ByteRate::from_mbit_per_s(400.0))
//!     .build()
//!     .await?;
//! let guest = testbed
//!     .start_guest(GuestSpec::new("web", "uniform:set=64M,rate=20M"))
//!     .await?;
//! println!("{} -> {} over {}", guest.source_uri(), guest.destination_uri(), guest.via());
//! # Ok(())
//! # }
//! ```
//!
//! Whatever ends the program that owns a [`Testbed`], kill -9 included, nothing of it stays: no
//! process, namespace or file. [`Testbed::detach`] is the exception, for people who want to look
//! around; [`Testbed::down`] then removes it. All of it needs root.

mod accelerator;
mod chroot;
pub mod client;
mod command;
mod console;
mod error;
mod guest;
mod guest_spec;
mod host;
mod image;
mod janitor;
mod load_program;
mod netns;
mod network;
mod package_disk;
mod private;
mod probe;
mod process;
mod program_image;
mod qemu;
mod service_files;
mod service_image;
mod sshd;
mod state;
mod status;
mod testbed;
mod tls;
mod way_back;

pub use accelerator::Accelerator;
pub use console::{Console, ConsoleWatch, TimedReport, tail};
pub use error::TestbedError;
pub use guest::TestGuest;
pub use guest_spec::GuestSpec;
pub use host::Side;
pub use image::{GuestImage, cache_directory};
pub use load_program::find as find_load_program;
pub use netns::Namespace;
pub use package_disk::{Package, PackageManifest};
pub use probe::{Outage, Probe, ProbeReport};
pub use process::Process;
pub use program_image::ProgramImage;
pub use service_image::ServiceImage;
pub use state::{EndRecord, GuestRecord, ServiceDisk, TestbedRecord};
pub use status::{EndStatus, GuestStatus, HostStatus, TestbedStatus};
pub use testbed::{Testbed, TestbedBuilder};
pub use vmferry_load::spec::{Service, UnknownService};
pub use way_back::WayBack;
