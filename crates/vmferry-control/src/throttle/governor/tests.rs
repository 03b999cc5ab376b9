use super::*;
use proptest::prelude::*;
use vmferry_core::Bytes;
use vmferry_precopy::tuning::Settings;

/// Wants what it is told to, in turn.
struct Script(std::vec::IntoIter<Wish>);

impl Controller for Script {
    fn decide(&mut self, _: &Look, _: Duration) -> Wish {
        self.0.next().unwrap_or_default()
    }
}

/// What the hosts are set to.
#[derive(Default)]
struct Hosts {
    share: Option<f64>,
    bandwidth: Option<f64>,
    limit: Option<Duration>,
    over: bool,
}

impl Hosts {
    fn obey(&mut self, actions: &[Action]) {
        for action in actions {
            match action {
                Action::CapCpu { share } => self.share = Some(share.0),
                Action::LiftCap => self.share = None,
                Action::SetMaxBandwidth(rate) => self.bandwidth = Some(rate.0),
                Action::RestoreMaxBandwidth => self.bandwidth = None,
                Action::SetDowntimeLimit(limit) => self.limit = Some(*limit),
                Action::RestoreDowntimeLimit => self.limit = None,
                Action::StartPostCopy | Action::GiveUp(_) => self.over = true,
            }
        }
    }
}

fn look(at: u64, stage: Stage, share: f64) -> Look {
    Look {
        now: Duration::from_millis(100 * at),
        stage,
        pass: 2,
        in_pass: Duration::ZERO,
        remaining: Bytes(1 << 20),
        transferred: Bytes(at << 20),
        last_round: None,
        in_force: Settings {
            rate: None,
            speed: Ratio(share),
        },
    }
}

fn wishes() -> impl Strategy<Value = Wish> {
    let ending = prop_oneof![
        20 => Just(None),
        1 => Just(Some(Ending::PostCopy)),
        1 => Just(Some(Ending::GiveUp(Reason::NotConverging { least_share: Ratio(0.2) }))),
    ];
    (
        -1.0f64..3.0,
        prop::option::of(-1e9f64..1e9),
        prop::option::of(0u64..10_000),
        ending,
    )
        .prop_map(|(share, rate, limit_ms, ending)| Wish {
            share: Ratio(share),
            max_bandwidth: rate.map(ByteRate),
            downtime_limit: limit_ms.map(Duration::from_millis),
            ending,
        })
}

proptest! {
    /// Whatever a controller wants, hosts stay within the limits, and nothing
    /// is left of it in the end.
    #[test]
    fn within_the_promises_and_undone_in_the_end(
        script in prop::collection::vec(wishes(), 1..40),
        bounds in prop::option::of((1e6f64..1e7, 1e7f64..1e8)),
        last in prop_oneof![Just(Stage::Stopped), Just(Stage::PostCopy), Just(Stage::Over)],
    ) {
        let promises = Promises {
            max_downtime: Duration::from_millis(400),
            min_bandwidth: bounds.map(|b| ByteRate(b.0)),
            max_bandwidth: bounds.map(|b| ByteRate(b.1)),
            ..Promises::default()
        };
        let steps = script.len() as u64;
        let script = Script(script.into_iter());
        let mut governor = Governor::new(script, promises, Duration::from_millis(50));
        let mut hosts = Hosts::default();
        for at in 0..steps {
            let actions = governor.input(&look(at, Stage::PreCopy, hosts.share.unwrap_or(1.0)));
            prop_assert!(!hosts.over || actions.is_empty());
            hosts.obey(&actions);
            prop_assert!(hosts.share.is_none_or(|share| (0.01..1.0).contains(&share)));
            prop_assert!(hosts.limit.is_none_or(|limit| limit <= Duration::from_millis(350)));
            if let (Some((least, most)), Some(rate)) = (bounds, hosts.bandwidth) {
                prop_assert!((least..=most).contains(&rate));
            }
            prop_assert!(!hosts.over || hosts.share.is_none());
        }
        hosts.obey(&governor.input(&look(steps, last, 1.0)));
        prop_assert_eq!(hosts.share, None);
        hosts.obey(&governor.input(&look(steps + 1, Stage::Over, 1.0)));
        prop_assert_eq!((hosts.bandwidth, hosts.limit), (None, None));
        prop_assert!(governor.input(&look(steps + 2, Stage::Over, 1.0)).is_empty());
    }
}

#[test]
fn only_changes_are_told_and_lost_work_is_counted() {
    let half = Wish {
        share: Ratio(0.5),
        ..Wish::default()
    };
    let script = Script(vec![half, half, half].into_iter());
    let mut governor = Governor::new(script, Promises::default(), Duration::ZERO);
    let first = governor.input(&look(0, Stage::PreCopy, 1.0));
    assert_eq!(
        first,
        [
            Action::CapCpu { share: Ratio(0.5) },
            Action::SetDowntimeLimit(Duration::from_millis(291)),
        ]
    );
    assert_eq!(governor.input(&look(1, Stage::PreCopy, 0.5)), []);
    assert_eq!(governor.input(&look(3, Stage::PreCopy, 0.5)), []);
    assert_eq!(governor.lost(), Duration::from_millis(150));
    assert_eq!(
        governor.input(&look(4, Stage::PreCopy, 0.5)),
        [Action::LiftCap]
    );
}
