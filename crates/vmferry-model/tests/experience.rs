//! What records of made-up routes teach.

mod guest;

use guest::writer;
use proptest::prelude::*;
use uuid::Uuid;
use vmferry_core::plan::MoveLimits;
use vmferry_core::{
    ByteRate, Bytes, Interval, LinkSpeed, Millis, MoveRecord, Observation, Outcome, OutcomeStatus,
    PassRecord, Place, Plan,
};
use vmferry_model::{Assumptions, Experience, forecast};

fn link() -> LinkSpeed {
    LinkSpeed::given(ByteRate::from_mbit_per_s(400.0))
}

/// What is true of a route.
#[derive(Clone, Copy)]
struct Truth {
    link: f64,
    gap_ms: f64,
    pause_ms: f64,
    dirt: f64,
}

const PLAIN: Truth = Truth {
    link: 1.0,
    gap_ms: 43.0,
    pause_ms: 0.0,
    dirt: 1.0,
};

/// A move over a route as it truly is, off by `noise` (-1..1).
fn record(observation: &Observation, truth: Truth, noise: f64) -> MoveRecord {
    let limits = MoveLimits {
        max_bandwidth: Some(ByteRate(1e9)),
        ..MoveLimits::default()
    };
    let said = forecast(observation, &link(), &limits, &Assumptions::tcg(), 1).unwrap();
    let zero = observation.page_mix.zero.unwrap().0;
    let first = observation.page_mix.total_pages.0 as f64 * ((1.0 - zero) * 4104.0 + zero * 9.0);
    let share = 1.0 - first / said.transferred_bytes.unwrap().p50.0 as f64;
    let beyond = truth.dirt / Assumptions::tcg().dirt.median;
    let transferred = first / (1.0 - share * beyond * (1.0 + 0.02 * noise));
    let rate = link().stream_rate().0 / 1e3 * truth.link * (1.0 + 0.005 * noise);
    let gap = truth.gap_ms * (1.0 + 0.05 * noise);
    let left = 8_000_000.0;
    let own = left * 4104.0 / 4096.0 / rate + truth.pause_ms + noise;
    let now = jiff::Timestamp::UNIX_EPOCH;
    MoveRecord {
        schema_version: 1,
        tool_version: "0".into(),
        move_id: Uuid::nil(),
        started_at: now,
        plan: Plan {
            source: "qmp:/a.sock".parse().unwrap(),
            destination: "qmp:/b.sock".parse().unwrap(),
            via: "tcp:10.0.0.2:4444".parse().unwrap(),
            limits,
            tls_dir: None,
            promise: None,
        },
        guest: vmferry_core::GuestInfo {
            accelerator: Some("tcg".into()),
            ..observation.guest.clone()
        },
        source_host: observation.host.clone(),
        destination_host: observation.host.clone(),
        link: Some(link()),
        forecast: Some(said),
        outcome: Some(Outcome {
            status: OutcomeStatus::Completed,
            place: Place::RunningAtDestination,
            error: None,
            started_at: now,
            ended_at: now,
            total_time_ms: Some(Millis(transferred / rate - gap)),
            downtime_ms: Some(Millis(own + gap)),
            downtime_clock: None,
            qemu_downtime_ms: Some(Millis(own)),
            transferred_bytes: Some(Bytes(transferred as u64)),
            wire_bytes: None,
            slowdown: None,
            passes: Some(5),
            post_copy: false,
            pass_list: vec![PassRecord {
                pass: 5,
                at_ms: Millis(1.0),
                remaining_bytes: Some(Bytes(left as u64)),
                transferred_bytes: None,
                dirty_pages_per_s: None,
                expected_downtime_ms: None,
            }],
        }),
        raw_statistics: None,
    }
}

fn records(observation: &Observation, truth: Truth, n: usize) -> Vec<MoveRecord> {
    let noise = |i: usize| ((i * 7) % 11) as f64 / 5.0 - 1.0;
    (0..n)
        .map(|i| record(observation, truth, noise(i)))
        .collect()
}

