//! The profile of a host pair: laws for every profiling guest.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vmferry_core::{ByteRate, Ratio};

use super::evaluation::Evaluation;
use super::fit::LawFit;
use super::point::{CapPoint, Caps, Intensive};
use super::surface::Surface;

/// Laws of one end that is capped while the other is not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Sweep {
    /// Migration time, s.
    pub time: LawFit,
    /// How the law of time, trained on five caps, forecasts the others; `None`
    /// with too few caps.
    pub evaluation: Option<Evaluation>,
    /// Caps under which the move did not converge in time.
    pub not_converged: Vec<Ratio>,
}

/// Everything about one profiling guest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GuestProfile {
    /// What it uses.
    pub guest: Intensive,
    /// How intensively, 0..1.
    pub intensity: Ratio,
    /// Caps at the source.
    pub source: Option<Sweep>,
    /// Caps at the destination.
    pub destination: Option<Sweep>,
    /// Rate of the stream under any caps.
    pub rate: Surface,
    /// CPU that sending and loading a byte takes, s, each from the migrations
    /// where that end's cap was what limited; `None` where none was.
    pub cpu_s_per_byte: (Option<f64>, Option<f64>),
}

/// The profile of a host pair.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CpuProfile {
    /// One a guest and intensity.
    pub guests: Vec<GuestProfile>,
}

impl CpuProfile {
    /// Fits a profile to what was measured. Guests without enough points for
    /// any law (three distinct caps at one end) are left out.
    pub fn fit(points: &[CapPoint]) -> Self {
        let mut kinds: Vec<(Intensive, Ratio)> = Vec::new();
        for point in points {
            if !kinds.contains(&(point.guest, point.intensity)) {
                kinds.push((point.guest, point.intensity));
            }
        }
        let guests = kinds.into_iter().filter_map(|(guest, intensity)| {
            let of = |p: &&CapPoint| p.guest == guest && p.intensity == intensity;
            let points: Vec<&CapPoint> = points.iter().filter(of).collect();
            GuestProfile::fit(guest, intensity, &points)
        });
        Self {
            guests: guests.collect(),
        }
    }

    /// The profile whose guest uses as much as a guest of which `use_of` tells
    /// how much of each resource it uses, 0..1: the least intensive profile of
    /// the resource it uses most that is at least as intensive; the fully
    /// intensive one, an upper bound of real guests (`dom0cpu` section 4D),
    /// where nothing is known. Returns whether it is a bound only.
    pub fn for_use(&self, use_of: &[(Intensive, Ratio)]) -> Option<(&GuestProfile, bool)> {
        let known = |kind: &Intensive| self.guests.iter().any(|one| one.guest == *kind);
        let busiest = use_of
            .iter()
            .filter(|(kind, _)| known(kind))
            .max_by(|a, b| a.1.0.total_cmp(&b.1.0));
        let Some((kind, used)) = busiest else {
            return self.slowest().map(|one| (one, true));
        };
        let fits = |one: &&GuestProfile| one.guest == *kind && one.intensity.0 >= used.0 - 0.05;
        let enough = self.guests.iter().filter(fits);
        let least = enough.min_by(|a, b| a.intensity.0.total_cmp(&b.intensity.0));
        let most = || {
            let same = self.guests.iter().filter(|one| one.guest == *kind);
            same.max_by(|a, b| a.intensity.0.total_cmp(&b.intensity.0))
        };
        let one = least.or_else(most)?;
        Some((one, one.intensity.0 > used.0 + 0.25))
    }

    /// The profile with the slowest stream without caps: an upper bound of time.
    pub fn slowest(&self) -> Option<&GuestProfile> {
        let open = |one: &GuestProfile| one.rate.uncapped().map_or(f64::INFINITY, |rate| rate.0);
        self.guests
            .iter()
            .min_by(|a, b| open(a).total_cmp(&open(b)))
    }
}

