//! Where each guest may go, and who of the chosen gets which waiting hypervisor.

use std::collections::{HashSet, VecDeque};

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
/// move; a guest that would be refused everywhere has no place.
pub(super) async fn find(guests: &mut [Candidate], harbours: &[Harbour], limits: &MoveLimits) {
    for guest in guests {
        guest.elsewhere = places(&guest.seen, harbours);
        if guest.elsewhere.is_empty() {
            guest.lack = Some(
                "no destination waits for it; start one there with its -name or -uuid, memory and devices, and -incoming defer"
                    .to_owned(),
            );
            continue;
        }
        guest.lack = turn(guest, harbours, limits).await.err();
    }
}

/// The hosts that take a guest, the one with the fastest link first.
fn places(guest: &Seen, harbours: &[Harbour]) -> VecDeque<Berth> {
    let mut places: Vec<(ByteRate, Berth)> = harbours
        .iter()
        .enumerate()
        .filter_map(|(host, harbour)| {
            let waiting = harbour.for_guest(guest);
            let rate = harbour.link.as_ref()?.stream_rate();
            let monitors: Vec<_> = waiting.iter().map(|w| w.info.uri.clone()).collect();
            (!monitors.is_empty()).then_some((rate, Berth { host, monitors }))
        })
        .collect();
    places.sort_by(|(a, _), (b, _)| b.0.total_cmp(&a.0));
    places.into_iter().map(|(_, berth)| berth).collect()
}

/// Turns a guest to the best of the hosts that are left to it; says why that is
/// none. It keeps the place that it had then.
pub(super) async fn turn(
    guest: &mut Candidate,
    harbours: &[Harbour],
    limits: &MoveLimits,
) -> Result<(), String> {
    let mut refused = None;
    while let Some(berth) = guest.elsewhere.pop_front() {
        let harbour = &harbours[berth.host];
        let first = berth.monitors.first();
        let waiting = harbour.waiting.iter().find(|w| first == Some(&w.info.uri));
        let Some(waiting) = waiting else {
            continue;
        };
        let ends = Ends {
            source: guest.seen.monitor.clone(),
            destination: waiting.monitor.clone(),
        };
        let plan = plan(guest, waiting.info.uri.clone(), harbour, limits);
        match CheckedPlan::check(plan, ends).await {
            Ok(_) => {
                guest.berth = Some(berth);
                return Ok(());
            }
            Err(error) => {
                refused.get_or_insert_with(|| refusal(&error));
                // What the move would cost there is shown all the same.
                guest.berth.get_or_insert(berth);
            }
        }
    }
    Err(refused.unwrap_or_else(|| "no other destination takes it".to_owned()))
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
    served(chosen, |place| guests[place].berth.as_ref())
}

fn served<'a>(
    chosen: &[usize],
    berth: impl Fn(usize) -> Option<&'a Berth>,
) -> Result<Vec<GuestUri>, usize> {
    let mut taken: HashSet<&GuestUri> = HashSet::new();
    let mut assigned = Vec::with_capacity(chosen.len());
    for place in chosen {
        let wanted = berth(*place).ok_or(*place)?;
        let mut free = wanted.monitors.iter().filter(|m| !taken.contains(m));
        let free = free.next().ok_or(*place)?;
        taken.insert(free);
        assigned.push(free.clone());
    }
    Ok(assigned)
}

/// Who of the chosen is to look for a place on another host, so that `late` gets
/// one: itself, else the dearest of those who want the same ones and may go
/// elsewhere. `None` where nobody may.
pub(super) fn who_gives_way(chosen: &[usize], guests: &[Candidate], late: usize) -> Option<usize> {
    giving_way(
        chosen,
        late,
        |place| guests[place].berth.as_ref(),
        |place| !guests[place].elsewhere.is_empty(),
    )
}

fn giving_way<'a>(
    chosen: &[usize],
    late: usize,
    berth: impl Fn(usize) -> Option<&'a Berth>,
    may_turn: impl Fn(usize) -> bool,
) -> Option<usize> {
    let wanted = berth(late)?;
    let in_its_way = |place: &usize| {
        let mut monitors = berth(*place).into_iter().flat_map(|other| &other.monitors);
        monitors.any(|monitor| wanted.monitors.contains(monitor))
    };
    let others = chosen.iter().rev().copied().filter(in_its_way);
    std::iter::once(late)
        .chain(others)
        .find(|place| may_turn(*place))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn berth(host: usize, monitors: &[&str]) -> Berth {
        let uri = |name: &&str| GuestUri::local(format!("/run/{name}"));
        Berth {
            host,
            monitors: monitors.iter().map(uri).collect(),
        }
    }

    #[test]
    fn everyone_gets_a_hypervisor_or_is_named() {
        let berths = [
            berth(0, &["a", "b"]),
            berth(0, &["a", "b"]),
            berth(0, &["b"]),
        ];
        let of = |place: usize| berths.get(place);
        let paths =
            |found: Vec<GuestUri>| found.iter().map(ToString::to_string).collect::<Vec<_>>();
        let found = served(&[1, 0], of).unwrap();
        assert_eq!(paths(found), ["qmp:/run/a", "qmp:/run/b"]);
        assert_eq!(served(&[1, 0, 2], of), Err(2));
        // Who has no place at all.
        assert_eq!(served(&[7], of), Err(7));
    }

    #[test]
    fn who_comes_late_looks_elsewhere_before_others_do() {
        let berths = [berth(0, &["a"]), berth(0, &["a"]), berth(1, &["c"])];
        let of = |place: usize| berths.get(place);
        let chosen = [2, 0, 1];
        let gives_way = |free: &[usize]| giving_way(&chosen, 1, of, |place| free.contains(&place));
        assert_eq!(gives_way(&[0, 1, 2]), Some(1));
        assert_eq!(gives_way(&[0, 2]), Some(0));
        // Another host's guest is in nobody's way.
        assert_eq!(gives_way(&[2]), None);
    }
}
