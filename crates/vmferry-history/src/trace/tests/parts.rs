//! A trace in parts: nothing lost, nothing twice, margins on either side.

use std::time::Duration;

use vmferry_core::Bytes;

use super::super::{PartBounds, TraceEnd, TraceError, TracePart, TraceReader};
use super::write;

const BOUNDS: PartBounds = PartBounds {
    margin: Duration::from_millis(500),
    pages: 10_000,
    seed: 1,
    most: Bytes::from_mib(1),
};

/// Ten seconds; interval k dirties page k.
fn ten_seconds() -> Vec<u8> {
    let intervals: Vec<_> = (0..100)
        .map(|k| ((k as u64 + 1) * 100_000, vec![k]))
        .collect();
    write(1.0, &intervals)
}

/// Parts that end at 3 s, 6 s, 9 s, ...
fn parts(bytes: &[u8], bounds: &PartBounds) -> (Vec<TracePart>, Option<TraceEnd>) {
    let mut reader = TraceReader::new(bytes, "t").unwrap();
    let mut parts = Vec::new();
    reader
        .parts::<TraceError>(
            bounds,
            |us| (us / 3_000_000 + 1) * 3_000_000,
            |part| {
                parts.push(part);
                Ok(())
            },
        )
        .unwrap();
    (parts, reader.end().cloned())
}

#[test]
fn parts_follow_each_other_with_their_margins() {
    let (parts, end) = parts(&ten_seconds(), &BOUNDS);
    assert!(matches!(end, Some(TraceEnd::Ended { .. })));
    let spans: Vec<_> = parts
        .iter()
        .map(|p| (p.span_us.start, p.span_us.end))
        .collect();
    assert_eq!(
        spans,
        [
            (0, 3_000_000),
            (3_000_000, 6_000_000),
            (6_000_000, 9_000_000),
            (9_000_000, 10_000_000)
        ]
    );
    let windows: Vec<_> = parts
        .iter()
        .map(|p| (p.from_us, p.from_us + p.history.window_us()))
        .collect();
    assert_eq!(
        windows,
        [
            (0, 3_500_000),
            (2_500_000, 6_500_000),
            (5_500_000, 9_500_000),
            (8_500_000, 10_000_000)
        ]
    );
    for part in &parts {
        for interval in 0..part.history.intervals() {
            let k = (part.from_us / 100_000) as usize + interval;
            let dirty: Vec<usize> = (0..310)
                .filter(|p| part.history.is_dirty(interval, *p))
                .collect();
            assert_eq!(dirty, [k]);
        }
        // Every third page was zero, until it was written.
        let written = (part.from_us / 100_000) as usize;
        for (page, sampled) in part.history.pages().iter().enumerate() {
            assert_eq!(sampled.zero, page % 3 == 0 && page >= written, "{page}");
        }
    }
}

#[test]
fn a_cut_ends_the_last_part() {
    let bytes = ten_seconds();
    let (parts, end) = parts(&bytes[..bytes.len() * 3 / 4], &BOUNDS);
    assert!(matches!(end, Some(TraceEnd::CutOff { .. })));
    let last = parts.last().unwrap();
    assert_eq!(last.span_us.end, last.from_us + last.history.window_us());
    assert!(last.span_us.end < 10_000_000);
}

#[test]
fn nothing_and_too_much_are_refused() {
    let run = |bytes: &[u8], bounds: &PartBounds| {
        let mut reader = TraceReader::new(bytes, "t").unwrap();
        let run = reader.parts::<TraceError>(bounds, |us| us + 3_000_000, |_| Ok(()));
        run.unwrap_err()
    };
    assert!(matches!(
        run(&write(1.0, &[]), &BOUNDS),
        TraceError::Empty { .. }
    ));
    let small = PartBounds {
        most: Bytes(8000),
        ..BOUNDS
    };
    assert!(matches!(
        run(&ten_seconds(), &small),
        TraceError::TooLarge { .. }
    ));
    // Fewer pages make it fit.
    let (parts, _) = parts(&ten_seconds(), &PartBounds { pages: 10, ..small });
    let pages = parts[0].history.pages();
    assert_eq!(pages.len(), 10);
    assert_eq!(pages.iter().map(|p| p.weight).sum::<f64>(), 310.0);
}