#[test]
fn a_route_is_learned() {
    let observation = writer(40e6, 20e6);
    let truth = Truth {
        link: 0.9,
        gap_ms: 60.0,
        pause_ms: 25.0,
        dirt: 1.2,
    };
    let found = Experience::of(&records(&observation, truth, 40));
    assert_eq!(found.moves, 40);
    let near = |found: vmferry_model::Estimate, truth: f64, within: f64| {
        assert_eq!(found.n, 40);
        assert!((found.median - truth).abs() < within, "{found:?} {truth}");
    };
    near(found.link_rate, 0.9, 0.01);
    // Two for the stop, 6.1 for the state of the devices.
    near(found.source_pause_ms, 25.0 - 2.0 - 6.1, 2.0);
    near(found.dirt, 1.2f64.ln(), 0.02);
    // A gap of 60 ms at 0.9 of 400 Mbit/s: the sockets first, the start last.
    let assumed = Assumptions::tcg().with(&found);
    let rate = ByteRate(link().stream_rate().0 * 0.9);
    let start = (assumed.destination_start.0 + assumed.destination_start.1).as_secs_f64() / 2.0;
    let gap = assumed.socket_fill.at(rate).0 as f64 / rate.0 + start;
    assert!((gap - 0.060).abs() < 0.005, "{gap}");
    assert!((assumed.link_rate.median - 0.9).abs() < 0.01);
    assert!((assumed.dirt.median - 1.2).abs() < 0.03);
    assert_eq!(assumed.learned_from, 40);
}

#[test]
fn post_copies_tell_nothing_of_the_pause_before_the_last_byte() {
    let observation = writer(40e6, 20e6);
    let mut moves = records(&observation, PLAIN, 10);
    let alone = Experience::of(&moves);
    let slow = Truth {
        gap_ms: 1800.0,
        ..PLAIN
    };
    for mut record in records(&observation, slow, 10) {
        record.outcome.as_mut().unwrap().post_copy = true;
        moves.push(record);
    }
    assert_eq!(Experience::of(&moves), alone);
}

/// With `return-path` both downtimes are the same, and only what was left tells the rest of a pause.
/// QEMU's answer may be of an older look.
#[test]
fn answers_of_older_looks_do_not_widen_the_pause() {
    let observation = writer(40e6, 20e6);
    let mut moves = records(&observation, PLAIN, 24);
    for (i, record) in moves.iter_mut().enumerate() {
        let outcome = record.outcome.as_mut().unwrap();
        outcome.qemu_downtime_ms = outcome.downtime_ms;
        if i % 2 == 0 {
            // As much as the whole pause could carry.
            outcome.pass_list[0].remaining_bytes = Some(Bytes(10_000_000));
        }
    }
    let assumed = Assumptions::tcg();
    let learned = assumed.with(&Experience::of(&moves));
    assert!(
        learned.socket_fill.log_sd <= assumed.socket_fill.log_sd,
        "{learned:?}"
    );
    let most = learned.socket_fill.factor * (1.645 * learned.socket_fill.log_sd).exp();
    assert!(most <= 2.0 + 1e-9, "{most}");
}

#[test]
fn a_slow_start_of_the_destination_is_not_taken_for_sockets() {
    let observation = writer(40e6, 20e6);
    let slow = Truth {
        gap_ms: 400.0,
        ..PLAIN
    };
    let assumed = Assumptions::tcg().with(&Experience::of(&records(&observation, slow, 30)));
    assert!(assumed.socket_fill.factor <= 2.0);
    let (least, most) = assumed.destination_start;
    let middle = (least + most).as_secs_f64() / 2.0;
    assert!((0.25..0.36).contains(&middle), "{least:?} {most:?}");
}

#[test]
fn with_a_return_path_the_same_is_learned_from_the_whole_pause() {
    let observation = writer(40e6, 20e6);
    let mut records = records(&observation, PLAIN, 30);
    for outcome in records.iter_mut().filter_map(|r| r.outcome.as_mut()) {
        let waited = outcome.downtime_ms.unwrap().0 - outcome.qemu_downtime_ms.unwrap().0;
        outcome.qemu_downtime_ms = outcome.downtime_ms;
        outcome.total_time_ms = outcome.total_time_ms.map(|t| Millis(t.0 + waited));
        // Of which 2 ms for the stop, 5.5 for the devices, 5 to save them.
        outcome.pass_list[0].remaining_bytes = Some(Bytes(8_000_000 - 600_000));
    }
    let found = Experience::of(&records);
    assert_eq!((found.sockets.n, found.source_pause_ms.n), (30, 0));
    assert!((found.link_rate.median - 1.0).abs() < 0.01, "{found:?}");
    let assumed = Assumptions::tcg().with(&found);
    let rate = link().stream_rate();
    let start = (assumed.destination_start.0 + assumed.destination_start.1).as_secs_f64() / 2.0;
    let gap = assumed.socket_fill.at(rate).0 as f64 / rate.0 + start;
    assert!((gap - 0.043).abs() < 0.005, "{gap}");
}

