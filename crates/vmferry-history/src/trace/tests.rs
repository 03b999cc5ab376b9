//! Whole traces: written, read, summed up, exported.

mod damage;
mod parts;

use std::io::{self, Write};
use std::time::Duration;

use proptest::prelude::*;
use vmferry_core::{
    Bytes, GuestInfo, GuestUri, HostInfo, Millis, PAGE_SIZE, Pages, RamBlock, Ratio, SampledPage,
};

use super::export::{ExportFormat, export};
use super::{
    EndReason, HistoryBounds, PageSet, PageSource, TraceBlock, TraceEnd, TraceError, TraceFooter,
    TraceHeader, TraceReader, TraceWriter, frame, preamble, summarise,
};

/// An interval: its end, and the positions dirtied in it.
type Written = (u64, Vec<usize>);

fn guest() -> GuestInfo {
    let block = |name: &str, pages: u64| RamBlock {
        name: name.to_owned(),
        used_bytes: Bytes(pages * PAGE_SIZE.0),
        offset_bytes: Bytes(0),
        host_address: None,
    };
    GuestInfo {
        uri: GuestUri::local("/run/a.qmp"),
        name: Some("web".to_owned()),
        uuid: Some("d5c7a80a-0c9e-4b2f-8d8d-1f3c0a9b7e61".to_owned()),
        memory_bytes: Some(Bytes(300 * PAGE_SIZE.0)),
        ram_blocks: vec![block("pc.ram", 300), block("vga.vram", 10)],
        vcpus: Some(1),
        machine: None,
        accelerator: Some("tcg".to_owned()),
    }
}

fn header() -> TraceHeader {
    let guest = guest();
    TraceHeader {
        blocks: TraceBlock::of_guest(&guest),
        guest,
        host: HostInfo::default(),
        source: PageSource::PageHash,
        whole_guest: true,
        interval_ms: Millis(100.0),
        budget: Ratio(0.2),
        started_at: "2026-03-01T12:00:00Z".parse().unwrap(),
        started_monotonic_ns: 1_234_567_890,
        seed: 1,
    }
}

fn pages(weight: f64) -> impl Iterator<Item = SampledPage> {
    let step = weight as usize;
    (0..310u64).step_by(step).map(move |index| SampledPage {
        index: Pages(index),
        weight,
        zero: index.is_multiple_of(3),
    })
}

fn footer() -> TraceFooter {
    TraceFooter {
        reason: EndReason::Complete,
        cpu: Ratio(0.03),
        notes: vec!["all is well".to_owned()],
    }
}

fn write(weight: f64, intervals: &[Written]) -> Vec<u8> {
    let set = PageSet::new("t", pages(weight)).unwrap();
    let mut writer = TraceWriter::begin(Vec::new(), "t", &header(), &set).unwrap();
    for (end_us, dirty) in intervals {
        writer.push(*end_us, dirty).unwrap();
    }
    writer.end(&footer()).unwrap()
}

/// What can be read, and the error or end that stands behind it.
fn read(bytes: &[u8]) -> Result<(Vec<Written>, Result<TraceEnd, TraceError>), TraceError> {
    let mut reader = TraceReader::new(bytes, "t")?;
    let mut intervals = Vec::new();
    loop {
        match reader.next_frame() {
            Ok(Some(frame)) => intervals.extend(frame.intervals().map(|interval| {
                let dirty = interval.dirty.iter().map(|p| p as usize).collect();
                (interval.end_us, dirty)
            })),
            Ok(None) => return Ok((intervals, Ok(reader.end().cloned().unwrap()))),
            Err(error) => return Ok((intervals, Err(error))),
        }
    }
}

fn small_intervals() -> Vec<Written> {
    vec![
        (100_000, vec![0, 1, 2]),
        (200_100, vec![]),
        (1_250_000, vec![309]),
        (1_350_000, (0..310).collect()),
    ]
}

/// Two frames of intervals.
fn small_trace() -> Vec<u8> {
    write(1.0, &small_intervals())
}

/// Every tenth page, with an interval in which nothing happens.
pub(super) fn sparse_trace() -> Vec<u8> {
    write(
        10.0,
        &[
            (100_000, vec![0, 2]),
            (200_100, vec![]),
            (300_000, vec![30]),
        ],
    )
}

/// Where the frames begin, and the end.
fn frame_ends(bytes: &[u8]) -> Vec<usize> {
    let mut at = preamble::LENGTH;
    let mut ends = vec![at];
    while at < bytes.len() {
        let stored = [1, 2, 3, 4].map(|i| bytes[at + i]);
        at += frame::HEAD + u32::from_le_bytes(stored) as usize;
        ends.push(at);
    }
    ends
}

