//! One migration as it is known before it starts.

use std::time::Duration;

pub use vmferry_core::Technique;
use vmferry_core::plan::MoveLimits;
use vmferry_core::{ByteRate, Bytes, LinkSpeed, Millis, Observation, PAGE_SIZE, Ratio};
use vmferry_precopy::{PAGE_ON_STREAM, ZERO_PAGE_ON_STREAM};

use super::error::CannotForecast;
use crate::assumptions::Assumptions;
use crate::error::ModelError;

/// One migration as a predictor sees it before it starts. What is not known
/// is `None`; only the size, the link and the limits always are.
#[derive(Clone, Debug)]
pub struct Case<'a> {
    /// Memory that a first pass sends; above 0.
    pub memory: Bytes,
    /// Share of zero pages in it, 0..1.
    pub zero: Option<Ratio>,
    /// Unique bytes dirtied within one second.
    pub dirty_rate: Option<ByteRate>,
    /// What was seen of the guest, where anything was: dirty curve, page
    /// history.
    pub observation: Option<&'a Observation>,
    /// The route's link.
    pub link: LinkSpeed,
    /// What bounds the move.
    pub limits: MoveLimits,
    /// What is taken for granted of hypervisor and hosts.
    pub assumptions: Assumptions,
    /// How memory is moved.
    pub technique: Technique,
    /// What the guest does, as its operator calls it.
    pub workload: Option<&'a str>,
    /// Which guest it is, the same from move to move: its UUID, or its name.
    pub guest: Option<&'a str>,
    /// Between which hosts it moves, the same from move to move.
    pub route: Option<&'a str>,
    /// When it moves.
    pub at: Option<jiff::Timestamp>,
}

impl<'a> Case<'a> {
    /// A guest that was observed, about to move by plain pre-copy.
    pub fn observed(
        observation: &'a Observation,
        link: LinkSpeed,
        limits: MoveLimits,
        assumptions: Assumptions,
    ) -> Self {
        let guest = &observation.guest;
        let curve = &observation.dirty_curve;
        Self {
            memory: observation.page_mix.total_pages.bytes(),
            zero: observation.page_mix.zero,
            dirty_rate: (!curve.points.is_empty()).then(|| curve.rate_over(Duration::from_secs(1))),
            observation: Some(observation),
            link,
            limits,
            assumptions,
            technique: Technique::PreCopy,
            workload: None,
            guest: guest.uuid.as_deref().or(guest.name.as_deref()),
            route: None,
            at: None,
        }
    }

    /// What to call the guest in a message, after the word guest.
    pub fn label(&self) -> String {
        match (self.guest, self.observation) {
            (_, Some(observation)) => observation.guest.label(),
            (Some(guest), None) => guest.to_owned(),
            (None, None) => "without a name".to_owned(),
        }
    }

    /// Rate at which the stream advances, bytes per second: the link's, held
    /// by `max-bandwidth`.
    ///
    /// # Errors
    /// When it is no positive number.
    pub fn stream_rate(&self) -> Result<ByteRate, CannotForecast> {
        let cap = self.assumptions.rules_under(&self.limits).max_bandwidth;
        let rate = cap
            .map_or(f64::INFINITY, |cap| cap.0)
            .min(self.link.stream_rate().0);
        if rate.is_finite() && rate >= 1.0 {
            return Ok(ByteRate(rate));
        }
        Err(CannotForecast::Senseless {
            guest: self.label(),
            what: "a link rate",
            value: format!("{rate} bytes/s"),
            remedy: "give --bandwidth, for example 1Gbit/s",
        })
    }

    /// Longest pause the hypervisor may plan for.
    pub fn downtime_limit(&self) -> Duration {
        self.assumptions.rules_under(&self.limits).downtime_limit
    }

    /// The dirty rate, bytes per second.
    ///
    /// # Errors
    /// When it is unknown, or no number from 0 up.
    pub fn known_dirty_rate(&self, model: &'static str) -> Result<ByteRate, CannotForecast> {
        match self.dirty_rate {
            None => Err(CannotForecast::Unknown {
                model,
                guest: self.label(),
                what: "a dirty rate",
                remedy: "measure the guest for some seconds",
            }),
            Some(rate) if rate.0.is_finite() && rate.0 >= 0.0 => Ok(rate),
            Some(rate) => Err(CannotForecast::Senseless {
                guest: self.label(),
                what: "a dirty rate",
                value: format!("{} bytes/s", rate.0),
                remedy: "measure the guest again",
            }),
        }
    }

    /// Checks that the case makes sense and that the model describes its
    /// technique.
    ///
    /// # Errors
    /// When it does not.
    pub fn check(
        &self,
        model: &'static str,
        described: &[Technique],
    ) -> Result<(), CannotForecast> {
        if !described.contains(&self.technique) {
            return Err(CannotForecast::Technique {
                model,
                technique: self.technique,
            });
        }
        if self.memory.pages().0 == 0 {
            let guest = self.label();
            return Err(ModelError::NoMemory { guest }.into());
        }
        let limit = self.limits.max_downtime_ms.unwrap_or(Millis(1.0));
        for (what, Millis(value_ms)) in [
            ("a deadline", self.limits.deadline_ms),
            ("a downtime limit", limit),
        ] {
            if !(value_ms.is_finite() && value_ms > 0.0) {
                return Err(ModelError::BadLimit { what, value_ms }.into());
            }
        }
        if let Some(zero) = self.zero
            && !(0.0..=1.0).contains(&zero.0)
        {
            return Err(CannotForecast::Senseless {
                guest: self.label(),
                what: "a share of zero pages",
                value: zero.0.to_string(),
                remedy: "measure the guest again",
            });
        }
        self.stream_rate().map(drop)
    }

    /// Time within which the move should converge.
    pub fn deadline(&self) -> Duration {
        self.limits.deadline_ms.duration()
    }

    /// Bytes of QEMU's stream that a first pass takes; an unknown share of
    /// zero pages counts as none.
    pub fn first_pass(&self) -> f64 {
        let zero = self.zero.map_or(0.0, |zero| zero.0.clamp(0.0, 1.0));
        let pages = self.memory.0 as f64 / PAGE_SIZE.0 as f64;
        let (normal, header) = (PAGE_ON_STREAM.0 as f64, ZERO_PAGE_ON_STREAM.0 as f64);
        pages * ((1.0 - zero) * normal + zero * header)
    }
}