#[test]
fn nothing_learned_changes_nothing_and_is_widest() {
    let none = Experience::of(&[]);
    assert_eq!(none.moves, 0);
    for assumed in [Assumptions::tcg(), Assumptions::kvm()] {
        assert_eq!(assumed.with(&none), assumed);
    }
    let observation = writer(40e6, 20e6);
    let limits = MoveLimits::default();
    let mut widths = Vec::new();
    for n in [0, 1, 5, 50] {
        let found = Experience::of(&records(&observation, PLAIN, n));
        let assumed = Assumptions::tcg().with(&found);
        let sharp = LinkSpeed {
            relative_sd: vmferry_core::Ratio(0.0),
            ..link()
        };
        let made = forecast(&observation, &sharp, &limits, &assumed, 1).unwrap();
        let relative = |i: Interval<f64>| (i.p95 - i.p5) / i.p50;
        widths.push((
            relative(made.total_time_ms.unwrap().map(|m| m.0)),
            relative(made.downtime_ms.unwrap().map(|m| m.0)),
        ));
        let note = made.model.notes.iter().any(|note| match n {
            0 => note.contains("Nothing learned yet"),
            1 => note.contains("one earlier move over"),
            n => note.contains(&format!("from {n} earlier moves over")),
        });
        assert!(note, "{:?}", made.model.notes);
    }
    let (none, many) = (widths[0], widths[3]);
    assert!(many.0 < none.0 && many.1 < none.1, "{widths:?}");
}

#[test]
fn a_move_held_by_max_bandwidth_says_nothing_of_the_link() {
    let observation = writer(40e6, 20e6);
    let half = Truth { link: 0.5, ..PLAIN };
    let mut records = records(&observation, half, 10);
    for record in &mut records {
        record.plan.limits.max_bandwidth = Some(ByteRate(link().stream_rate().0 * 0.5));
    }
    let found = Experience::of(&records);
    assert_eq!(
        (found.moves, found.link_rate.n, found.sockets.n),
        (10, 0, 0)
    );
    assert_eq!(found.destination_start_ms.n, 10);
}

#[test]
fn moves_without_an_end_teach_nothing() {
    let observation = writer(40e6, 20e6);
    let mut records = records(&observation, PLAIN, 3);
    records[0].outcome = None;
    records[1].link = None;
    if let Some(outcome) = &mut records[2].outcome {
        outcome.status = OutcomeStatus::Cancelled;
    }
    assert_eq!(Experience::of(&records).moves, 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_was_recorded_leaves_sane_assumptions(
        total in prop_oneof![Just(0.0), 1f64..1e7, Just(f64::NAN)],
        sent in 0u64..1 << 40,
        downtime in 0f64..1e6,
        own in 0f64..1e6,
        left in 0u64..1 << 40,
        n in 1usize..8,
    ) {
        let observation = writer(0.0, 0.0);
        let mut one = record(&observation, PLAIN, 0.0);
        if let Some(outcome) = &mut one.outcome {
            outcome.total_time_ms = Some(Millis(total));
            outcome.transferred_bytes = Some(Bytes(sent));
            outcome.downtime_ms = Some(Millis(downtime));
            outcome.qemu_downtime_ms = Some(Millis(own));
            outcome.pass_list[0].remaining_bytes = Some(Bytes(left));
        }
        let learned = Assumptions::tcg().with(&Experience::of(&vec![one; n]));
        prop_assert!(learned.link_rate.median > 0.0 && learned.link_rate.log_sd.is_finite());
        prop_assert!(learned.dirt.median > 0.0 && learned.dirt.log_sd.is_finite());
        prop_assert!(learned.socket_fill.factor > 0.0 && learned.socket_fill.log_sd > 0.0);
        prop_assert!(learned.destination_start.0 <= learned.destination_start.1);
    }
}
