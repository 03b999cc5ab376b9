//! Traces that are cut, damaged, of other versions, or no traces.

use std::collections::BTreeSet;

use super::super::{TraceEnd, TraceError, frame, preamble, varint};
use super::{frame_ends, read, small_intervals, small_trace};

#[test]
fn a_trace_cut_at_any_byte_gives_what_is_whole() {
    let (bytes, all) = (small_trace(), small_intervals());
    let (mut refused, mut lengths) = (0, BTreeSet::new());
    for cut in 0..bytes.len() {
        match read(&bytes[..cut]) {
            Err(TraceError::CutInHeader { at_byte, .. }) => {
                assert_eq!(at_byte, cut as u64);
                refused += 1;
            }
            Err(error) => panic!("cut at {cut}: {error}"),
            Ok((
                intervals,
                Ok(TraceEnd::CutOff {
                    at_byte,
                    whole_bytes,
                }),
            )) => {
                assert_eq!(at_byte, cut as u64);
                assert!(whole_bytes <= at_byte);
                assert_eq!(intervals, all[..intervals.len()]);
                lengths.insert(intervals.len());
            }
            Ok((_, end)) => panic!("cut at {cut}: {end:?}"),
        }
    }
    assert!(refused > preamble::LENGTH && refused < bytes.len() - 100);
    // A frame is closed after a second: the third interval ends the first one.
    assert_eq!(lengths.into_iter().collect::<Vec<_>>(), [0, 3, 4]);
}

#[test]
fn every_flipped_bit_is_noticed() {
    let (mut bytes, all) = (small_trace(), small_intervals());
    for bit in 0..bytes.len() * 8 {
        bytes[bit / 8] ^= 1 << (bit % 8);
        match read(&bytes) {
            Err(TraceError::NotATrace { .. }) => assert!(bit < 8 * 8, "bit {bit}"),
            Err(TraceError::Damaged { .. }) => {}
            Ok((intervals, Err(TraceError::Damaged { .. }))) => {
                assert_eq!(intervals, all[..intervals.len()], "bit {bit}");
            }
            other => panic!("bit {bit}: {other:?}"),
        }
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
}

#[test]
fn other_versions_and_files_are_told_apart() {
    let message = |bytes: &[u8]| read(bytes).unwrap_err().to_string();
    let of_version = |version| {
        let mut bytes = small_trace();
        bytes[..preamble::LENGTH].copy_from_slice(&preamble::of(version, "7.1.0"));
        message(&bytes)
    };
    let newer = of_version(9);
    assert!(
        newer.contains("too new: trace format 9 (written by vmferry 7.1.0)"),
        "{newer}"
    );
    let older = of_version(0);
    assert!(
        older.contains("too old: trace format 0 (written by vmferry 7.1.0)"),
        "{older}"
    );
    let other = message(b"{\"schema_version\": 1}");
    assert!(
        other.contains("is no trace") && other.contains("vmferry record"),
        "{other}"
    );
    let empty = message(b"");
    assert!(empty.contains("cut off at byte 0"), "{empty}");
}

#[test]
fn missing_swapped_and_foreign_frames_are_noticed() {
    let bytes = small_trace();
    let frames = frame_ends(&bytes);
    // Preamble, header, pages, two frames of intervals, end.
    let part = |n: usize| &bytes[frames[n]..frames[n + 1]];
    let start = &bytes[..frames[2]];
    let problem = |parts: &[&[u8]]| match read(&parts.concat()) {
        Ok((intervals, Err(error))) => (intervals.len(), error),
        other => panic!("{other:?}"),
    };
    let (whole, error) = problem(&[start, part(3), part(4)]);
    assert!(
        whole == 0 && error.to_string().contains("a frame is missing"),
        "{error}"
    );
    let (whole, error) = problem(&[start, part(2), part(2), part(4)]);
    assert!(
        whole == 3
            && matches!(
                error,
                TraceError::ClockBack {
                    before_us: 1_250_000,
                    after_us: 0,
                    ..
                }
            ),
        "{error}"
    );
    let (whole, error) = problem(&[&bytes, part(4)]);
    assert!(
        whole == 4 && error.to_string().contains("bytes follow its end"),
        "{error}"
    );
    let (_, error) = problem(&[start, part(2), part(1), part(4)]);
    assert!(
        error.to_string().contains("begins a second time"),
        "{error}"
    );

    // Frames of kinds that come later are skipped.
    let mut writer = frame::FrameWriter::new(Vec::new()).unwrap();
    writer.write(77, b"news").unwrap();
    let news = writer.into_output().unwrap();
    let (intervals, end) =
        read(&[start, &news, part(2), &news, part(3), part(4)].concat()).unwrap();
    assert_eq!(intervals, small_intervals());
    assert!(matches!(end, Ok(TraceEnd::Ended { .. })));
}

#[test]
fn sound_checksums_over_nonsense_are_no_trace() {
    let bytes = small_trace();
    let ends = frame_ends(&bytes);
    let with = |kind, plain: &[u8]| {
        let mut writer = frame::FrameWriter::new(Vec::new()).unwrap();
        writer.raw(&bytes[..ends[2]]).unwrap();
        writer.write(kind, plain).unwrap();
        read(&writer.into_output().unwrap())
            .unwrap()
            .1
            .unwrap_err()
            .to_string()
    };
    let mut beyond = Vec::new();
    for number in [0, 1, 100, 0, 1, 310] {
        varint::put(&mut beyond, number);
    }
    for (kind, plain, words) in [
        (frame::INTERVALS, &beyond[..], "pages that are not recorded"),
        (frame::INTERVALS, &[0, 200], "cut off"),
        (frame::INTERVALS, &[0, 1, 0, 0, 0], "no length"),
        (frame::INTERVALS, &[0, 1, 5, 9, 0], "unknown form"),
        (frame::INTERVALS, &[0, 1, 5, 0, 0, 0], "bytes after"),
        (frame::END, b"{}", "cannot be understood"),
    ] {
        let message = with(kind, plain);
        assert!(message.contains(words), "{message}");
    }
}
