//! What is profiled: which guests, under which caps.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vmferry_core::{ByteRate, Millis, Ratio};
use vmferry_migrate::migration_threads::LEAST_CAP;
use vmferry_model::cpu_profile::{Caps, Intensive};

use crate::Error;

/// Which guests are migrated, how often, under which caps. The caps of a guest
/// are every source cap with the destination uncapped, every destination cap
/// with the source uncapped, every pair of the caps at both ends, and none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProfileSettings {
    /// What the guests use intensively.
    pub guests: Vec<Intensive>,
    /// How intensively, above 0, at most 1. The first is profiled under every
    /// cap; the others under none, and every third cap at either end.
    pub intensities: Vec<Ratio>,
    /// Caps at the source.
    pub source_caps: Vec<Ratio>,
    /// Caps at the destination.
    pub destination_caps: Vec<Ratio>,
    /// Caps of which each is paired with each at the other end, for the first
    /// guest only.
    pub both_caps: Vec<Ratio>,
    /// So many quiet guests are moved at once, uncapped, to check estimates; 1 is
    /// needed for them.
    pub at_once: Vec<u32>,
    /// Migrations under the same caps, and as often at once.
    pub repeats: u32,
    /// A move that has not converged by then is given up, and counts as one that
    /// does not converge.
    pub limit_ms: Millis,
    /// Downtime limit of the moves.
    pub max_downtime_ms: Millis,
    /// Rate of the link; `None` leaves it unshaped, so that CPU is what limits.
    #[serde(rename = "link_rate_bytes_per_s")]
    pub link_rate: Option<ByteRate>,
}

impl Default for ProfileSettings {
    /// Five guests at full and half intensity, caps of 10..100 % at either end and below
    /// that at the source, where sending takes a fifth of the CPU that loading
    /// does; nine pairs; once each.
    fn default() -> Self {
        let percent = |caps: &[f64]| caps.iter().map(|cap| Ratio(cap / 100.0)).collect();
        let tenths: Vec<f64> = (1..=10).map(|n| f64::from(n) * 10.0).collect();
        let fine = [&[1.0, 2.0, 3.0, 5.0, 7.0], tenths.as_slice()].concat();
        Self {
            guests: Intensive::ALL.to_vec(),
            intensities: percent(&[100.0, 50.0]),
            source_caps: percent(&fine),
            destination_caps: percent(&tenths),
            both_caps: percent(&[3.0, 10.0, 30.0]),
            at_once: vec![1, 2, 3, 4],
            repeats: 1,
            limit_ms: Duration::from_secs(120).into(),
            max_downtime_ms: Millis(300.0),
            link_rate: None,
        }
    }
}

/// Of guests of less intensity every so many caps are profiled: whether a law
/// changes with intensity shows in a few moves (in `dom0cpu` section 4D it does
/// for writers of memory only).
const OF_OTHERS: usize = 3;
/// Two QEMUs of 1.25 GiB for each.
const MOST_AT_ONCE: u32 = 8;

/// One migration of a profile.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Task {
    pub(crate) guest: Intensive,
    pub(crate) intensity: Ratio,
    pub(crate) caps: Caps,
}

