//! One interface over the rule sets.

use std::fmt;
use std::time::Duration;

use vmferry_core::ByteRate;

use crate::dirt::{AggregateDirt, Dirt};
use crate::host_costs::HostCosts;
use crate::qemu::{self, Start};
use crate::replay::Replay;
use crate::tuning::Untuned;
use crate::{textbook, xen, xen_legacy};

/// A hypervisor's pre-copy, with its parameters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RuleSet {
    /// QEMU 8.2 to 10.
    Qemu(qemu::Rules),
    /// Xen 4.6 and later.
    Xen(xen::Rules),
    /// Xen 3, of the papers.
    XenLegacy(xen_legacy::Rules),
    /// Send everything, then look.
    Textbook(textbook::Rules),
}

impl RuleSet {
    /// Each rule set as it is by default.
    pub fn all() -> [Self; 4] {
        [
            Self::Qemu(qemu::Rules::default()),
            Self::Xen(xen::Rules::default()),
            Self::XenLegacy(xen_legacy::Rules::default()),
            Self::Textbook(textbook::Rules::default()),
        ]
    }

    /// Replays a migration from its command over a link that carries `rate`
    /// bytes of stream per second, until it ends or `deadline` has passed. The
    /// textbook knows no costs of hosts.
    pub fn replay<D: Dirt>(
        &self,
        dirt: &D,
        costs: &HostCosts,
        rate: ByteRate,
        deadline: Duration,
    ) -> Replay {
        match self {
            Self::Qemu(rules) => qemu::replay(dirt, rules, costs, rate, &Start::Command, deadline),
            Self::XenLegacy(rules) => {
                xen_legacy::replay(dirt, rules, costs, rate, &mut Untuned, deadline)
            }
            Self::Xen(_) | Self::Textbook(_) => self.replay_amount(dirt, costs, rate, deadline),
        }
    }

    /// The same where nothing is known but how much is written: closed forms
    /// that take microseconds whatever the size of the guest.
    pub fn replay_amount<D: AggregateDirt>(
        &self,
        dirt: &D,
        costs: &HostCosts,
        rate: ByteRate,
        deadline: Duration,
    ) -> Replay {
        match self {
            Self::Qemu(rules) => qemu::replay_amount(dirt, rules, costs, rate, deadline),
            Self::Xen(rules) => xen::replay(dirt, rules, costs, rate, &mut Untuned, deadline),
            Self::XenLegacy(rules) => {
                xen_legacy::replay_amount(dirt, rules, costs, rate, &mut Untuned, deadline)
            }
            Self::Textbook(rules) => textbook::replay(dirt, rules, rate, deadline),
        }
    }
}

/// `qemu`, `xen`, `xen-legacy`, `textbook`.
impl fmt::Display for RuleSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Qemu(_) => "qemu",
            Self::Xen(_) => "xen",
            Self::XenLegacy(_) => "xen-legacy",
            Self::Textbook(_) => "textbook",
        })
    }
}
