//! What a forecast takes for granted of hypervisor and hosts.

use std::time::Duration;

use vmferry_core::plan::MoveLimits;
use vmferry_core::{ByteRate, Bytes, GuestInfo, Ratio};
use vmferry_precopy::HostCosts;
use vmferry_precopy::qemu::{LogClear, Rules};

use crate::experience::{Experience, SOCKET_RANGE};

/// Up to this use of its virtual CPUs a guest catches up what it lost.
const SLACK_USE: f64 = 0.5;
/// From this use on it cannot.
const FULL_USE: f64 = 0.9;
/// Most that the sockets hold, whatever the rate: `tcp_wmem`'s maximum on
/// Linux.
const FULL_SOCKET: f64 = (4 << 20) as f64;

/// What the sockets and the queues behind them hold at a link slower than the
/// hosts. It has yet to cross the link at the switchover and lengthens the
/// downtime.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SocketFill {
    /// What they hold at any rate.
    pub least: Bytes,
    /// What they hold beside, as time at the link's rate.
    pub queue: Duration,
    /// Median fill over these two.
    pub factor: f64,
    /// Standard deviation of the fill's logarithm from move to move.
    pub log_sd: f64,
}

impl SocketFill {
    /// Median fill at a stream rate.
    pub fn at(&self, rate: ByteRate) -> Bytes {
        self.drawn(rate.0, 0.0)
    }

    /// The fill so many standard deviations above the median.
    pub(crate) fn drawn(&self, rate: f64, deviations: f64) -> Bytes {
        let median = self.factor * (self.least.0 as f64 + self.queue.as_secs_f64() * rate);
        Bytes((median * (self.log_sd * deviations).exp()).min(FULL_SOCKET) as u64)
    }
}

/// A factor that is known within bounds: its logarithm is normal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Factor {
    /// The median, above 0.
    pub median: f64,
    /// Standard deviation of its logarithm.
    pub log_sd: f64,
}

impl Factor {
    /// The factor so many standard deviations above the median.
    pub(crate) fn drawn(&self, deviations: f64) -> f64 {
        self.median * (self.log_sd * deviations).exp()
    }
}

/// What a forecast takes for granted. Start from [`Assumptions::for_guest`]
/// and put in what the hypervisor says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Assumptions {
    /// QEMU's settings as read from it. Where the operator's [`MoveLimits`]
    /// set a limit, that holds instead.
    pub rules: Rules,
    /// Costs of the hosts; [`HostCosts::device_save`],
    /// [`HostCosts::destination_start`],
    /// [`HostCosts::socket_buffer`] and [`HostCosts::socket_wake`] are drawn from what stands below.
    pub costs: HostCosts,
    /// Shortest and longest time from the last byte's arrival to RESUME at
    /// the destination.
    pub destination_start: (Duration, Duration),
    /// Least and greatest time the source takes to save the devices' state.
    pub device_save: (Duration, Duration),
    /// What the sockets hold at the switchover.
    pub socket_fill: SocketFill,
    /// Least and most that has to leave the sockets before a waiting sender
    /// goes on ([`HostCosts::socket_wake`]).
    pub socket_wake: (Bytes, Bytes),
    /// The link's rate over what is assumed of it, beside the link's own noise.
    pub link_rate: Factor,
    /// How fast the guest dirties during the move over how fast it did while
    /// observed. Passes of moves near the boundary of convergence found between
    /// 1 % less and 3 % more than the replay (five moves of page writers); of a
    /// guest that writes single words 9 % more, which is not explained.
    pub dirt: Factor,
    /// Least and greatest share of the guest's speed that a running migration
    /// takes from a guest that uses its virtual CPUs to the full (faults of the
    /// dirty log, CPU of the migration thread), 0..1. A guest with slack loses
    /// nothing: it catches up.
    pub overhead: (Ratio, Ratio),
    /// When the migration command is given, to 0.5 s, where that is known: a guest that goes round
    /// ([`Observation::window_ended_at`](vmferry_core::Observation::window_ended_at)) is then met
    /// where it will be in its round. `None` takes every place as likely.
    pub command_at: Option<jiff::Timestamp>,
    /// Whether post-copy may be proposed.
    pub post_copy: bool,
    /// Earlier moves over the route that these assumptions were learned from.
    pub learned_from: u32,
    /// Number of replays behind a forecast.
    pub samples: u32,
}

/// Standard deviations above the median that nineteen in twenty stay below.
pub const NINETEEN_IN_TWENTY: f64 = 1.645;
/// The sockets' fill differs from move to move by so much at least, as a logarithm.
const LEAST_SPREAD: f64 = 0.1;