impl ProfileSettings {
    /// Says what cannot be profiled before anything is started.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let wrong = |what: String| Err(Error::Usage(what));
        if self.guests.is_empty() || self.intensities.is_empty() || self.repeats == 0 {
            return wrong("there is nothing to profile: name a guest and an intensity, and at least one repeat".into());
        }
        let shares = [
            ("an intensity of", &self.intensities),
            ("a source cap of", &self.source_caps),
            ("a destination cap of", &self.destination_caps),
            ("a cap at both ends of", &self.both_caps),
        ];
        for (what, values) in shares {
            for share in values {
                if !(share.0 > 0.0 && share.0 <= 1.0) {
                    return wrong(format!(
                        "{what} {share} makes no sense: more than 0 %, at most 100 %"
                    ));
                }
            }
        }
        for share in self
            .source_caps
            .iter()
            .chain(&self.destination_caps)
            .chain(&self.both_caps)
        {
            if *share < LEAST_CAP {
                return wrong(format!(
                    "a cap of {share} is below what the kernel's quotas can do: at least {}",
                    LEAST_CAP
                ));
            }
        }
        if let Some(number) = self
            .at_once
            .iter()
            .find(|n| !(1..=MOST_AT_ONCE).contains(*n))
        {
            return wrong(format!(
                "{number} guests at once cannot be moved; possible are 1 to {MOST_AT_ONCE}"
            ));
        }
        if self.source_caps.is_empty() && self.destination_caps.is_empty() {
            return wrong(
                "there is nothing to profile: name caps at the source or the destination".into(),
            );
        }
        Ok(())
    }

    /// The same with shares in millionths: those come back from files to the last
    /// digit, so that what was measured is found again.
    pub(crate) fn exact(&self) -> Self {
        let exact = |shares: &[Ratio]| {
            let in_millionths = |share: &Ratio| Ratio((share.0 * 1e6).round() / 1e6);
            shares.iter().map(in_millionths).collect()
        };
        Self {
            intensities: exact(&self.intensities),
            source_caps: exact(&self.source_caps),
            destination_caps: exact(&self.destination_caps),
            both_caps: exact(&self.both_caps),
            ..self.clone()
        }
    }

    /// Numbers of guests to move at once, repeats included.
    pub(crate) fn rounds(&self) -> Vec<u32> {
        (0..self.repeats)
            .flat_map(|_| self.at_once.iter().copied())
            .collect()
    }

    /// Every migration under caps, in the order in which they are made: what a profile
    /// needs most comes first.
    pub(crate) fn tasks(&self) -> Vec<Task> {
        let mut tasks = Vec::new();
        for _ in 0..self.repeats {
            for (nth, guest) in self.guests.iter().enumerate() {
                for (level, intensity) in self.intensities.iter().enumerate() {
                    let step = if level == 0 { 1 } else { OF_OTHERS };
                    let some = |caps: &[Ratio]| {
                        let last_of_each = caps.iter().skip(step - 1).step_by(step);
                        last_of_each.copied().collect::<Vec<_>>()
                    };
                    let mut caps = vec![Caps::default()];
                    caps.extend(some(&self.source_caps).into_iter().map(Caps::at_source));
                    caps.extend(
                        some(&self.destination_caps)
                            .into_iter()
                            .map(Caps::at_destination),
                    );
                    if nth == 0 && level == 0 {
                        caps.extend(self.both_caps.iter().flat_map(|source| {
                            let with = |destination: &Ratio| Caps::at_both(*source, *destination);
                            self.both_caps.iter().map(with)
                        }));
                    }
                    tasks.extend(caps.into_iter().map(|caps| Task {
                        guest: *guest,
                        intensity: *intensity,
                        caps,
                    }));
                }
            }
        }
        tasks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cap_of_every_guest_has_its_turn() {
        let settings = ProfileSettings::default();
        settings.check().unwrap();
        let tasks = settings.tasks();
        assert_eq!(tasks.len(), 5 * (26 + 9) + 9);
        let both = tasks
            .iter()
            .filter(|task| task.caps.source.is_some() && task.caps.destination.is_some());
        assert!(both.clone().all(|task| task.guest == Intensive::Cpu) && both.count() == 9);
        // Of half intensity: none, five of fifteen and three of ten.
        let half = |task: &&Task| task.intensity == Ratio(0.5) && task.guest == Intensive::Disk;
        let half: Vec<String> = tasks
            .iter()
            .filter(half)
            .map(|task| task.caps.to_string())
            .collect();
        insta::assert_snapshot!(half.join("\n"), @r"
        source uncapped, destination uncapped
        source 3 %, destination uncapped
        source 10 %, destination uncapped
        source 40 %, destination uncapped
        source 70 %, destination uncapped
        source 100 %, destination uncapped
        source uncapped, destination 30 %
        source uncapped, destination 60 %
        source uncapped, destination 90 %
        ");
        let twice = ProfileSettings {
            repeats: 2,
            ..settings
        };
        assert_eq!(twice.tasks().len(), 2 * tasks.len());
    }

    #[test]
    fn shares_come_back_from_files() {
        let caps = |n: i32| f64::from(n) / 7.0 / 100.0;
        let settings = ProfileSettings {
            source_caps: (7..=700).map(|n| Ratio(caps(n))).collect(),
            ..ProfileSettings::default()
        };
        let exact = settings.exact();
        let text = serde_json::to_string(&exact).unwrap();
        let back: ProfileSettings = serde_json::from_str(&text).unwrap();
        assert_eq!(back, exact);
        let off = settings.source_caps.iter().zip(&exact.source_caps);
        assert!(off.into_iter().all(|(a, b)| (a.0 - b.0).abs() < 1e-6));
        assert_eq!(
            ProfileSettings::default().exact(),
            ProfileSettings::default()
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let good = ProfileSettings::default();
        let bad = [
            ProfileSettings {
                guests: vec![],
                ..good.clone()
            },
            ProfileSettings {
                source_caps: vec![Ratio(1.2)],
                ..good.clone()
            },
            ProfileSettings {
                destination_caps: vec![Ratio(0.001)],
                ..good.clone()
            },
            ProfileSettings {
                intensities: vec![Ratio(0.0)],
                ..good.clone()
            },
            ProfileSettings {
                source_caps: vec![],
                destination_caps: vec![],
                ..good.clone()
            },
        ];
        let said: Vec<String> = bad
            .iter()
            .map(|settings| settings.check().unwrap_err().to_string())
            .collect();
        insta::assert_snapshot!(said.join("\n"), @r"
        there is nothing to profile: name a guest and an intensity, and at least one repeat
        a source cap of 120.0 % makes no sense: more than 0 %, at most 100 %
        a cap of 0.1 % is below what the kernel's quotas can do: at least 1.0 %
        an intensity of 0.0 % makes no sense: more than 0 %, at most 100 %
        there is nothing to profile: name caps at the source or the destination
        ");
    }
}
