//! Outages of a guest, seen from outside: three kinds of questions at a steady pace, 5 ms usually,
//! each kind on a thread of its own, and every answer kept with its time.
//!
//! - [`ProbeKind::IcmpEcho`], [`ProbeKind::UdpEcho`]: the guest's kernel, or its first program. The
//!   next question is asked whether or not the last was answered; the kernel stamps answers.
//! - [`ProbeKind::TcpConnect`]: connections that are reset as soon as they stand. Also asked on
//!   while earlier ones hang. [`ProbeKind::TcpRefusal`] asks a closed port instead, which costs the
//!   guest a packet. Servers that fork for every connection are better not asked for 200 of them a
//!   second (PostgreSQL 15 took 57 % of a core for them, without emulation), nor MariaDB where it
//!   looks up names: after 100 it takes the client for a broken one and refuses it.
//! - [`ProbeKind::Request`]: the service's own requests over one connection that stays, one after
//!   the other. One that hangs over a blackout is a single long stall with its real latency.
//!
//! ```no_run
//! use std::path::PathBuf;
//! use vmferry_measure::outage::{ProbeKind, ProbeTarget, ReachProbe, monotonic_ns};
//!
//! # fn example() -> Result<(), vmferry_measure::MeasureError> {
//! let target = ProbeTarget {
//!     namespace: Some(PathBuf::from("/run/netns/vmf-1-client")),
//!     ..ProbeTarget::new([10, 78, 0, 10].into())
//! };
//! let probe = ReachProbe::start(ProbeKind::IcmpEcho, &target)?;
//! let from = monotonic_ns();
//! // The guest moves.
//! let samples = probe.stop()?;
//! println!("{:?}", samples.downtime(from..monotonic_ns()));
//! # Ok(())
//! # }
//! ```

mod clock;
mod connects;
mod dialogue;
mod echo;
mod evaluation;
mod icmp;
mod probe;
mod requests;
mod sample;

pub use clock::{ClockPair, Clocks, monotonic_ns};
pub use evaluation::{LatencySummary, Outage};
pub use probe::{ProbeTarget, ReachProbe, USUAL_PACE};
pub use sample::{ProbeError, ProbeKind, ProbeSample, ProbeSamples, Protocol};
