//! Speaks to hypervisors: QEMU over QMP, local and through ssh. Holds no policy: it asks, tells and
//! listens, and leaves every decision to its callers.
//!
//! ```no_run
//! use vmferry_hypervisor::qmp::{ConnectOptions, Guest, MigrationAddress};
//!
//! # async fn example() -> Result<(), vmferry_hypervisor::HypervisorError> {
//! let uri = "qmp:/run/a.qmp".parse().expect("a guest's address");
//! let guest = Guest::connect(&uri, ConnectOptions::default()).await?;
//! let mut events = guest.events();
//! println!("{}", guest.version().await?);
//! guest.set_capabilities(&[("events", true)]).await?;
//! let destination: vmferry_core::StreamUri = "tcp:10.77.0.2:4444".parse().expect("an address");
//! guest.migrate(&MigrationAddress::from(&destination)).await?;
//! while let Some(event) = events.next().await {
//!     if event.migration_status().is_some_and(|status| status.is_end()) {
//!         break;
//!     }
//! }
//! println!("{:?} ms", guest.migration().await?.downtime_ms);
//! # Ok(())
//! # }
//! ```

mod error;
pub mod qmp;
pub mod ssh;

pub use error::HypervisorError;
