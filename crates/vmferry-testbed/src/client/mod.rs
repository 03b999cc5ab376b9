//! The clients of a guest's service: the load generators that people know, from Debian packages
//! that are unpacked into the cache, not installed.
//!
//! | service | tool | an operation |
//! |---|---|---|
//! | web, application | `wrk` | a request |
//! | postgres | `pgbench` | a transaction (TPC-B like) |
//! | mariadb | `sysbench oltp_read_write` | a transaction |
//! | cache | `redis-benchmark`, twice | a `GET`; a `SET` |
//! | mail | `smtp-source`, and an IMAP client of our own | a letter; a visit to the mailbox |
//! | file, standby | none | |
//!
//! ```no_run
//! use vmferry_testbed::client::{ClientLoad, ClientTools};
//! use vmferry_testbed::{Service, Testbed};
//!
//! # async fn example(testbed: &Testbed) -> Result<(), vmferry_testbed::TestbedError> {
//! let guest = testbed.guests().remove(0);
//! let tools = ClientTools::prepare()?;
//! let load = ClientLoad::default();
//! let client = tools.start(testbed.client(), Service::Web, guest.record().ip, &load)?;
//! // The guest moves.
//! let work = client.expect("web has clients").stop();
//! println!("{:.0} requests a second", work.operations_per_s);
//! # Ok(())
//! # }
//! ```
//!
//! Clients survive that the guest does not answer for a minute. They end with the program that
//! started them, however that ends.

mod imap;
mod part;
mod running;
mod series;
mod tally;
mod tool;
mod tools;
mod work;

#[cfg(test)]
mod real_servers;

pub use running::{ClientProgress, ClientStall, ServiceClient};
pub use series::ClientPoint;
pub use tools::{ClientLoad, ClientTools};
pub use work::{ClientLatency, ClientWork, PartWork};
