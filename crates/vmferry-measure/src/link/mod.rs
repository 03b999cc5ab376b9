//! The rate of a path, measured by a short bounded transfer over it: from the source's network to
//! the address at which the destination will listen, with TCP as the migration itself uses it.

mod acknowledged;
mod rate;
mod transfer;

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use vmferry_core::{Bytes, LinkSpeed};

use crate::MeasureError;
use crate::background;
use crate::interface::WireCounter;
use rate::{Reading, link_speed};
use transfer::Transfer;

/// Time between readings of the counters.
const READING_PERIOD: Duration = Duration::from_millis(10);

/// How a link is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkOptions {
    /// Longest transfer; 2 s by default.
    pub duration: Duration,
    /// Most that is sent; 256 MiB by default.
    pub limit: Bytes,
    /// What is left out at the start, where token buckets are full and TCP's window grows: 300 ms
    /// by default, or a quarter of `limit` if that is sent sooner.
    pub warm_up: Duration,
    /// How long the connection may take; 3 s by default.
    pub connect_timeout: Duration,
}

impl Default for LinkOptions {
    fn default() -> Self {
        Self {
            duration: Duration::from_secs(2),
            limit: Bytes::from_mib(256),
            warm_up: Duration::from_millis(300),
            connect_timeout: Duration::from_secs(3),
        }
    }
}

/// Measures the path from the network of the process `source` to `address`, which is the host of
/// the process `destination`: both QEMU processes on this machine. A listener on a free port is
/// opened in the destination's network namespace for the time of the transfer. Dropping the future
/// ends the transfer.
///
/// `relative_sd` is the standard error between ten parts of the transfer, at least 1 %.
///
/// # Errors
/// [`MeasureError::LinkNotLocal`] where an end is `None`, [`MeasureError::NoRoute`], and
/// [`MeasureError::Link`] where the transfer fails.
pub async fn measure_link(
    source: Option<u32>,
    destination: Option<u32>,
    address: IpAddr,
    options: LinkOptions,
) -> Result<LinkSpeed, MeasureError> {
    background::run("link", move |cancel| {
        measure_blocking(source, destination, address, &options, cancel)
    })
    .await
}

fn measure_blocking(
    source: Option<u32>,
    destination: Option<u32>,
    address: IpAddr,
    options: &LinkOptions,
    cancel: &AtomicBool,
) -> Result<LinkSpeed, MeasureError> {
    let source = source.ok_or(MeasureError::LinkNotLocal { end: "source" })?;
    let destination = destination.ok_or(MeasureError::LinkNotLocal { end: "destination" })?;
    let counter = WireCounter::open(source, address)?;
    let transfer = Transfer::start(source, destination, address, options)?;

    let start = Instant::now();
    let mut readings = Vec::new();
    loop {
        if cancel.load(Ordering::Relaxed) {
            return Err(MeasureError::Cancelled {
                guest: format!("the link to {address}"),
            });
        }
        let reading = Reading {
            at: start.elapsed(),
            wire: counter.tx_bytes()?.0,
            payload: transfer.arrived().map_err(|source| MeasureError::Link {
                address,
                step: "reading how much has arrived",
                source,
            })?,
        };
        readings.push(reading);
        if reading.at >= options.duration
            || reading.payload >= options.limit.0
            || transfer.has_ended()
        {
            break;
        }
        std::thread::sleep(READING_PERIOD);
    }
    transfer.finish(address)?;
    link_speed(&readings, options).ok_or_else(|| MeasureError::Link {
        address,
        step: "nothing arrived after the connection was made",
        source: std::io::ErrorKind::TimedOut.into(),
    })
}