impl Assumptions {
    /// QEMU's defaults for a guest under TCG.
    ///
    /// RESUME follows QEMU's own downtime by what the sockets hold over the
    /// rate, and hardly more. Medians and ranges (ms; MB at the stream's rate) of
    /// 21 moves with QEMU 10.0.2, BBR and tbf with a queue of 20 ms:
    ///
    /// | link | RESUME after QEMU's downtime | the same as data | transferred - rate x total time |
    /// |---|---|---|---|
    /// | 200 Mbit/s | 60 ms (48..106) | 1.4 MB (1.2..2.5) | 1.5 MB (1.2..2.1) |
    /// | 400 Mbit/s | 41 ms (33..80) | 2.0 MB (1.6..4.0) | 2.1 MB (0.9..2.8) |
    /// | 800 Mbit/s | 33 ms (30..42) | 3.2 MB (2.8..4.0) | 3.2 MB (1.5..4.1) |
    ///
    /// The two ways of counting agree, so the destination's start takes but a few
    /// milliseconds. 0.85 MB and 22 ms at the rate give 58, 40 and 31 ms; the
    /// logarithm of measured over that has a standard deviation of 0.25.
    pub fn tcg() -> Self {
        Self {
            rules: Rules::default(),
            costs: HostCosts::default(),
            destination_start: (Duration::ZERO, Duration::from_millis(6)),
            device_save: (Duration::ZERO, Duration::from_millis(10)),
            socket_fill: SocketFill {
                least: Bytes(850_000),
                queue: Duration::from_millis(22),
                factor: 1.0,
                log_sd: 0.29,
            },
            socket_wake: (Bytes(850_000), Bytes(1_350_000)),
            link_rate: Factor {
                median: 1.0,
                log_sd: 0.014,
            },
            dirt: Factor {
                median: 1.01,
                log_sd: 0.032,
            },
            overhead: (Ratio(0.0), Ratio(0.1)),
            command_at: None,
            post_copy: true,
            learned_from: 0,
            samples: 100,
        }
    }

    /// QEMU's defaults for a guest under KVM. The range of the destination's
    /// start is an estimate.
    pub fn kvm() -> Self {
        Self {
            rules: Rules {
                log_clear: LogClear::ChunkOnSend,
                ..Rules::default()
            },
            destination_start: (Duration::from_millis(5), Duration::from_millis(25)),
            ..Self::tcg()
        }
    }

    /// By the guest's accelerator; KVM where it is unknown.
    pub fn for_guest(guest: &GuestInfo) -> Self {
        match guest.accelerator.as_deref() {
            Some("tcg") => Self::tcg(),
            _ => Self::kvm(),
        }
    }

    /// The same with what earlier moves over the route taught; what they tell
    /// nothing of stays.
    #[must_use]
    pub fn with(&self, experience: &Experience) -> Self {
        let mut learned = Self {
            learned_from: experience.moves,
            ..*self
        };
        let (link, dirt) = (&experience.link_rate, &experience.dirt);
        if link.n > 0 {
            let median = link.median.max(0.01);
            learned.link_rate = Factor {
                median,
                log_sd: link.spread / median,
            };
        }
        if dirt.n > 0 {
            learned.dirt = Factor {
                median: dirt.median.exp(),
                log_sd: dirt.spread,
            };
        }
        let sockets = &experience.sockets;
        if sockets.n > 0 {
            learned.socket_fill.factor = sockets.median.exp();
            // Nineteen in twenty stay within what sockets can hold: beyond it is no fill.
            let room = (SOCKET_RANGE.1 / learned.socket_fill.factor).ln() / NINETEEN_IN_TWENTY;
            learned.socket_fill.log_sd = sockets.spread.min(room.max(LEAST_SPREAD));
        }
        if experience.destination_start_ms.n > 0 {
            learned.destination_start = experience.destination_start_ms.range_ms();
        }
        if experience.source_pause_ms.n > 0 {
            // No pause takes less than no time: the data explain it all then.
            learned.device_save = experience.source_pause_ms.range_ms();
        }
        learned
    }

    /// The same as if earlier moves over the route had taught nothing; `None`
    /// where they did not.
    pub(crate) fn unlearned(&self, guest: &GuestInfo) -> Option<Self> {
        (self.learned_from > 0).then(|| Self {
            rules: self.rules,
            post_copy: self.post_copy,
            samples: self.samples,
            ..Self::for_guest(guest)
        })
    }

    /// Least and greatest share of a guest's speed that a running migration
    /// takes, given the share of its virtual CPUs that it uses: all of
    /// [`Self::overhead`] where none idles, nothing where half of each does.
    /// Work may sit on one virtual CPU: the most assumes that, the least that it
    /// is spread. In 21 moves of rate-limited guests using 9 to 18 % of one, what
    /// was lost by their own count differed from the pause by -0.2 points in the
    /// median, -2.6 to 2.1 in 19 of them; two lost 4 and 18 points more. Nothing
    /// was measured of guests between half and nine tenths: these two
    /// bounds are estimates.
    pub(crate) fn overhead_at(&self, vcpu_use: Option<Ratio>, vcpus: Option<u32>) -> (f64, f64) {
        let (least, most) = self.overhead;
        let Some(used) = vcpu_use else {
            return (least.0, most.0);
        };
        let pressed = |used: f64| ((used - SLACK_USE) / (FULL_USE - SLACK_USE)).clamp(0.0, 1.0);
        let busiest = (used.0 * f64::from(vcpus.unwrap_or(1).max(1))).min(1.0);
        (least.0 * pressed(used.0), most.0 * pressed(busiest))
    }

    /// The rules with the operator's limits put in.
    pub fn rules_under(&self, limits: &MoveLimits) -> Rules {
        Rules {
            downtime_limit: limits
                .max_downtime_ms
                .map_or(self.rules.downtime_limit, |limit| limit.duration()),
            max_bandwidth: limits.max_bandwidth.or(self.rules.max_bandwidth),
            ..self.rules
        }
    }
}
