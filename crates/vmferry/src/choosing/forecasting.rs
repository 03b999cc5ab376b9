//! Forecasts every guest, at the rate that is set for it.

use std::time::Duration;

use vmferry_core::ByteRate;
use vmferry_core::plan::MoveLimits;
use vmferry_precopy::tuning::AdaptiveRate;

use super::ChooseOptions;
use super::berths::Harbour;
use super::candidate::Candidate;
use crate::Error;
use crate::earlier::Earlier;
use crate::energy::{HostNames, MeteredHosts, energy_forecast};
use crate::link::RouteEnd;
use crate::models::Fitted;
use crate::predict::assumptions;

/// How long a round is taken to be, whose dirty rate sets the rate.
const ROUND: Duration = Duration::from_secs(1);

/// Forecasts every guest that has a place to go to.
///
/// # Errors
/// Where the model itself is at fault; what the first guest lacked, where all of
/// them lacked something to be forecast.
pub(super) async fn all(
    guests: &mut [Candidate],
    harbours: &[Harbour],
    options: &ChooseOptions,
) -> Result<(), Error> {
    let mut first = None;
    for guest in guests.iter_mut() {
        if let Some(error) = one(guest, harbours, options).await? {
            first.get_or_insert(error);
        }
    }
    match first {
        Some(error) if guests.iter().all(|guest| guest.forecast.is_none()) => Err(error),
        _ => Ok(()),
    }
}

/// Forecasts one guest for the place that it has now; returns what it lacks to be
/// forecast, which keeps it from moving.
///
/// # Errors
/// Where the model itself is at fault.
pub(super) async fn one(
    guest: &mut Candidate,
    harbours: &[Harbour],
    options: &ChooseOptions,
) -> Result<Option<Error>, Error> {
    guest.forecast = None;
    guest.energy = None;
    match forecast_one(guest, harbours, options).await {
        Ok(()) => Ok(None),
        Err(error @ (Error::Usage(_) | Error::Internal(_))) => Err(error),
        Err(error) => {
            guest.lack.get_or_insert_with(|| error.to_string());
            Ok(Some(error))
        }
    }
}

async fn forecast_one(
    guest: &mut Candidate,
    harbours: &[Harbour],
    options: &ChooseOptions,
) -> Result<(), Error> {
    let (Some(berth), Some(observation)) = (&guest.berth, &guest.observation) else {
        return Ok(());
    };
    let harbour = &harbours[berth.host];
    let waiting = harbour
        .waiting
        .iter()
        .find(|waiting| berth.monitors.first() == Some(&waiting.info.uri));
    let (Some(waiting), Some(link)) = (waiting, &harbour.link) else {
        return Ok(());
    };
    guest.max_bandwidth = options
        .rate
        .map(|rate| courteous(&rate, observation.dirty_curve.rate_over(ROUND)))
        .or(options.limits.max_bandwidth);
    let limits = MoveLimits {
        max_bandwidth: guest.max_bandwidth,
        ..options.limits
    };
    let (source, info) = (&guest.seen.monitor, &guest.seen.info);
    let end = RouteEnd {
        destination: &waiting.monitor,
        via: &harbour.via,
    };
    let earlier = Earlier::of(info, Some(end.route_from(source)), &options.model).await;
    let assumptions = assumptions(source, info, &earlier).await?;
    let model = Fitted::new(&options.model, &earlier, info)?;
    let made = model
        .forecast(&assumptions, observation, link, &limits)
        .await?;
    let hosts = HostNames::of(&end.route_from(source));
    // The energy of one end alone cannot be compared with that of both.
    guest.energy = energy_forecast(&hosts, &made)
        .await
        .filter(|energy| energy.hosts == MeteredHosts::Both);
    guest.forecast = Some(made);
    Ok(())
}

/// R = D + delta within a least and a most (`liu2011` section 4.3), for the whole
/// move by what was dirtied within a second.
fn courteous(rate: &AdaptiveRate, dirty: ByteRate) -> ByteRate {
    let wanted = dirty.0 + rate.delta.0;
    ByteRate(wanted.min(rate.most.0).max(rate.least.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_follows_the_guest_within_its_bounds() {
        for (dirty, rate) in [(0.0, 400.0), (450.0, 550.0), (5000.0, 800.0)] {
            let dirty = ByteRate::from_mbit_per_s(dirty);
            let set = courteous(&AdaptiveRate::liu2011(), dirty).mbit_per_s();
            assert!((set - rate).abs() < 1e-6, "{dirty}: {set}");
        }
    }
}
