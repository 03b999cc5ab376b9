//! Whose rules a replay follows, and what one draw of a move assumes.

use std::time::Duration;

use vmferry_core::{ByteRate, Bytes};
use vmferry_precopy::dirt::{AggregateDirt, Dirt, UnitDirt};
use vmferry_precopy::{HostCosts, PAGE_ON_STREAM, Replay, ZERO_PAGE_ON_STREAM, textbook};

use super::Case;
use crate::draws::Draws;

/// Draws of link and guest behind a forecast of a formula.
pub(crate) const DRAWS: u32 = 40;

/// Whose rules a replay follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RuleSet {
    /// QEMU's own loop.
    #[default]
    Qemu,
    /// Modern Xen.
    Xen,
    /// Xen 3, of the papers.
    XenLegacy,
    /// Send everything, then look.
    Textbook,
}

/// What one draw assumes of the link, the guest and the hosts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draw {
    /// What the link carries of the stream, bytes per second.
    pub(crate) link_rate: ByteRate,
    /// Dirt over what was observed.
    pub(crate) dirt: f64,
    costs: HostCosts,
}

impl Draw {
    /// Draw `number` of a case: the link's noise and what is known of link and
    /// guest vary, the hosts' costs are those in the middle.
    pub(crate) fn of(case: &Case<'_>, seed: u64, number: u32) -> Self {
        let mut draws = Draws::of_sample(seed, number);
        let assumed = &case.assumptions;
        let noise = 1.0 + case.link.relative_sd.0.max(0.0) * draws.normal();
        let rate = case.link.stream_rate().0 * noise.max(0.1);
        let rate = ByteRate(rate * assumed.link_rate.drawn(draws.normal()));
        let middle = |(least, most): (Duration, Duration)| (least + most) / 2;
        Self {
            link_rate: rate,
            dirt: assumed.dirt.drawn(draws.normal()),
            costs: HostCosts {
                device_save: middle(assumed.device_save),
                destination_start: middle(assumed.destination_start),
                socket_buffer: assumed.socket_fill.at(rate),
                socket_wake: Bytes((assumed.socket_wake.0.0 + assumed.socket_wake.1.0) / 2),
                ..assumed.costs
            },
        }
    }

    /// Rate at which the stream advances: the link's, held by `max-bandwidth`.
    pub(crate) fn stream_rate(&self, case: &Case<'_>) -> ByteRate {
        let cap = case.assumptions.rules_under(&case.limits).max_bandwidth;
        ByteRate(cap.map_or(self.link_rate.0, |cap| cap.0.min(self.link_rate.0)))
    }
}

impl RuleSet {
    /// Its name, as in records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Qemu => "qemu",
            Self::Xen => "xen",
            Self::XenLegacy => "xen-legacy",
            Self::Textbook => "textbook",
        }
    }

    /// Its rules for a case: limits hold where a hypervisor knows them.
    fn of(self, case: &Case<'_>) -> vmferry_precopy::RuleSet {
        match self {
            Self::Qemu => {
                vmferry_precopy::RuleSet::Qemu(case.assumptions.rules_under(&case.limits))
            }
            Self::Xen => vmferry_precopy::RuleSet::Xen(Default::default()),
            Self::XenLegacy => vmferry_precopy::RuleSet::XenLegacy(Default::default()),
            Self::Textbook => vmferry_precopy::RuleSet::Textbook(textbook_rules(case)),
        }
    }

    /// Bytes that a first pass takes: libxc sends zero pages in full.
    pub(crate) fn first_pass(self, case: &Case<'_>) -> f64 {
        match self {
            Self::Xen | Self::XenLegacy => case.memory.pages().0 as f64 * PAGE_ON_STREAM.0 as f64,
            Self::Qemu | Self::Textbook => case.first_pass(),
        }
    }

    /// What the stream may use: QEMU's rules hold it themselves.
    fn rate(self, case: &Case<'_>, draw: &Draw) -> ByteRate {
        match self {
            Self::Qemu => draw.link_rate,
            Self::Xen | Self::XenLegacy | Self::Textbook => draw.stream_rate(case),
        }
    }

    /// Replays a move until it ends or its deadline has passed.
    pub(crate) fn replay<D: Dirt>(self, case: &Case<'_>, draw: &Draw, dirt: &D) -> Replay {
        let rate = self.rate(case, draw);
        self.of(case)
            .replay(dirt, &draw.costs, rate, case.deadline())
    }

    /// The same where only amounts are known.
    pub(crate) fn replay_amount<D: AggregateDirt>(
        self,
        case: &Case<'_>,
        draw: &Draw,
        dirt: &D,
    ) -> Replay {
        let rate = self.rate(case, draw);
        self.of(case)
            .replay_amount(dirt, &draw.costs, rate, case.deadline())
    }

    /// Replays a move by post-copy.
    pub(crate) fn post_copy<D: UnitDirt>(
        case: &Case<'_>,
        draw: &Draw,
        dirt: &D,
    ) -> vmferry_precopy::postcopy::PostCopy {
        let rules = vmferry_precopy::postcopy::Rules {
            max_bandwidth: case.assumptions.rules_under(&case.limits).max_bandwidth,
            ..Default::default()
        };
        vmferry_precopy::postcopy::replay(dirt, &rules, &draw.costs, draw.link_rate)
    }
}

/// The textbook's rules for a case.
pub(crate) fn textbook_rules(case: &Case<'_>) -> textbook::Rules {
    textbook::Rules {
        downtime_limit: Some(case.downtime_limit()),
        zero_page: ZERO_PAGE_ON_STREAM,
        ..textbook::Rules::default()
    }
}
