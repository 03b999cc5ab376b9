use super::*;
use crate::throttle::governor::Ending;
use crate::throttle::look::Stage;
use crate::throttle::outlook::Ahead;
use crate::throttle::promise::{Policy, Reason};
use vmferry_core::Preset;
use vmferry_core::{ByteRate, Bytes};

/// A guest that converges below a share of its CPU: ten seconds at that share
/// and quicker below, with a pause of what the limit allows. A pass at a higher
/// speed comes before that; in a spoilt one speed does not matter.
#[derive(Clone, Debug)]
struct Fake {
    converges_below: f64,
    spoilt: bool,
    overdue: u32,
}

const PASS: Duration = Duration::from_secs(5);

fn fake(converges_below: f64) -> Fake {
    Fake {
        converges_below,
        spoilt: false,
        overdue: 0,
    }
}

impl Outlook for Fake {
    fn ahead(&self, look: &Look, course: &Course, limit: Duration) -> Ahead {
        let share = course.after.speed.0;
        if share > self.converges_below {
            return Ahead {
                ends_at: None,
                downtime: None,
                lost: Duration::from_secs(100),
            };
        }
        let time = Duration::from_secs(10).mul_f64(0.5 + 0.5 * share / self.converges_below);
        let here = course.first.speed.0;
        let first = if self.spoilt || here > share {
            PASS
        } else {
            Duration::ZERO
        };
        Ahead {
            ends_at: Some(look.now + first + time),
            downtime: Some(limit),
            lost: first.mul_f64(1.0 - here) + time.mul_f64(1.0 - share) + limit,
        }
    }

    fn overdue(&mut self) {
        self.overdue += 1;
    }

    fn link_rate(&self) -> ByteRate {
        ByteRate(50e6)
    }
}

fn look(at_ms: u64, pass: u64) -> Look {
    Look {
        now: Duration::from_millis(at_ms),
        stage: Stage::PreCopy,
        pass,
        in_pass: Duration::ZERO,
        remaining: Bytes(200_000_000),
        transferred: Bytes(0),
        last_round: None,
        in_force: Settings::default(),
    }
}

fn promises() -> Promises {
    Promises {
        max_downtime: Duration::from_millis(500),
        ..Promises::default()
    }
}

fn curve(converges_below: f64, promises: Promises, preset: Preset) -> Curve<Fake> {
    Curve::new(fake(converges_below), promises, Policy::from(preset))
}

#[test]
fn the_least_cap_that_converges() {
    let mut curve = curve(0.63, promises(), Preset::Balanced);
    let wish = curve.decide(&look(0, 1), Duration::ZERO);
    // Between 0.6, which works, and 0.7, which does not.
    assert!(
        wish.share.0 > 0.62 && wish.share.0 <= 0.63,
        "{:?}",
        wish.share
    );
    assert_eq!(wish.ending, None);
    assert!(wish.downtime_limit < Some(Duration::from_millis(100)));
}

#[test]
fn a_guest_that_converges_is_left_alone_and_released() {
    let mut left = curve(1.0, promises(), Preset::Balanced);
    assert_eq!(left.decide(&look(0, 1), Duration::ZERO).share, Ratio(1.0));
    let mut released = curve(0.4, promises(), Preset::Balanced);
    let capped = released.decide(&look(0, 1), Duration::ZERO);
    assert!(capped.share.0 < 0.41);
    released.outlook.converges_below = 1.0;
    let held = released.decide(&look(100, 1), Duration::ZERO);
    assert_eq!(held.share, capped.share, "a plan stands for half a second");
    let free = released.decide(&look(600, 1), Duration::ZERO);
    assert_eq!(free.share, Ratio(1.0));
}

#[test]
fn a_cap_waits_where_the_pass_is_spoilt() {
    let mut late = curve(0.4, promises(), Preset::Balanced);
    late.outlook.spoilt = true;
    assert_eq!(late.decide(&look(0, 1), Duration::ZERO).share, Ratio(1.0));
    late.outlook.spoilt = false;
    let next = late.decide(&look(100, 2), Duration::ZERO);
    assert!(next.share.0 <= 0.4, "{:?}", next.share);
}

#[test]
fn without_a_way_it_takes_what_is_allowed() {
    let mut waits = curve(0.1, promises(), Preset::Gentle);
    assert_eq!(waits.decide(&look(0, 1), Duration::ZERO), Wish::default());
    assert_eq!(
        waits.decide(&look(9000, 2), Duration::ZERO),
        Wish::default()
    );
    let given_up = waits.decide(&look(39_000, 3), Duration::ZERO);
    assert_eq!(given_up.share, Ratio(1.0));
    assert_eq!(
        given_up.ending,
        Some(Ending::GiveUp(Reason::NotConverging {
            least_share: Ratio(0.5)
        }))
    );
    let allowed = Promises {
        allow_postcopy: true,
        ..promises()
    };
    let mut post = curve(0.1, allowed, Preset::Gentle);
    assert_eq!(post.decide(&look(0, 1), Duration::ZERO).ending, None);
    let wish = post.decide(&look(9000, 2), Duration::ZERO);
    assert_eq!(wish.ending, Some(Ending::PostCopy));
}

#[test]
fn why_it_gave_up_is_what_was_missed() {
    let short = Promises {
        deadline: Duration::from_secs(3),
        ..promises()
    };
    let late = curve(0.9, short, Preset::Urgent).decide(&look(3000, 2), Duration::ZERO);
    assert!(matches!(
        late.ending,
        Some(Ending::GiveUp(Reason::TooLate { .. }))
    ));
    let dear = Promises {
        max_slowdown: Some(Ratio(0.05)),
        ..promises()
    };
    let mut costly = curve(0.5, dear, Preset::Urgent);
    costly.decide(&look(0, 2), Duration::ZERO);
    let wish = costly.decide(&look(6000, 3), Duration::ZERO);
    let Some(Ending::GiveUp(reason @ Reason::TooCostly { slowdown })) = wish.ending else {
        panic!("{wish:?}");
    };
    assert!(slowdown.0 > 0.05);
    assert!(reason.to_string().contains("--max-slowdown"));
}

#[test]
fn an_end_that_does_not_come_is_noticed() {
    let mut curve = curve(1.0, promises(), Preset::Balanced);
    // With every look the end is five to ten seconds ahead.
    for tenth in 0..200 {
        curve.decide(&look(tenth * 100, 1), Duration::ZERO);
    }
    assert_eq!(curve.outlook().overdue, 1);
}