impl GuestProfile {
    fn fit(guest: Intensive, intensity: Ratio, points: &[&CapPoint]) -> Option<Self> {
        let source = at_end(points, |caps| (caps.source, caps.destination));
        let destination = at_end(points, |caps| (caps.destination, caps.source));
        let rates = |sweep: &[&CapPoint], cap: fn(Caps) -> Option<Ratio>| {
            let rate =
                |p: &&CapPoint| Some((cap(p.caps).unwrap_or(Ratio(1.0)), p.stream_rate()?.0));
            LawFit::chosen(&sweep.iter().filter_map(rate).collect::<Vec<_>>())
        };
        let pairs: Vec<(Caps, ByteRate)> = points
            .iter()
            .filter(|p| p.caps.source.is_some() && p.caps.destination.is_some())
            .filter_map(|p| Some((p.caps, p.stream_rate()?)))
            .collect();
        let rate = Surface::of(
            rates(&source, |caps| caps.source),
            rates(&destination, |caps| caps.destination),
            &pairs,
        );
        // Without a law at either end there is nothing to forecast by.
        rate.uncapped()?;
        Some(Self {
            guest,
            intensity,
            cpu_s_per_byte: (
                cpu_per_byte(&source, |p| Some((p.caps.source?, p.source_use?))),
                cpu_per_byte(&destination, |p| {
                    Some((p.caps.destination?, p.destination_use?))
                }),
            ),
            source: sweep(&source, |caps| caps.source),
            destination: sweep(&destination, |caps| caps.destination),
            rate,
        })
    }

    /// The stream's rate limit under caps: what both hosts manage.
    pub fn rate_under(&self, caps: Caps) -> Option<ByteRate> {
        self.rate.rate(caps)
    }

    /// The cap at the source whose rate is that of a bandwidth cap; `None` where
    /// no cap is as fast, or the source was not profiled ("we can infer the
    /// appropriate network bandwidth cap", `dom0cpu` section 5; the other way
    /// round it is [`Self::rate_under`]).
    pub fn source_cap_for(&self, rate: ByteRate) -> Option<Ratio> {
        self.rate.source.as_ref()?.law.least_share(rate.0)
    }

    /// The same at the destination.
    pub fn destination_cap_for(&self, rate: ByteRate) -> Option<Ratio> {
        self.rate.destination.as_ref()?.law.least_share(rate.0)
    }
}

/// Points where the other end is uncapped.
fn at_end<'a>(
    points: &[&'a CapPoint],
    ends: fn(Caps) -> (Option<Ratio>, Option<Ratio>),
) -> Vec<&'a CapPoint> {
    let other_open = |p: &&&CapPoint| ends(p.caps).1.is_none();
    points.iter().filter(other_open).copied().collect()
}

fn sweep(points: &[&CapPoint], cap: fn(Caps) -> Option<Ratio>) -> Option<Sweep> {
    let share = |point: &CapPoint| cap(point.caps).unwrap_or(Ratio(1.0));
    let times: Vec<(Ratio, f64)> = points
        .iter()
        .filter_map(|p| Some((share(p), p.total_time_ms?.duration().as_secs_f64())))
        .collect();
    Some(Sweep {
        time: LawFit::chosen(&times)?,
        evaluation: Evaluation::of(&times),
        not_converged: points
            .iter()
            .filter(|p| p.total_time_ms.is_none())
            .map(|p| share(p))
            .collect(),
    })
}

