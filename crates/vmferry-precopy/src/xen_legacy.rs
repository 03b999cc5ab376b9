//! Pre-copy of Xen 3 (`tools/libxc/xc_domain_save.c`, read at 3.3.1): the
//! hypervisor of `akoush2010`, `liu2011`, `jin2011` and `dom0cpu`.
//!
//! A round goes through memory in batches of 1024 pages. Before each batch the
//! dirty log is looked at without clearing it (*peek*), and pages written again
//! since the round began are left out: they have to be sent again anyway. The
//! guest is stopped after a round when it was the 29th, had fewer than 50 pages
//! to send, more than three times the memory has been sent, or the guest
//! outruns the link. Zero pages are sent like all others.

use std::time::Duration;

use vmferry_core::{ByteRate, Pages, Ratio};

use crate::dirt::{AggregateDirt, Dirt};
use crate::host_costs::HostCosts;
use crate::replay::Replay;
use crate::rounds::{AmountToSend, Limits, PagesToSend, Rounds};
use crate::tuning::Tuning;

/// When a guest that outruns the link is given up on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EarlyStop {
    /// Never: Xen 3 built without `ADAPTIVE_SAVE`.
    Never,
    /// A round sent more than the one before, at the highest rate allowed: as
    /// Xen 3 is written, with `ADAPTIVE_SAVE`.
    GrowingRounds,
    /// A round's dirt was no less than what it sent: as the papers tell it
    /// ("if the memory dirtying rate exceeds the memory transmission rate",
    /// `liu2011` section 2; "detects that the dirty rate is too large",
    /// `jin2011` 5.2; `dom0cpu` 4B).
    DirtOutrunsLink,
}

/// What ends pre-copy, each of it to be switched off alone: papers differ.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    /// Most rounds with the guest running.
    pub max_rounds: Option<u64>,
    /// A round of fewer pages is the last.
    pub few_pages: Option<Pages>,
    /// The guest is stopped once more than this multiple of its memory has been
    /// sent.
    pub max_sent: Option<Ratio>,
    /// Whether pages written again before their turn are left out of a round.
    pub skip_redirtied: bool,
    /// When a guest that outruns the link is given up on.
    pub early_stop: EarlyStop,
}

impl Default for Rules {
    /// 29 rounds, 50 pages, three times the memory (`akoush2010`), the skip,
    /// and the early stop of the other papers.
    fn default() -> Self {
        Self {
            max_rounds: Some(29),
            few_pages: Some(Pages(50)),
            max_sent: Some(Ratio(3.0)),
            skip_redirtied: true,
            early_stop: EarlyStop::DirtOutrunsLink,
        }
    }
}

impl Rules {
    /// The rounds of the formulas: `jin2011` eq. 1-4 with N = 30 (the last with
    /// the guest stopped) and h = 256 KiB, nothing skipped, no other way out.
    pub fn jin2011_model() -> Self {
        Self {
            max_rounds: Some(29),
            few_pages: Some(Pages(64)),
            max_sent: None,
            skip_redirtied: false,
            early_stop: EarlyStop::Never,
        }
    }

    fn limits(&self) -> Limits {
        Limits {
            max_rounds: self.max_rounds,
            few_pages: self.few_pages,
            max_sent: self.max_sent,
            skip_redirtied: self.skip_redirtied,
            early_stop: self.early_stop,
        }
    }
}

/// Replays a migration over a link that carries `rate` bytes of stream per
/// second; gives up when a round ends after `deadline`. `tuning` decides
/// before each round; [`crate::tuning::Untuned`] leaves things as they are.
pub fn replay<D: Dirt>(
    dirt: &D,
    rules: &Rules,
    costs: &HostCosts,
    rate: ByteRate,
    tuning: &mut impl Tuning,
    deadline: Duration,
) -> Replay {
    if !rules.skip_redirtied {
        // What is sent does not depend on where it lies.
        return replay_amount(dirt, rules, costs, rate, tuning, deadline);
    }
    let to_send = PagesToSend::new(dirt);
    Rounds::new(dirt, to_send, rules.limits(), costs, rate).until_done(tuning, deadline)
}

/// The same where only amounts are known, in microseconds: written pages are
/// taken to lie anywhere in memory.
pub fn replay_amount<D: AggregateDirt>(
    dirt: &D,
    rules: &Rules,
    costs: &HostCosts,
    rate: ByteRate,
    tuning: &mut impl Tuning,
    deadline: Duration,
) -> Replay {
    let to_send = AmountToSend::new(dirt);
    Rounds::new(dirt, to_send, rules.limits(), costs, rate).until_done(tuning, deadline)
}
