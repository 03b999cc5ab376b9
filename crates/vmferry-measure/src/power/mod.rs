//! Power meters behind one interface.
//!
//! | spec | meter | reads |
//! |---|---|---|
//! | `rapl`, `rapl+dram`, `rapl:DIR` | [`Rapl`]: the processors' own counters, this host | energy |
//! | `hwmon:PATH` | [`Hwmon`]: a sensor of the kernel, this host | power |
//! | `ipmi`, `ipmi:USER@HOST` | [`Ipmi`]: a baseboard controller, through `ipmitool` | power |
//! | `redfish:URL`, `redfish+insecure:URL` | [`Redfish`]: a baseboard controller, over HTTP | power |
//! | `prometheus:URL?query=...` | [`Prometheus`]: what Kepler, Scaphandre or an exporter counts | power |
//! | `csv:FILE` | [`CsvLog`]: what another program writes down | power |
//!
//! [`MeterSpec`] opens one by its spec, [`sample`] reads it at a pace.
//!
//! Meters differ in what they see: RAPL the processors, a baseboard controller
//! the whole host. A result names its meter, and results of different meters
//! do not compare.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Instant;

use vmferry_core::{Joules, Watts};

mod csv_log;
mod error;
mod http;
mod hwmon;
mod ipmi;
mod prometheus;
mod rapl;
mod redfish;
mod sampler;
mod spec;

pub use csv_log::{CsvLog, LoggedPower, read_log};
pub use error::PowerError;
pub use hwmon::Hwmon;
pub use ipmi::{Ipmi, parse_dcmi_power};
pub use prometheus::{Prometheus, parse_instant_query};
pub use rapl::{Rapl, RaplDomains};
pub use redfish::{Redfish, parse_power_reading};
pub use sampler::{PowerSeries, READ_TIMEOUT, STALL, SampleOptions, sample};
pub use spec::MeterSpec;

/// What a meter says at one instant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// The instant it is about.
    pub at: Instant,
    /// What it says.
    pub value: Value,
}

/// A value of a meter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// The power drawn then.
    Power(Watts),
    /// The energy drawn since the meter's first reading; the power is the
    /// difference of two over the time between.
    Energy(Joules),
}

/// Whose certificates are trusted where a meter is behind HTTPS (which takes
/// the feature `https`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// Those the system trusts.
    #[default]
    System,
    /// Those in a file, in PEM.
    File(PathBuf),
    /// Whoever answers: a controller with a certificate of its own making.
    /// Who stands in between learns the password.
    Anyone,
}

/// A reading to come.
pub type ReadFuture<'a> = Pin<Box<dyn Future<Output = Result<Reading, PowerError>> + Send + 'a>>;

/// A meter of one host's power.
pub trait PowerMeter: Send {
    /// Its name, which says what it meters; goes into results.
    fn name(&self) -> &str;

    /// Reads it. A reading that is not wanted any more may be dropped.
    fn read(&mut self) -> ReadFuture<'_>;
}

/// A reading of a power, made now.
fn power_now(watts: f64) -> Reading {
    Reading {
        at: Instant::now(),
        value: Value::Power(Watts(watts)),
    }
}