/// Median of CPU time over bytes, from the points where the threads used most of
/// what the cap allows.
fn cpu_per_byte(
    points: &[&CapPoint],
    of: impl Fn(&CapPoint) -> Option<(Ratio, Ratio)>,
) -> Option<f64> {
    /// Below this share of its cap a thread waited for something else.
    const LIMITED: f64 = 0.8;
    let mut all: Vec<f64> = points
        .iter()
        .filter_map(|point| {
            let (cap, used) = of(point)?;
            let rate = point.stream_rate()?;
            (used.0 >= cap.0 * LIMITED).then(|| used.0 / rate.0)
        })
        .collect();
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use vmferry_core::{Bytes, Millis};

    /// 1 GiB at 400 MB/s without caps; 10 % of a CPU sends 200 MB/s and loads 40.
    fn point(guest: Intensive, intensity: f64, caps: Caps) -> CapPoint {
        let share = |cap: Option<Ratio>| cap.map_or(1.0, |cap| cap.0);
        let slow = if guest == Intensive::MemoryWrite {
            0.5
        } else {
            1.0
        };
        let rate = (share(caps.source) * 2e9).min(share(caps.destination) * 4e8) * slow;
        let bytes = 1_073_741_824.0;
        CapPoint {
            guest,
            intensity: Ratio(intensity),
            caps,
            capped_after_ms: None,
            total_time_ms: Some(Millis(bytes / rate * 1e3)),
            downtime_ms: None,
            transferred_bytes: Some(Bytes(bytes as u64)),
            source_use: Some(Ratio(rate / 2e9)),
            destination_use: Some(Ratio(rate / 4e8)),
        }
    }

    fn points() -> Vec<CapPoint> {
        let mut all = Vec::new();
        for (guest, intensity) in [
            (Intensive::Cpu, 1.0),
            (Intensive::Cpu, 0.5),
            (Intensive::MemoryWrite, 1.0),
        ] {
            all.push(point(guest, intensity, Caps::default()));
            for n in 1..=10 {
                let cap = Ratio(f64::from(n) / 10.0);
                all.push(point(guest, intensity, Caps::at_source(Ratio(cap.0 / 5.0))));
                all.push(point(guest, intensity, Caps::at_destination(cap)));
            }
            all.push(point(
                guest,
                intensity,
                Caps::at_both(Ratio(0.05), Ratio(0.2)),
            ));
        }
        all
    }

    #[test]
    fn every_guest_has_its_laws() {
        let profile = CpuProfile::fit(&points());
        assert_eq!(profile.guests.len(), 3);
        let cpu = &profile.guests[0];
        let rate = cpu.rate_under(Caps::at_source(Ratio(0.1))).unwrap();
        assert!((rate.0 / 2e8 - 1.0).abs() < 0.02, "{rate}");
        let both = cpu
            .rate_under(Caps::at_both(Ratio(0.05), Ratio(0.2)))
            .unwrap();
        assert!((both.0 / 8e7 - 1.0).abs() < 0.05, "{both}");
        let (sending, loading) = cpu.cpu_s_per_byte;
        assert!((sending.unwrap() * 2e9 - 1.0).abs() < 0.05);
        assert!((loading.unwrap() * 4e8 - 1.0).abs() < 0.05);
        // A bandwidth cap, and the CPU caps that do the same.
        let source = cpu.source_cap_for(ByteRate(1e8)).unwrap();
        let destination = cpu.destination_cap_for(ByteRate(1e8)).unwrap();
        assert!((source.0 - 0.05).abs() < 0.002, "{source}");
        assert!((destination.0 - 0.25).abs() < 0.01, "{destination}");
        assert_eq!(cpu.source_cap_for(ByteRate(1e10)), None);
        let sweep = cpu.destination.as_ref().unwrap();
        assert!(sweep.evaluation.as_ref().unwrap().median_error < 0.05);
    }

    #[test]
    fn a_guest_gets_the_profile_of_what_it_uses() {
        let profile = CpuProfile::fit(&points());
        let chosen = |use_of: &[(Intensive, Ratio)]| {
            let (one, bound) = profile.for_use(use_of).unwrap();
            (one.guest, one.intensity.0, bound)
        };
        let cpu = |share: f64| [(Intensive::Cpu, Ratio(share))];
        assert_eq!(chosen(&cpu(0.4)), (Intensive::Cpu, 0.5, false));
        assert_eq!(chosen(&cpu(0.9)), (Intensive::Cpu, 1.0, false));
        assert_eq!(chosen(&cpu(0.6)), (Intensive::Cpu, 1.0, true));
        let writer = [
            (Intensive::Cpu, Ratio(0.2)),
            (Intensive::MemoryWrite, Ratio(0.3)),
        ];
        assert_eq!(chosen(&writer), (Intensive::MemoryWrite, 1.0, true));
        // Nothing known, or nothing profiled: the slowest, as a bound.
        assert_eq!(chosen(&[]), (Intensive::MemoryWrite, 1.0, true));
        assert_eq!(
            chosen(&[(Intensive::Disk, Ratio(1.0))]),
            (Intensive::MemoryWrite, 1.0, true)
        );
        assert_eq!(CpuProfile::fit(&[]).for_use(&[]), None);
    }

    #[test]
    fn moves_that_never_end_are_told() {
        let mut points = points();
        for point in &mut points {
            if point.caps.destination.is_some_and(|cap| cap.0 < 0.15) {
                point.total_time_ms = None;
            }
        }
        let profile = CpuProfile::fit(&points);
        let sweep = profile.guests[0].destination.as_ref().unwrap();
        assert_eq!(sweep.not_converged, [Ratio(0.1)]);
    }
}
