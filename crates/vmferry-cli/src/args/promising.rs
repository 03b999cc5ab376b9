//! What a move may cost, and by which means that is kept.

use std::time::Duration;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use vmferry::Error;
use vmferry::core::quantity::{parse_rate, parse_ratio, parse_span};
use vmferry::core::{ByteRate, Preset, Promise, Ratio, Throttle};

use super::parse_downtime;

/// Where help texts show them.
const HEADING: &str = "Promises";

/// What a move may cost, and by which means that is kept.
#[derive(Clone, Copy, Debug, Default, Args)]
pub(crate) struct Promising {
    /// Longest pause, from STOP at the source to RESUME at the destination
    #[arg(long, help_heading = HEADING, value_parser = parse_downtime, value_name = "TIME")]
    pub(crate) max_downtime: Option<Duration>,
    /// Time within which the move is over; without one forecasts look 120s ahead
    #[arg(long, help_heading = HEADING, value_parser = parse_span, value_name = "TIME")]
    pub(crate) deadline: Option<Duration>,
    /// Most of the guest's work that may be lost during the move, pause included;
    /// allows the guest to be slowed down
    #[arg(long, help_heading = HEADING, value_parser = parse_ratio, value_name = "SHARE")]
    pub(crate) max_slowdown: Option<Ratio>,
    /// Most the migration may send (sets the hypervisor's max-bandwidth); alone a
    /// limit and no promise
    #[arg(long, help_heading = HEADING, value_parser = parse_rate, value_name = "RATE")]
    pub(crate) max_bandwidth: Option<ByteRate>,
    /// Least the migration asks for, however courteous
    #[arg(long, help_heading = HEADING, value_parser = parse_rate, value_name = "RATE")]
    pub(crate) min_bandwidth: Option<ByteRate>,
    /// Go on by post-copy where pre-copy cannot keep the promise: if the link
    /// breaks then, the guest stops until it is back
    #[arg(long, help_heading = HEADING)]
    pub(crate) allow_postcopy: bool,
    /// Who steers the move and may slow the guest down [default: auto with
    /// --max-slowdown, --policy or --min-bandwidth, else off]
    #[arg(long, help_heading = HEADING, value_parser = throttles(), value_name = "HOW")]
    pub(crate) throttle: Option<Throttle>,
    /// C of --throttle jin, 0..1 [default: from the guest's memory and the link]
    #[arg(long, help_heading = HEADING, value_parser = parse_expectant, value_name = "C")]
    pub(crate) expectant_ratio: Option<Ratio>,
    /// How the guest's work is weighed against time: at least half, a fifth or a
    /// hundredth of its speed is left [default: balanced]
    #[arg(long, help_heading = HEADING, value_parser = policies(), value_name = "POLICY")]
    pub(crate) policy: Option<Preset>,
}

fn throttles() -> impl TypedValueParser<Value = Throttle> {
    PossibleValuesParser::new(Throttle::ALL.map(Throttle::name)).try_map(|name| name.parse())
}

fn policies() -> impl TypedValueParser<Value = Preset> {
    PossibleValuesParser::new(["gentle", "balanced", "urgent"]).try_map(|name| name.parse())
}

fn parse_expectant(text: &str) -> Result<Ratio, String> {
    match text.parse() {
        Ok(ratio) if ratio > 0.0 && ratio <= 1.0 => Ok(Ratio(ratio)),
        _ => Err(format!(
            "`{text}` is no number above 0 and at most 1; write for example 0.8"
        )),
    }
}

impl Promising {
    /// What was promised; `None` where nothing was. A guest is slowed down only
    /// where the operator allowed it.
    pub(crate) fn promise(&self) -> Result<Option<Promise>, Error> {
        let slows = self.max_slowdown.is_some() || self.policy.is_some();
        // A courteous stream slows no guest down.
        let steered = slows || self.min_bandwidth.is_some();
        let throttle = self.throttle.unwrap_or(if steered {
            Throttle::Auto
        } else {
            Throttle::Off
        });
        let stated = slows
            || self.max_downtime.is_some()
            || self.deadline.is_some()
            || self.min_bandwidth.is_some()
            || self.allow_postcopy
            || self.throttle.is_some();
        if !stated {
            return match self.expectant_ratio {
                Some(_) => Err(Error::Usage(
                    "--expectant-ratio is the C of --throttle jin; give that too".to_owned(),
                )),
                None => Ok(None),
            };
        }
        Ok(Some(Promise {
            max_downtime_ms: self.max_downtime.map(Into::into),
            deadline_ms: self.deadline.map(Into::into),
            max_slowdown: self.max_slowdown,
            min_bandwidth: self.min_bandwidth,
            max_bandwidth: self.max_bandwidth,
            allow_postcopy: self.allow_postcopy,
            throttle,
            expectant_ratio: self.expectant_ratio,
            policy: self.policy.unwrap_or_default(),
        }))
    }

    /// Says so where a policy was given to a throttle that has none.
    pub(crate) fn idle_policy(&self) -> Option<String> {
        let throttle = self.throttle?;
        let without = matches!(
            throttle,
            Throttle::Off | Throttle::Jin | Throttle::Qemu | Throttle::Courtesy
        );
        (self.policy.is_some() && without)
            .then(|| format!("--policy is ignored: --throttle {throttle} knows none"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_is_slowed_down_only_where_that_was_allowed() {
        let promise = |promising: Promising| promising.promise().expect("it makes sense");
        let plain = Promising {
            max_bandwidth: Some(ByteRate::from_mbit_per_s(100.0)),
            ..Promising::default()
        };
        assert_eq!(promise(plain), None, "a limit alone is no promise");
        let pause = Promising {
            max_downtime: Some(Duration::from_millis(300)),
            ..plain
        };
        let promised = promise(pause).expect("a promise");
        assert_eq!(promised.throttle, Throttle::Off);
        assert_eq!(promised.max_bandwidth, plain.max_bandwidth);
        let slower = Promising {
            max_slowdown: Some(Ratio(0.1)),
            ..pause
        };
        let throttle = |promising| promise(promising).map(|promise| promise.throttle);
        assert_eq!(throttle(slower), Some(Throttle::Auto));
        let off = Promising {
            throttle: Some(Throttle::Off),
            ..slower
        };
        assert_eq!(throttle(off), Some(Throttle::Off));
        let urgent = Promising {
            policy: Some(Preset::Urgent),
            ..plain
        };
        assert_eq!(throttle(urgent), Some(Throttle::Auto));
        assert_eq!(urgent.idle_policy(), None);
        let qemu = Promising {
            throttle: Some(Throttle::Qemu),
            ..urgent
        };
        assert!(
            qemu.idle_policy()
                .is_some_and(|text| text.contains("--throttle qemu"))
        );
    }

    #[test]
    fn every_policy_can_be_chosen() {
        let names = Preset::ALL.map(|preset| preset.to_string());
        assert_eq!(names, ["gentle", "balanced", "urgent"]);
    }
}
