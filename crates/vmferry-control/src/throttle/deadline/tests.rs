use super::*;
use crate::throttle::governor::Ending;
use crate::throttle::look::Stage;
use crate::throttle::outlook::Ahead;
use crate::throttle::promise::Policy;
use vmferry_core::Bytes;
use vmferry_core::Preset;

/// What remains is sent at the course's first rate; above a share of the CPU
/// the guest dirties faster than a rate sends.
#[derive(Clone, Debug)]
struct Fake {
    dirties: ByteRate,
}

const LINK: ByteRate = ByteRate(100e6);

impl Outlook for Fake {
    fn ahead(&self, look: &Look, course: &Course, _: Duration) -> Ahead {
        let rate = |settings: Settings| settings.rate.map_or(LINK.0, |rate| rate.0.min(LINK.0));
        let (here, later) = (rate(course.first), rate(course.after));
        let dirties = self.dirties.0 * course.after.speed.0;
        let time = look.remaining.0 as f64 / here;
        let converges = dirties < later;
        let end = look.now + Duration::from_secs_f64(time);
        Ahead {
            ends_at: converges.then_some(end),
            downtime: converges.then_some(Duration::from_millis(100)),
            lost: Duration::from_secs_f64(time * (1.0 - course.first.speed.0)),
        }
    }

    fn link_rate(&self) -> ByteRate {
        LINK
    }
}

fn look(at_s: u64, remaining: u64) -> Look {
    Look {
        now: Duration::from_secs(at_s),
        stage: Stage::PreCopy,
        pass: 1,
        in_pass: Duration::ZERO,
        remaining: Bytes(remaining),
        transferred: Bytes(0),
        last_round: None,
        in_force: Settings::default(),
    }
}

fn controller(dirties: f64, deadline_s: u64) -> Deadline<Fake> {
    let promises = Promises {
        deadline: Duration::from_secs(deadline_s),
        ..Promises::default()
    };
    let fake = Fake {
        dirties: ByteRate(dirties),
    };
    Deadline::new(fake, promises, Policy::from(Preset::Urgent))
}

#[test]
fn as_slow_as_the_deadline_allows() {
    let mut deadline = controller(0.0, 20);
    let wish = deadline.decide(&look(0, 400_000_000), Duration::ZERO);
    let rate = wish.max_bandwidth.unwrap().0;
    // 400 MB in a little less than 20 s, with some of the 4 s in reserve that they take at least.
    assert!(rate > 21e6 && rate < 23e6, "{rate}");
    assert_eq!(wish.share, Ratio(1.0));
    // Half way on time; a link that stalled makes it hurry.
    let wish = deadline.decide(&look(10, 300_000_000), Duration::ZERO);
    let rate = wish.max_bandwidth.unwrap().0;
    assert!(rate > 33e6 && rate < 37e6, "{rate}");
}

#[test]
fn slow_first_and_fast_where_only_that_converges() {
    let mut deadline = controller(60e6, 20);
    let wish = deadline.decide(&look(0, 400_000_000), Duration::ZERO);
    let rate = wish.max_bandwidth.unwrap().0;
    assert!(rate < 24e6, "{rate}");
    let after = deadline.plan.unwrap().course.after.rate.unwrap().0;
    assert!((60e6..63e6).contains(&after), "{after}");
}

#[test]
fn the_guest_is_slowed_only_where_the_link_does_not_do() {
    let mut deadline = controller(150e6, 20);
    deadline.decide(&look(0, 400_000_000), Duration::ZERO);
    let plan = deadline.plan.unwrap().course;
    assert_eq!(
        (plan.first.speed, plan.after.speed),
        (Ratio(1.0), Ratio(0.6))
    );
}

#[test]
fn a_deadline_out_of_reach_is_given_up() {
    let mut deadline = controller(0.0, 2);
    let full_speed = deadline.decide(&look(0, 400_000_000), Duration::ZERO);
    assert_eq!(full_speed, Wish::default());
    let wish = deadline.decide(&look(2, 200_000_000), Duration::ZERO);
    assert!(matches!(wish.ending, Some(Ending::GiveUp(_))), "{wish:?}");
}
