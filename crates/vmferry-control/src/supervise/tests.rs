use std::fmt::Write as _;

use proptest::prelude::*;
use vmferry_core::MigrationStatus as S;

use super::*;

fn at(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn status(status: S) -> Input {
    Input::Status(MigrationSample::status_only(status))
}

fn poll(status: S, sync: u64, remaining_mib: u64, transferred_mib: u64) -> Input {
    Input::Status(MigrationSample {
        status,
        remaining: Some(Bytes::from_mib(remaining_mib)),
        transferred: Some(Bytes::from_mib(transferred_mib)),
        total: Some(Bytes::from_mib(528)),
        sync_count: Some(sync),
        dirty_pages_per_s: (sync > 1).then_some(4000),
        expected_downtime: (sync > 1).then_some(Millis(310.0)),
    })
}

/// Runs a move and draws what came out of each input.
fn run(inputs: impl IntoIterator<Item = (u64, Input)>) -> (Supervisor, String) {
    let mut supervisor = Supervisor::new();
    let mut drawn = String::new();
    for (ms, input) in inputs {
        for output in supervisor.input(at(ms), input) {
            let text = match output {
                Output::Tell(MoveEvent::Phase { status, .. }) => format!("phase {status}"),
                Output::Tell(MoveEvent::Pass { pass }) => format!(
                    "pass {} at {} remaining {:?}",
                    pass.pass,
                    pass.at_ms,
                    pass.remaining_bytes.map(|b| b.to_string())
                ),
                Output::Tell(MoveEvent::Progress {
                    transferred_bytes,
                    passes,
                    status,
                    ..
                }) => format!("progress {status} {transferred_bytes:?} passes {passes:?}"),
                other => format!("{other:?}"),
            };
            let _ = writeln!(drawn, "{ms:>6} {text}");
        }
    }
    (supervisor, drawn)
}

/// The order in which QEMU 10.0 reports a move of a 512 MiB guest that writes
/// a little, with events on and polls every 100 ms.
#[test]
fn an_ordinary_move() {
    let mut inputs = vec![
        (1, status(S::Setup)),
        (4, Input::Event(GuestEvent::Pass(1))),
        (5, status(S::Active)),
        (6, poll(S::Active, 1, 528, 0)),
    ];
    inputs.extend((1..=9).map(|i| (i * 100, poll(S::Active, 1, 528 - i * 50, i * 5))));
    inputs.extend([
        (950, Input::Event(GuestEvent::Pass(2))),
        (953, poll(S::Active, 2, 60, 48)),
        (1050, poll(S::Active, 2, 20, 53)),
        (1150, Input::Event(GuestEvent::Pass(3))),
        (1151, Input::Event(GuestEvent::Stop)),
        (1152, status(S::Device)),
        (1153, Input::Event(GuestEvent::Pass(4))),
        (1250, poll(S::Device, 4, 5, 60)),
        (1390, status(S::Completed)),
        (1392, Input::Event(GuestEvent::Resume)),
        (1400, poll(S::Completed, 4, 0, 65)),
    ]);
    let (supervisor, drawn) = run(inputs);
    insta::assert_snapshot!(drawn);
    assert_eq!(supervisor.finished(), Some(EndKind::Completed));
    assert_eq!(supervisor.stopped_at(), Some(at(1151)));
    assert_eq!(supervisor.resumed_at(), Some(at(1392)));
    let numbers: Vec<_> = supervisor.passes().iter().map(|p| p.pass).collect();
    assert_eq!(numbers, [1, 2, 3, 4]);
}

#[test]
fn without_events_passes_come_from_the_count() {
    let (supervisor, drawn) = run([
        (100, poll(S::Active, 1, 500, 20)),
        (350, poll(S::Active, 1, 400, 30)),
        (600, poll(S::Active, 4, 90, 60)),
        (850, poll(S::Completed, 6, 0, 80)),
    ]);
    insta::assert_snapshot!(drawn);
    assert_eq!(supervisor.passes().len(), 3);
}

#[test]
fn a_cancel_is_asked_for_once_and_ends_the_move() {
    let (supervisor, drawn) = run([
        (1, status(S::Active)),
        (2, Input::OperatorCancel),
        (3, Input::OperatorCancel),
        (4, status(S::Cancelling)),
        (5, status(S::Cancelled)),
        (6, Input::OperatorCancel),
    ]);
    insta::assert_snapshot!(drawn);
    assert!(supervisor.cancel_asked());
}

#[test]
fn a_guest_that_has_left_is_not_cancelled() {
    for before in [status(S::PostcopyActive), Input::Event(GuestEvent::Resume)] {
        let (_, drawn) = run([
            (1, status(S::Active)),
            (2, before),
            (3, Input::OperatorCancel),
            (4, Input::OperatorCancel),
        ]);
        assert!(drawn.contains("CancelRefused"), "{drawn}");
        assert!(!drawn.contains("3 Cancel\n"), "{drawn}");
    }
}

#[test]
fn others_cancel_and_cancels_come_late() {
    let (_, drawn) = run([(1, status(S::Active)), (2, status(S::Cancelled))]);
    assert!(drawn.contains("CancelledElsewhere"), "{drawn}");
    let (_, drawn) = run([
        (1, status(S::Device)),
        (2, Input::OperatorCancel),
        (3, status(S::Completed)),
    ]);
    assert!(drawn.contains("CancelTooLate"), "{drawn}");
    assert!(drawn.contains("Finish(Completed)"), "{drawn}");
}

#[test]
fn an_answer_that_was_overtaken_changes_nothing() {
    let (supervisor, drawn) = run([
        (1, status(S::Device)),
        (2, poll(S::Active, 3, 1, 1)),
        (3, poll(S::Device, 3, 1, 1)),
        (4, poll(S::Active, 3, 1, 1)),
    ]);
    assert_eq!(supervisor.status(), &S::Device);
    assert!(!drawn.contains("Unexpected"), "{drawn}");
}

#[test]
fn an_unexpected_status_is_warned_of_and_followed() {
    let (supervisor, drawn) = run([
        (1, status(S::PostcopyActive)),
        (2, status(S::Active)),
        (3, status(S::Active)),
        (4, status(S::Unknown("warp".into()))),
        (5, status(S::Completed)),
    ]);
    insta::assert_snapshot!(drawn);
    assert_eq!(supervisor.finished(), Some(EndKind::Completed));
}

#[test]
fn a_broken_connection_asks_both_ends_and_goes_on() {
    let (supervisor, drawn) = run([
        (1, status(S::Active)),
        (2, Input::ConnectionLost(Side::Destination)),
        (3, status(S::Failed)),
        (4, Input::ConnectionLost(Side::Source)),
    ]);
    insta::assert_snapshot!(drawn);
    assert_eq!(supervisor.finished(), Some(EndKind::Failed));
}

fn any_status() -> impl Strategy<Value = S> {
    prop_oneof![
        8 => proptest::sample::select(S::KNOWN.to_vec()),
        1 => Just(S::Unknown("warp".into())),
    ]
}

fn any_number() -> impl Strategy<Value = Option<u64>> {
    proptest::option::of(prop_oneof![0u64..10, any::<u64>()])
}

fn any_input() -> impl Strategy<Value = Input> {
    let sample = (any_status(), any_number(), any_number(), any_number()).prop_map(
        |(status, remaining, sync_count, dirty)| MigrationSample {
            remaining: remaining.map(Bytes),
            sync_count,
            dirty_pages_per_s: dirty,
            ..MigrationSample::status_only(status)
        },
    );
    prop_oneof![
        6 => sample.prop_map(Input::Status),
        1 => Just(Input::Event(GuestEvent::Stop)),
        1 => Just(Input::Event(GuestEvent::Resume)),
        2 => prop_oneof![0u64..10, any::<u64>()].prop_map(|n| Input::Event(GuestEvent::Pass(n))),
        1 => Just(Input::OperatorCancel),
        1 => Just(Input::ConnectionLost(Side::Source)),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_it_ends_once(
        inputs in proptest::collection::vec((0u64..5000, any_input()), 0..60),
    ) {
        let mut supervisor = Supervisor::new();
        let (mut cancels, mut finishes, mut progress) = (0, 0, Vec::new());
        for (ms, input) in inputs {
            let over = supervisor.finished().is_some();
            let outputs = supervisor.input(at(ms), input);
            prop_assert!(!over || outputs.is_empty());
            for (i, output) in outputs.iter().enumerate() {
                match output {
                    Output::Cancel => cancels += 1,
                    Output::Finish(_) => {
                        finishes += 1;
                        prop_assert_eq!(i + 1, outputs.len());
                    }
                    Output::Tell(MoveEvent::Progress { at_ms, .. }) => progress.push(at_ms.0),
                    _ => {}
                }
            }
        }
        prop_assert!(cancels <= 1 && finishes <= 1);
        prop_assert_eq!(finishes == 1, supervisor.finished().is_some());
        prop_assert!(progress.windows(2).all(|w| w[1] - w[0] >= 250.0));
        let passes = supervisor.passes();
        prop_assert!(passes.windows(2).all(|w| w[0].pass < w[1].pass));
    }
}
