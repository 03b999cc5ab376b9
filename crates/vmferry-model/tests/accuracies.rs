//! Forecasts beside outcomes.

mod guest;

use vmferry_core::plan::MoveLimits;
use vmferry_core::{ByteRate, Bytes, LinkSpeed, Millis, Outcome, OutcomeStatus, Place};
use vmferry_model::{Accuracy, Assumptions, forecast};

fn outcome(status: OutcomeStatus, seconds: i64) -> Outcome {
    Outcome {
        status,
        place: Place::RunningAtDestination,
        error: None,
        started_at: jiff::Timestamp::UNIX_EPOCH,
        ended_at: jiff::Timestamp::from_second(seconds).unwrap(),
        total_time_ms: Some(Millis(seconds as f64 * 1e3)),
        downtime_ms: None,
        downtime_clock: None,
        qemu_downtime_ms: Some(Millis(100.0)),
        transferred_bytes: Some(Bytes(220_000_000)),
        wire_bytes: None,
        slowdown: None,
        passes: Some(3),
        post_copy: false,
        pass_list: Vec::new(),
    }
}

#[test]
fn a_completed_move_is_compared_quantity_by_quantity() {
    let observation = guest::writer(0.0, 0.0);
    let link = LinkSpeed::given(ByteRate::from_mbit_per_s(400.0));
    let limits = MoveLimits::default();
    let found = forecast(&observation, &link, &limits, &Assumptions::tcg(), 1).unwrap();
    let accuracy = Accuracy::of(&found, &outcome(OutcomeStatus::Completed, 10));
    let time = accuracy.total_time.unwrap();
    assert_eq!(time.measured, 10_000.0);
    assert_eq!(time.relative_error, (time.forecast - 10_000.0) / 10_000.0);
    assert!(!time.covered);
    assert!(accuracy.transferred.unwrap().relative_error.abs() < 0.05);
    assert!(accuracy.passes.unwrap().covered);
    assert_eq!((accuracy.downtime, accuracy.slowdown), (None, None));
    assert_eq!(accuracy.verdict, Some(true));

    // A move cut off after the deadline tells of the verdict; one before, nothing.
    let late = Accuracy::of(&found, &outcome(OutcomeStatus::Cancelled, 121));
    assert_eq!((late.verdict, late.total_time), (Some(false), None));
    let early = Accuracy::of(&found, &outcome(OutcomeStatus::Cancelled, 5));
    assert_eq!(early, Accuracy::default());
}
