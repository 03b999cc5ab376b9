//! Recording memory whose content is known.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use vmferry_core::Ratio;
use vmferry_measure::recording::{
    PageChoice, PageSink, RecordEnd, RecordOptions, RecordedPages, record_memory,
};
use vmferry_measure::{GuestMemory, MeasureError};

use crate::child::Memory;

/// Writes into the child after every look, and keeps what is recorded.
struct Writing<F> {
    pages: Option<RecordedPages>,
    intervals: Vec<(u64, Vec<usize>)>,
    after: F,
}

impl<F: FnMut(usize) -> ControlFlow<()> + Send + 'static> PageSink for Writing<F> {
    fn begin(&mut self, pages: RecordedPages) -> ControlFlow<()> {
        self.pages = Some(pages);
        (self.after)(0)
    }

    fn interval(&mut self, end_us: u64, dirty: &[usize]) -> ControlFlow<()> {
        self.intervals.push((end_us, dirty.to_vec()));
        (self.after)(self.intervals.len())
    }
}

fn sink<F: FnMut(usize) -> ControlFlow<()> + Send + 'static>(after: F) -> Writing<F> {
    Writing {
        pages: None,
        intervals: Vec::new(),
        after,
    }
}

fn options() -> RecordOptions {
    RecordOptions {
        interval: Duration::from_millis(20),
        duration: Duration::from_secs(60),
        pages: PageChoice::All,
        budget: Ratio(1.0),
        seed: 1,
    }
}

static GO_ON: AtomicBool = AtomicBool::new(false);

#[test]
fn every_interval_has_its_pages() {
    let mut child = Memory::start(2000);
    child.write(1, &[3]);
    let memory = GuestMemory::open(child.pid(), "child", &child.blocks()).unwrap();
    // Page 1994 lies between the blocks; 1995 is the first of the second one, 1994th in order.
    let writes: [&[u64]; 4] = [&[0, 3, 1994], &[], &[3, 1995, 1999], &[1000]];
    let end = sink(move |looks| match writes.get(looks) {
        Some(pages) => {
            if !pages.is_empty() {
                child.write(looks as u64 + 2, pages);
            }
            ControlFlow::Continue(())
        }
        None => ControlFlow::Break(()),
    });
    let recorded = record_memory(&memory, &options(), &[&GO_ON], end).unwrap();
    assert!(matches!(recorded.end, RecordEnd::SinkClosed));
    let pages = recorded.sink.pages.unwrap();
    assert!(pages.whole_guest && pages.pages.len() == 1999);
    assert!(pages.pages[0].zero && !pages.pages[3].zero);
    let dirty: Vec<Vec<usize>> = recorded
        .sink
        .intervals
        .iter()
        .map(|(_, dirty)| dirty.clone())
        .collect();
    assert_eq!(dirty, [vec![0, 3], vec![], vec![3, 1994, 1998], vec![1000]]);
    assert!(recorded.sink.intervals.windows(2).all(|i| i[0].0 < i[1].0));
}

#[test]
fn a_small_budget_records_a_declared_subset() {
    let child = Memory::start(20_006);
    let memory = GuestMemory::open(child.pid(), "child", &child.blocks()).unwrap();
    let small = RecordOptions {
        interval: Duration::from_millis(10),
        duration: Duration::from_millis(200),
        pages: PageChoice::Affordable,
        budget: Ratio(0.01),
        ..options()
    };
    let recorded = record_memory(
        &memory,
        &small,
        &[&GO_ON],
        sink(|_| ControlFlow::Continue(())),
    )
    .unwrap();
    assert!(matches!(recorded.end, RecordEnd::Complete));
    let pages = recorded.sink.pages.unwrap();
    assert!(!pages.whole_guest && pages.pages.len() < 20_005);
    let stand_for: f64 = pages.pages.iter().map(|page| page.weight).sum();
    assert_eq!(stand_for, 20_005.0);
    let last = recorded.sink.intervals.last().unwrap().0;
    assert!(last >= 200_000, "the last look is at the end: {last}");
}

#[test]
fn a_look_that_takes_too_long_makes_its_interval_longer() {
    let child = Memory::start(40_000);
    let memory = GuestMemory::open(child.pid(), "child", &child.blocks()).unwrap();
    let all = RecordOptions {
        interval: Duration::from_millis(1),
        duration: Duration::from_millis(300),
        budget: Ratio(0.1),
        ..options()
    };
    let recorded = record_memory(
        &memory,
        &all,
        &[&GO_ON],
        sink(|_| ControlFlow::Continue(())),
    )
    .unwrap();
    // 160 MB cannot be hashed within 0.1 ms.
    assert!(
        recorded.sink.intervals.len() < 150,
        "{}",
        recorded.sink.intervals.len()
    );
    assert!(
        recorded
            .notes
            .iter()
            .any(|note| note.contains("are longer than 2 ms"))
    );
}

#[test]
fn it_ends_when_told_and_when_the_guest_exits() {
    static STOP: AtomicBool = AtomicBool::new(false);
    let child = Memory::start(100);
    let memory = GuestMemory::open(child.pid(), "child", &child.blocks()).unwrap();
    let stopping = sink(|looks| {
        STOP.store(looks == 2, Ordering::Relaxed);
        ControlFlow::Continue(())
    });
    let recorded = record_memory(&memory, &options(), &[&GO_ON, &STOP], stopping).unwrap();
    assert!(matches!(recorded.end, RecordEnd::Stopped));
    assert_eq!(recorded.sink.intervals.len(), 2);

    let mut child = child;
    let killing = sink(move |looks| {
        if looks == 3 {
            child.kill();
        }
        ControlFlow::Continue(())
    });
    let recorded = record_memory(&memory, &options(), &[&GO_ON], killing).unwrap();
    assert!(matches!(
        recorded.end,
        RecordEnd::Failed(MeasureError::GuestExited { .. })
    ));
    assert_eq!(recorded.sink.intervals.len(), 3);
}