fn intervals() -> impl Strategy<Value = Vec<Written>> {
    let dirty = prop::collection::btree_set(0usize..310, 0..310);
    prop::collection::vec((1u64..2_000_000, dirty), 0..30).prop_map(|parts| {
        let mut end_us = 0;
        let interval = |(length, dirty): (u64, std::collections::BTreeSet<usize>)| {
            end_us += length;
            (end_us, dirty.into_iter().collect())
        };
        parts.into_iter().map(interval).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_was_recorded_is_read(intervals in intervals()) {
        let bytes = write(1.0, &intervals);
        let (read, end) = read(&bytes).unwrap();
        prop_assert_eq!(&read, &intervals);
        prop_assert_eq!(end.unwrap(), TraceEnd::Ended { footer: footer() });
        if !intervals.is_empty() {
            let mut reader = TraceReader::new(&bytes[..], "t").unwrap();
            let history = reader.page_history(&HistoryBounds::default()).unwrap();
            prop_assert_eq!(history.intervals(), intervals.len());
            for (number, (end_us, dirty)) in intervals.iter().enumerate() {
                prop_assert_eq!(history.interval_us(number).1, *end_us);
                let seen: Vec<usize> = (0..310).filter(|p| history.is_dirty(number, *p)).collect();
                prop_assert_eq!(&seen, dirty);
            }
        }
    }
}

#[test]
fn the_clock_may_not_jump_back_while_recording() {
    let set = PageSet::new("t", pages(1.0)).unwrap();
    let mut writer = TraceWriter::begin(Vec::new(), "t", &header(), &set).unwrap();
    writer.push(100, &[1]).unwrap();
    for end_us in [100, 0] {
        let error = writer.push(end_us, &[2]).unwrap_err();
        assert!(error.to_string().contains("clock jumps back"), "{error}");
    }
    writer.push(101, &[3]).unwrap();
    let (intervals, _) = read(&writer.end(&footer()).unwrap()).unwrap();
    assert_eq!(intervals, [(100, vec![1]), (101, vec![3])]);
}

/// Takes so many bytes, then there is no space left.
#[derive(Debug)]
struct SmallDisk {
    bytes: Vec<u8>,
    room: usize,
}

impl Write for SmallDisk {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        let fits = part.len().min(self.room - self.bytes.len());
        self.bytes.extend_from_slice(&part[..fits]);
        if fits == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(fits)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_is_told_and_leaves_what_was_recorded() {
    let all = small_trace();
    let mut disk = SmallDisk {
        bytes: Vec::new(),
        room: frame_ends(&all)[3] + 20,
    };
    let set = PageSet::new("t", pages(1.0)).unwrap();
    let mut writer = TraceWriter::begin(&mut disk, "web.trace", &header(), &set).unwrap();
    for (end_us, dirty) in small_intervals() {
        writer.push(end_us, &dirty).unwrap();
    }
    let message = writer.end(&footer()).unwrap_err().to_string();
    insta::assert_snapshot!(message, @"web.trace cannot be written: the disk is full; what was recorded until 1250 ms can be read; free space there, or record to another disk");
    let (intervals, end) = read(&disk.bytes).unwrap();
    assert_eq!(intervals, small_intervals()[..3]);
    assert!(matches!(end, Ok(TraceEnd::CutOff { .. })));
}

#[test]
fn a_part_of_a_trace_is_a_history() {
    let bytes = small_trace();
    let history = |bounds: HistoryBounds| {
        TraceReader::new(&bytes[..], "t")
            .unwrap()
            .page_history(&bounds)
    };
    let part = history(HistoryBounds {
        from: Duration::from_micros(100_000),
        length: Some(Duration::from_millis(1150)),
        ..HistoryBounds::default()
    })
    .unwrap();
    assert_eq!(part.intervals(), 2);
    assert_eq!(part.interval_us(1), (100_100, 1_150_000));
    assert!(part.is_dirty(1, 309) && !part.is_dirty(1, 0));
    // Page 0 was zero when the recording began, and written before the part.
    assert!(!part.pages()[0].zero && part.pages()[3].zero);

    let few = history(HistoryBounds {
        pages: Some(31),
        ..HistoryBounds::default()
    })
    .unwrap();
    assert_eq!(few.pages().len(), 31);
    assert_eq!(few.represented_pages(), 310.0);
    assert!((0..31).all(|page| few.is_dirty(3, page)));

    let late = HistoryBounds {
        from: Duration::from_secs(60),
        ..HistoryBounds::default()
    };
    assert!(matches!(
        history(late),
        Err(TraceError::Empty {
            length_ms: 1350,
            ..
        })
    ));
    let tight = HistoryBounds {
        most: Bytes(10_000),
        ..HistoryBounds::default()
    };
    assert!(matches!(history(tight), Err(TraceError::TooLarge { .. })));
}

#[test]
fn thinned_pages_stand_for_all() {
    let intervals: Vec<Written> = (1..200u64)
        .map(|n| (n * 100_000, (0..155).collect()))
        .collect();
    let bytes = write(1.0, &intervals);
    let share = |seed| {
        let mut reader = TraceReader::new(&bytes[..], "t").unwrap();
        let bounds = HistoryBounds {
            pages: Some(40),
            seed,
            ..HistoryBounds::default()
        };
        let history = reader.page_history(&bounds).unwrap();
        let dirty = (0..40).filter(|page| history.is_dirty(7, *page));
        dirty.map(|page| history.pages()[page].weight).sum::<f64>()
    };
    // One group of eight pages may lie across the border.
    assert!((0..20).all(|seed| (148.0..=163.0).contains(&share(seed))));
}

#[test]
fn another_guest_is_refused() {
    let header = header();
    header.require_guest("t", &guest()).unwrap();
    let change = |change: fn(&mut GuestInfo)| {
        let mut other = guest();
        change(&mut other);
        header.require_guest("t", &other).unwrap_err().to_string()
    };
    for (message, words) in [
        (
            change(|g| g.uuid = Some("00000000-0000-0000-0000-000000000001".into())),
            "its UUID is d5c7",
        ),
        (
            change(|g| (g.uuid, g.name) = (None, Some("db".into()))),
            "its name is web, not db",
        ),
        (
            change(|g| g.memory_bytes = Some(Bytes::from_mib(2))),
            "its memory is 1228800 bytes",
        ),
    ] {
        assert!(
            message.contains("another guest") && message.contains(words),
            "{message}"
        );
    }
    let mut renamed = guest();
    renamed.name = Some("web-2".to_owned());
    header.require_guest("t", &renamed).unwrap();
}

#[test]
fn a_summary_counts_what_is_there() {
    let sum = |bytes: &[u8]| summarise(&mut TraceReader::new(bytes, "t").unwrap()).unwrap();
    let bytes = small_trace();
    let whole = sum(&bytes);
    assert_eq!((whole.intervals, whole.long_intervals), (4, 1));
    assert_eq!(whole.length_ms, Millis(1350.0));
    assert_eq!(whole.working_set_bytes, Bytes(310 * PAGE_SIZE.0));
    assert_eq!(whole.working_set_standard_error_bytes, Bytes(0));
    let rate = whole.dirty_rate_bytes_per_s.unwrap().0;
    assert!((rate - 314.0 * 4096.0 / 1.35).abs() < 1e-6, "{rate}");
    assert_eq!(whole.file_bytes, Bytes(bytes.len() as u64));

    let cut = sum(&bytes[..bytes.len() - 1]);
    assert_eq!(cut.intervals, 4);
    assert!(matches!(cut.end, TraceEnd::CutOff { .. }));
    let mut damaged = bytes.clone();
    let at = frame_ends(&bytes)[3] + frame::HEAD;
    damaged[at] ^= 1;
    let damaged = sum(&damaged);
    assert_eq!(damaged.intervals, 3);
    assert!(
        matches!(&damaged.end, TraceEnd::Damaged { sound_until_ms: Millis(1250.0), problem, .. } if problem.contains("checksum"))
    );

    let sample = sum(&write(10.0, &[(100_000, vec![0, 30])]));
    assert_eq!(sample.mean_weight, Some(10.0));
    assert_eq!(sample.working_set_bytes, Bytes(20 * PAGE_SIZE.0));
    assert!(sample.working_set_standard_error_bytes.0 > 10 * PAGE_SIZE.0);
    let text = serde_json::to_string(&sample).unwrap();
    assert_eq!(
        serde_json::from_str::<super::TraceSummary>(&text).unwrap(),
        sample
    );

    let nothing = sum(&write(1.0, &[]));
    assert_eq!(
        (nothing.dirty_rate_bytes_per_s, nothing.mean_interval_ms),
        (None, None)
    );
}

#[test]
fn every_dirtied_page_is_a_line() {
    let mut lines = Vec::new();
    let bytes = sparse_trace();
    let mut reader = TraceReader::new(&bytes[..], "t").unwrap();
    let rows = export(&mut reader, ExportFormat::Csv, &mut lines, "out").unwrap();
    assert_eq!(rows, 4);
    insta::assert_snapshot!(String::from_utf8(lines).unwrap(), @r"
    interval,start_us,end_us,block,page_in_block,page,weight
    0,0,100000,pc.ram,0,0,10
    0,0,100000,pc.ram,20,20,10
    1,100000,200100,,,,
    2,200100,300000,vga.vram,0,300,10
    ");
}

#[cfg(not(feature = "parquet"))]
#[test]
fn without_parquet_it_says_how_to_get_it() {
    let bytes = small_trace();
    let mut reader = TraceReader::new(&bytes[..], "t").unwrap();
    let error = export(
        &mut reader,
        ExportFormat::Parquet,
        Vec::new(),
        "web.parquet",
    )
    .unwrap_err();
    insta::assert_snapshot!(error, @"web.parquet: this vmferry was built without Parquet; build it with `cargo build --release -p vmferry-cli --features parquet`, or export to a .csv file");
}
