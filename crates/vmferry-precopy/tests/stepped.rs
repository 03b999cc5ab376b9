//! Replays that are steered on the way, and moves taken up where they stand.

use std::time::Duration;

use vmferry_core::{ByteRate, Bytes, PAGE_SIZE, Pages, Ratio};
use vmferry_precopy::dirt::{ConstantDirt, PacedDirt, Writes};
use vmferry_precopy::qemu::{
    AmountUnderway, Course, Rules, Start, Stepped, replay, replay_amount, replay_amount_from,
};
use vmferry_precopy::tuning::Settings;
use vmferry_precopy::{HostCosts, Replay};

const MEMORY: Pages = Pages(131_072);
const LINK: ByteRate = ByteRate(50e6);
const DEADLINE: Duration = Duration::from_secs(120);

fn guest(mb_per_s: f64, set_mb: f64) -> ConstantDirt {
    let set = Pages((set_mb * 1e6) as u64 / PAGE_SIZE.0);
    let rate = ByteRate(mb_per_s * 1e6);
    ConstantDirt::new(rate, set, Writes::Random, MEMORY, Ratio(0.3))
}

fn rules() -> Rules {
    Rules {
        max_bandwidth: None,
        ..Rules::default()
    }
}

fn costs() -> HostCosts {
    HostCosts {
        socket_buffer: Bytes(0),
        ..HostCosts::default()
    }
}

fn seconds(replay: &Replay) -> f64 {
    replay.total_time.as_secs_f64()
}

#[test]
fn nothing_changed_is_the_same_replay() {
    for (mb_per_s, set_mb) in [(0.0, 10.0), (20.0, 200.0), (45.0, 300.0)] {
        let dirt = guest(mb_per_s, set_mb);
        let costs = costs();
        let whole = replay(&dirt, &rules(), &costs, LINK, &Start::Command, DEADLINE);
        let paced = PacedDirt::new(dirt);
        let mut stepped = Stepped::new(&paced, &rules(), &costs, LINK);
        let mut looks = 0;
        while stepped
            .advance(stepped.now() + Duration::from_millis(100))
            .is_none()
        {
            looks += 1;
        }
        let stepped = stepped.into_replay();
        assert_eq!(stepped.dirty_syncs, whole.dirty_syncs);
        assert!((seconds(&stepped) - seconds(&whole)).abs() < 1e-3);
        assert!(looks > 50, "{looks}");
    }
}

#[test]
fn rates_speeds_and_limits_change_on_the_way() {
    let paced = PacedDirt::new(guest(100.0, 300.0));
    let costs = costs();
    let mut stepped = Stepped::new(&paced, &rules(), &costs, LINK);
    stepped.set_max_bandwidth(Some(ByteRate(10e6)));
    stepped.advance(Duration::from_secs(5));
    let slow = stepped.transferred().0 as f64;
    assert!((slow / 50e6 - 1.0).abs() < 0.1, "{slow}");
    stepped.set_max_bandwidth(None);
    stepped.advance(Duration::from_secs(10));
    let fast = stepped.transferred().0 as f64 - slow;
    assert!((fast / 250e6 - 1.0).abs() < 0.05, "{fast}");
    stepped.set_link_rate(ByteRate(25e6));
    stepped.advance(Duration::from_secs(14));
    let slower = stepped.transferred().0 as f64 - slow - fast;
    assert!((slower / 100e6 - 1.0).abs() < 0.05, "{slower}");
    stepped.set_link_rate(LINK);
    // It writes twice what the link carries, and does not converge ...
    assert_eq!(stepped.advance(Duration::from_secs(60)), None);
    // ... until it is held to a tenth.
    paced.set_speed(stepped.now(), Ratio(0.1));
    let switch = stepped.advance(Duration::from_secs(120)).unwrap();
    assert!(switch.start < Duration::from_secs(80), "{switch:?}");
    assert_eq!(stepped.force_switchover(), switch);
}

#[test]
fn a_forced_switchover_sends_all_that_remains() {
    let paced = PacedDirt::new(guest(2000.0, 200.0));
    let costs = costs();
    let mut stepped = Stepped::new(&paced, &rules(), &costs, LINK);
    assert_eq!(stepped.advance(Duration::from_secs(30)), None);
    let switch = stepped.force_switchover();
    assert!(switch.downtime > Duration::from_millis(3900), "{switch:?}");
    assert_eq!(stepped.remaining(), Bytes(0));
}

fn course(first: f64, passes: u32, after: f64) -> Course {
    let settings = |speed| Settings {
        rate: None,
        speed: Ratio(speed),
    };
    Course {
        first: settings(first),
        passes,
        after: settings(after),
    }
}

fn at_the_command(costs: &HostCosts) -> AmountUnderway {
    AmountUnderway {
        elapsed: costs.setup,
        remaining: MEMORY.bytes(),
        never_sent: true,
        guest_since_sync: Duration::ZERO,
        guest_last_pass: None,
    }
}

#[test]
fn taken_up_at_the_command_it_is_the_whole_move() {
    let costs = costs();
    for (mb_per_s, set_mb) in [(0.0, 10.0), (20.0, 200.0), (45.0, 300.0), (2000.0, 200.0)] {
        let dirt = guest(mb_per_s, set_mb);
        let whole = replay_amount(&dirt, &rules(), &costs, LINK, DEADLINE);
        let course = course(1.0, 1, 1.0);
        let state = at_the_command(&costs);
        let taken_up = replay_amount_from(&dirt, &rules(), &costs, LINK, &state, &course, DEADLINE);
        assert_eq!(taken_up.switchover.is_some(), whole.switchover.is_some());
        if whole.switchover.is_some() {
            assert_eq!(taken_up.passes.len(), whole.passes.len());
            assert!((seconds(&taken_up) - seconds(&whole)).abs() < 1e-6);
        }
    }
}

#[test]
fn a_course_turns_after_its_passes() {
    let (dirt, costs) = (guest(100.0, 300.0), costs());
    let end = |course: Course| {
        let state = at_the_command(&costs);
        let replay = replay_amount_from(&dirt, &rules(), &costs, LINK, &state, &course, DEADLINE);
        replay
            .switchover
            .map(|_| (replay.passes.len(), seconds(&replay)))
    };
    assert_eq!(end(course(1.0, 1, 1.0)), None);
    let from_the_second = end(course(1.0, 1, 0.1)).unwrap();
    let from_the_fourth = end(course(1.0, 3, 0.1)).unwrap();
    assert!(from_the_fourth.1 > from_the_second.1 + 1.0);
    let always = end(course(0.1, 1, 0.1)).unwrap();
    assert!(always.1 < from_the_second.1);
    // What was written before counts: here all of the set, within the pass.
    let spoilt = AmountUnderway {
        guest_since_sync: Duration::from_secs(30),
        ..at_the_command(&costs)
    };
    let course = course(0.1, 1, 0.1);
    let late = replay_amount_from(&dirt, &rules(), &costs, LINK, &spoilt, &course, DEADLINE);
    assert!(seconds(&late) > always.1);
}
