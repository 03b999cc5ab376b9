//! What CPU caps are to a replay: limits of the stream's rate.

use vmferry_core::plan::MoveLimits;
use vmferry_core::{ByteRate, PAGE_SIZE, Ratio};
use vmferry_precopy::PAGE_ON_STREAM;

use super::point::Caps;
use super::profile::GuestProfile;
use crate::assumptions::Assumptions;

/// Steps in which the least share is sought: to a thousandth.
const SEARCH_STEPS: u32 = 12;

/// What the hosts manage under caps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Throughput {
    /// Stream that both ends manage together.
    pub rate: ByteRate,
    /// Stream that leaves the source, where it is capped: that limit holds to the
    /// end. A destination's cap is taken off when the guest stops.
    pub sending: Option<ByteRate>,
    /// Share of a CPU that the source's threads have: finding pages that are
    /// zero takes CPU too.
    pub source_share: Option<Ratio>,
}

impl Throughput {
    /// What a profile says of caps; `None` for a cap at an end that was not
    /// profiled.
    pub fn under(profile: &GuestProfile, caps: Caps) -> Option<Self> {
        let sending = match caps.source {
            Some(share) => Some(profile.rate_under(Caps::at_source(share))?),
            None => None,
        };
        Some(Self {
            rate: profile.rate_under(caps)?,
            sending,
            source_share: caps.source,
        })
    }

    /// What the hosts manage if they are this much faster, or slower.
    #[must_use]
    pub fn times(&self, factor: Ratio) -> Self {
        Self {
            rate: self.rate * factor,
            sending: self.sending.map(|rate| rate * factor),
            ..*self
        }
    }

    /// The same assumptions with these limits in them: replays then send no
    /// faster, QEMU's own measure of its bandwidth (and with it the moment of the
    /// switchover) included. Time is not multiplied afterwards: a guest that
    /// writes gets more passes, or does not converge.
    #[must_use]
    pub fn limit(&self, assumptions: &Assumptions) -> Assumptions {
        let mut limited = *assumptions;
        if let Some(sending) = self.sending {
            // The cost of a page, of which the stream also carries the header.
            let memory = sending * (PAGE_SIZE / PAGE_ON_STREAM);
            limited.costs.send_rate = slower(limited.costs.send_rate, memory);
        }
        if let Some(share) = self.source_share {
            limited.costs.zero_scan_rate = limited.costs.zero_scan_rate * share;
        }
        // Held while the guest runs and lifted at the switchover, as QEMU's own limit is.
        limited.rules.max_bandwidth = slower(limited.rules.max_bandwidth, self.rate);
        limited
    }

    /// The operator's limits with this one in them: a bandwidth limit of the
    /// operator's stands above what QEMU is set to, but not above what the
    /// hosts manage.
    #[must_use]
    pub fn limit_plan(&self, limits: &MoveLimits) -> MoveLimits {
        MoveLimits {
            max_bandwidth: limits
                .max_bandwidth
                .and_then(|asked| slower(Some(asked), self.rate)),
            ..*limits
        }
    }
}

fn slower(known: Option<ByteRate>, limit: ByteRate) -> Option<ByteRate> {
    Some(known.filter(|known| *known < limit).unwrap_or(limit))
}

/// The least share in `low..=1` that is good enough, where more is never worse;
/// `None` where even all of a CPU is not.
pub fn least_share<E>(
    low: Ratio,
    mut good: impl FnMut(Ratio) -> Result<bool, E>,
) -> Result<Option<Ratio>, E> {
    if !good(Ratio(1.0))? {
        return Ok(None);
    }
    if good(low)? {
        return Ok(Some(low));
    }
    let (mut bad, mut best) = (low.0, 1.0);
    for _ in 0..SEARCH_STEPS {
        // In steps of the logarithm: what a hundredth is to 10 % is a tenth to all of a CPU.
        let middle = (bad * best).sqrt();
        if good(Ratio(middle))? {
            best = middle;
        } else {
            bad = middle;
        }
    }
    Ok(Some(Ratio(best)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;
    use vmferry_core::{GuestInfo, GuestUri};

    #[test]
    fn the_least_share_is_found() {
        let from = |threshold: f64| {
            least_share(Ratio(0.01), |share| {
                Ok::<_, Infallible>(share.0 >= threshold)
            })
            .unwrap()
        };
        let found = from(0.37).unwrap();
        assert!(found.0 >= 0.37 && found.0 < 0.3705, "{found}");
        assert_eq!(from(0.005), Some(Ratio(0.01)));
        assert_eq!(from(1.1), None);
    }

    #[test]
    fn the_smallest_limit_holds() {
        let throughput = Throughput {
            rate: ByteRate(1e8),
            sending: Some(ByteRate(2e8)),
            source_share: Some(Ratio(0.1)),
        };
        let guest = GuestInfo {
            uri: GuestUri::local("/run/a.qmp"),
            name: None,
            uuid: None,
            memory_bytes: None,
            ram_blocks: Vec::new(),
            vcpus: None,
            machine: None,
            accelerator: None,
        };
        let before = Assumptions::for_guest(&guest);
        let limited = throughput.limit(&before);
        assert_eq!(limited.rules.max_bandwidth, Some(ByteRate(1e8)));
        let send = limited.costs.send_rate.unwrap();
        assert!((send.0 / 2e8 - 4096.0 / 4104.0).abs() < 1e-9);
        assert!(
            (limited.costs.zero_scan_rate.0 / before.costs.zero_scan_rate.0 - 0.1).abs() < 1e-9
        );
        // Limits of others that are lower stay.
        let mut slow = before;
        slow.rules.max_bandwidth = Some(ByteRate(5e7));
        assert_eq!(
            throughput.limit(&slow).rules.max_bandwidth,
            Some(ByteRate(5e7))
        );
        let asked = |rate: Option<f64>| MoveLimits {
            max_bandwidth: rate.map(ByteRate),
            ..MoveLimits::default()
        };
        assert_eq!(throughput.limit_plan(&asked(Some(5e8))), asked(Some(1e8)));
        assert_eq!(throughput.limit_plan(&asked(Some(5e7))), asked(Some(5e7)));
        assert_eq!(throughput.limit_plan(&asked(None)), asked(None));
    }
}
