//! Who steers a move of the bench, by the name it has on the command line and in tables.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use vmferry::core::{Millis, Preset, Promise, Ratio, Throttle};

/// Who steers, with what it is set to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Steering {
    pub(crate) throttle: Throttle,
    /// C of `jin2011`.
    pub(crate) expectant: Option<Ratio>,
    pub(crate) policy: Preset,
}

/// Whoever plans may hold a guest to as little as auto-converge does, 1 % of its CPU.
const USUAL: Preset = Preset::Urgent;

impl Steering {
    pub(crate) const OFF: Self = Self::of(Throttle::Off);
    pub(crate) const QEMU: Self = Self::of(Throttle::Qemu);
    pub(crate) const CURVE: Self = Self::of(Throttle::Curve);
    pub(crate) const DEADLINE: Self = Self::of(Throttle::Deadline);

    const fn of(throttle: Throttle) -> Self {
        Self {
            throttle,
            expectant: None,
            policy: USUAL,
        }
    }

    pub(crate) const fn jin(expectant: f64) -> Self {
        Self {
            expectant: Some(Ratio(expectant)),
            ..Self::of(Throttle::Jin)
        }
    }

    /// Those that every guest is moved by, in the order of tables.
    pub(crate) fn all() -> Vec<Self> {
        let mut all = vec![Self::OFF, Self::QEMU];
        all.extend([0.6, 0.7, 0.8, 0.9].map(Self::jin));
        all.push(Self::CURVE);
        all
    }

    /// Whether it plans on what was observed of the guest, and minds the deadline.
    pub(crate) const fn plans(self) -> bool {
        self.throttle.plans()
    }

    /// Whether the guest is observed before: to plan, or because a cap of its CPU is a share of
    /// what it uses.
    pub(crate) const fn observes(self) -> bool {
        self.plans() || self.throttle.caps_cpu()
    }

    /// What a move under it is promised. Who does not plan knows no deadline: the bench stops the
    /// guest itself when the time is over.
    pub(crate) fn promise(self, max_downtime: Millis, deadline: Millis) -> Promise {
        Promise {
            max_downtime_ms: Some(max_downtime),
            deadline_ms: self.plans().then_some(deadline),
            throttle: self.throttle,
            expectant_ratio: self.expectant,
            policy: self.policy,
            ..Promise::default()
        }
    }
}

impl fmt::Display for Steering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut name = self.throttle.to_string();
        if let Some(expectant) = self.expectant {
            name += &format!("-{}", expectant.0);
        }
        if self.policy != USUAL {
            name += &format!("-{}", self.policy);
        }
        f.pad(&name)
    }
}

impl FromStr for Steering {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let unknown = || {
            format!(
                "unknown controller `{name}`; there are off, qemu, jin-C with C of 0..1, curve and \
                 deadline, the last two also with -gentle or -balanced"
            )
        };
        let (word, more) = match name.split_once('-') {
            Some((word, more)) => (word, Some(more)),
            None => (name, None),
        };
        let throttle: Throttle = word.parse().map_err(|_| unknown())?;
        match (throttle, more) {
            (Throttle::Off | Throttle::Qemu, None) => Ok(Self::of(throttle)),
            (Throttle::Jin, Some(expectant)) => match expectant.parse() {
                Ok(c) if (0.0..=1.0).contains(&c) => Ok(Self::jin(c)),
                _ => Err(unknown()),
            },
            (Throttle::Curve | Throttle::Deadline, None) => Ok(Self::of(throttle)),
            (Throttle::Curve | Throttle::Deadline, Some(policy)) => Ok(Self {
                policy: policy.parse().map_err(|_| unknown())?,
                ..Self::of(throttle)
            }),
            _ => Err(unknown()),
        }
    }
}

impl TryFrom<String> for Steering {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        name.parse()
    }
}

impl From<Steering> for String {
    fn from(steering: Steering) -> Self {
        steering.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        let mut all = Steering::all();
        all.push(Steering::DEADLINE);
        all.push(Steering {
            policy: Preset::Balanced,
            ..Steering::CURVE
        });
        let names: Vec<String> = all.iter().map(Steering::to_string).collect();
        assert_eq!(
            names.join(" "),
            "off qemu jin-0.6 jin-0.7 jin-0.8 jin-0.9 curve deadline curve-balanced"
        );
        for (name, by) in names.iter().zip(all) {
            assert_eq!(name.parse(), Ok(by));
        }
        for wrong in ["", "jin", "jin-2", "off-gentle", "curve-fast", "courtesy"] {
            assert!(wrong.parse::<Steering>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_who_plans_is_told_the_deadline() {
        let told = |by: Steering| by.promise(Millis(300.0), Millis(6e4)).deadline_ms;
        assert_eq!(told(Steering::jin(0.6)), None);
        assert_eq!(told(Steering::CURVE), Some(Millis(6e4)));
    }
}
