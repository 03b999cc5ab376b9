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
    /// Stream that leaves the source, where it is capped: holds to the end, also
    /// while the guest is stopped.
    pub sending: Option<ByteRate>,
    /// Stream that both ends manage, where the destination is capped: its cap
    /// is taken off when the guest stops, and so does this limit.
    pub loading: Option<ByteRate>,
    /// Share of a CPU that the source's threads have: finding pages that are
    /// zero takes CPU too.
    pub source_share: Option<Ratio>,
}

impl Throughput {
    /// What a profile says of caps; `None` for a cap at an end that was not
    /// profiled.
    pub fn under(profile: &GuestProfile, caps: Caps) -> Option<Self> {
        let alone = |caps: Caps| profile.rate_under(caps);
        let sending = match caps.source {
            Some(share) => Some(alone(Caps::at_source(share))?),
            None => None,
        };
        let loading = match caps.destination {
            Some(_) => Some(alone(caps)?),
            None => None,
        };
        Some(Self {
            sending,
            loading,
            source_share: caps.source,
        })
    }

    /// The rate of the stream under a link that carries `link`: the smallest.
    pub fn rate(&self, link: ByteRate) -> ByteRate {
        let limits = [self.sending, self.loading].into_iter().flatten();
        ByteRate(limits.map(|limit| limit.0).fold(link.0, f64::min))
    }

    /// The same assumptions with these limits in them: replays then send no
    /// faster, QEMU's own measure of its bandwidth (and with it the moment of the
    /// switchover) included. Time is not multiplied afterwards: a guest that
    /// writes gets more passes, or does not converge.
    #[must_use]
    pub fn limit(&self, assumptions: &Assumptions) -> Assumptions {
        let mut limited = *assumptions;
        let slower = |known: Option<ByteRate>, limit: ByteRate| {
            Some(known.map_or(limit, |known| if known < limit { known } else { limit }))
        };
        if let Some(sending) = self.sending {
            // The cost of a page, of which the stream also carries the header.
            let memory = sending * (PAGE_SIZE / PAGE_ON_STREAM);
            limited.costs.send_rate = slower(limited.costs.send_rate, memory);
        }
        if let Some(share) = self.source_share {
            limited.costs.zero_scan_rate = limited.costs.zero_scan_rate * share;
        }
        if let Some(loading) = self.loading {
            // Held while the guest runs, lifted at the switchover: as QEMU's own limit is.
            limited.rules.max_bandwidth = slower(limited.rules.max_bandwidth, loading);
        }
        limited
    }

    /// The operator's limits with this one in them: a bandwidth limit of the
    /// operator's stands above what QEMU is set to, but not above what the
    /// destination manages.
    #[must_use]
    pub fn limit_plan(&self, limits: &MoveLimits) -> MoveLimits {
        let bound = |asked: ByteRate| self.loading.filter(|rate| *rate < asked).unwrap_or(asked);
        MoveLimits {
            max_bandwidth: limits.max_bandwidth.map(bound),
            ..*limits
        }
    }
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
            sending: Some(ByteRate(2e8)),
            loading: Some(ByteRate(1e8)),
            source_share: Some(Ratio(0.1)),
        };
        assert_eq!(throughput.rate(ByteRate(5e7)), ByteRate(5e7));
        assert_eq!(throughput.rate(ByteRate(5e8)), ByteRate(1e8));
    }
}
