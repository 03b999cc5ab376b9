//! Where each guest may go, and who of the chosen gets which waiting hypervisor.

use std::collections::HashSet;

use vmferry_core::plan::MoveLimits;
use vmferry_core::{ByteRate, GuestUri, LinkSpeed, Plan, StreamUri};
use vmferry_migrate::{CheckedPlan, Ends, MigrateError};

use super::candidate::{Berth, Candidate};
use super::found::Seen;
use super::host_uri::HostUri;
use super::pairing::{Fit, fits};
use crate::Error;
use crate::link::{self, RouteEnd};

/// A host that guests may move to, with the hypervisors that wait there.
#[derive(Debug)]
pub(super) struct Harbour {
    pub(super) host: HostUri,
    pub(super) via: StreamUri,
    pub(super) waiting: Vec<Seen>,
    pub(super) link: Option<LinkSpeed>,
}

impl Harbour {
    /// The waiting hypervisors that take a guest, the best fit first.
    fn for_guest(&self, guest: &Seen) -> Vec<&Seen> {
        let mut fitting: Vec<(Fit, &Seen)> = self
            .waiting
            .iter()
            .filter_map(|waiting| Some((fits(&guest.info, &waiting.info)?, waiting)))
            .collect();
        fitting.sort_by_key(|(fit, _)| *fit);
        fitting.into_iter().map(|(_, waiting)| waiting).collect()
    }
}

/// Finds the rate of the link to every host that takes a guest: as given, known,
/// or measured, one link after another.
///
/// # Errors
/// Where a rate is neither known nor measurable.
pub(super) async fn measure_links(
    harbours: &mut [Harbour],
    guests: &[Candidate],
    given: Option<ByteRate>,
) -> Result<(), Error> {
    for harbour in harbours {
        let pair = guests.iter().find_map(|guest| {
            let waiting = harbour.for_guest(&guest.seen);
            Some((guest.seen.monitor.clone(), waiting.first()?.monitor.clone()))
        });
        if let Some((source, destination)) = pair {
            let end = RouteEnd {
                destination: &destination,
                via: &harbour.via,
            };
            harbour.link = Some(link::speed(given, &source, Some(end)).await?);
        }
    }
    Ok(())
}

/// Finds a place for every guest: of the hosts that take it the one with the
/// fastest link, the first of those alike. Both ends are checked as before a
/// move; a guest that would be refused then has no place.
pub(super) async fn find(guests: &mut [Candidate], harbours: &[Harbour], limits: &MoveLimits) {
    for guest in guests {
        let mut best: Option<(usize, ByteRate, Vec<&Seen>)> = None;
        for (host, harbour) in harbours.iter().enumerate() {
            let waiting = harbour.for_guest(&guest.seen);
            let rate = harbour.link.as_ref().map(LinkSpeed::stream_rate);
            let (Some(rate), false) = (rate, waiting.is_empty()) else {
                continue;
            };
            if best.as_ref().is_none_or(|(_, fastest, _)| rate > *fastest) {
                best = Some((host, rate, waiting));
            }
        }
        let Some((host, _, waiting)) = best else {
            guest.lack = Some(
                "no destination waits for it; start one there with its -name or -uuid, memory and devices, and -incoming defer"
                    .to_owned(),
            );
            continue;
        };
        guest.berth = Some(Berth {
            host,
            monitors: waiting.iter().map(|w| w.info.uri.clone()).collect(),
        });
        let ends = Ends {
            source: guest.seen.monitor.clone(),
            destination: waiting[0].monitor.clone(),
        };
        let plan = plan(guest, waiting[0].info.uri.clone(), &harbours[host], limits);
        if let Err(error) = CheckedPlan::check(plan, ends).await {
            guest.lack = Some(refusal(&error));
        }
    }
}

/// The failed checks, each with what to do.
fn refusal(error: &MigrateError) -> String {
    let MigrateError::Preflight(failure) = error else {
        return error.to_string();
    };
    let failed = failure.checks.iter().filter(|check| !check.passed);
    let failed: Vec<String> = failed
        .map(|check| format!("{}: {}", check.name, check.detail))
        .collect();
    failed.join("; ")
}

/// The move of a guest to a hypervisor.
pub(super) fn plan(
    guest: &Candidate,
    destination: GuestUri,
    harbour: &Harbour,
    limits: &MoveLimits,
) -> Plan {
    Plan {
        source: guest.seen.info.uri.clone(),
        destination,
        via: harbour.via.clone(),
        limits: MoveLimits {
            max_bandwidth: guest.max_bandwidth.or(limits.max_bandwidth),
            ..*limits
        },
        tls_dir: None,
        promise: None,
    }
}

/// A hypervisor of its own for each of the chosen, the first served first; or the
/// one for which none is left.
pub(super) fn assign(chosen: &[usize], guests: &[Candidate]) -> Result<Vec<GuestUri>, usize> {
    let mut taken: HashSet<&GuestUri> = HashSet::new();
    let mut assigned = Vec::with_capacity(chosen.len());
    for place in chosen {
        let berth = guests[*place].berth.as_ref().ok_or(*place)?;
        let free = berth
            .monitors
            .iter()
            .find(|monitor| !taken.contains(monitor));
        let free = free.ok_or(*place)?;
        taken.insert(free);
        assigned.push(free.clone());
    }
    Ok(assigned)
}
