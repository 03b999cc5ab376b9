//! Page sampling and zero counting against memory whose content is known.

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use vmferry_core::{Bytes, PAGE_SIZE, Pages, RamBlock, Ratio};
use vmferry_measure::page_mix::count_zero_pages;
use vmferry_measure::pages::{PageOptions, watch};
use vmferry_measure::{GuestMemory, MeasureError, dirty_curve, rewritten_pages};

use crate::child::Memory;

/// All of a small memory, without a budget that matters.
fn everything() -> PageOptions {
    PageOptions {
        window: Duration::from_millis(400),
        pages: 1 << 20,
        period: Duration::from_millis(20),
        budget: Ratio(1.0),
        seed: 1,
    }
}

static GO_ON: AtomicBool = AtomicBool::new(false);

#[test]
fn exactly_the_dirtied_pages_are_seen() {
    let mut child = Memory::start(2000);
    child.write(1, &[3, 700]);
    let memory = GuestMemory::open(child.pid(), "child", &child.blocks()).unwrap();
    assert_eq!(memory.size(), Bytes(1999 * PAGE_SIZE.0));
    // Page 1994 lies between the blocks; 1995 is the first of the second one, 1994th in order.
    let writes: [&[u64]; 3] = [&[0, 3, 64, 1993, 1994], &[3, 1995, 1999], &[1000]];
    let seen = watch(&memory, &everything(), &[], &GO_ON, |progress| {
        // After look n+1, so the change is in interval n.
        if let Some(pages) = writes.get(progress.looks as usize - 2) {
            child.write(progress.looks, pages);
        }
    })
    .unwrap();
    let history = &seen.history;
    assert_eq!(history.represented_pages(), 1999.0);
    let dirty = |interval: usize| -> Vec<u64> {
        (0..history.pages().len())
            .filter(|page| history.is_dirty(interval, *page))
            .map(|page| history.pages()[page].index.0)
            .collect()
    };
    assert_eq!(dirty(0), [] as [u64; 0]);
    assert_eq!(dirty(1), [0, 3, 64, 1993]);
    assert_eq!(dirty(2), [3, 1994, 1998]);
    assert_eq!(dirty(3), [1000]);
    assert!((4..history.intervals()).all(|interval| dirty(interval).is_empty()));
    let whole = dirty_curve(history).points.last().copied().unwrap();
    assert_eq!(whole.dirtied_bytes, Bytes(7 * PAGE_SIZE.0));
    let nonzero: Vec<u64> = history
        .pages()
        .iter()
        .filter(|page| !page.zero)
        .map(|page| page.index.0)
        .collect();
    assert_eq!(nonzero, [3, 700]);
    assert_eq!(seen.looks as usize, history.intervals() + 1);
    assert_eq!(seen.content.duplicate(), Some(Ratio(1.0)));
}

#[test]
fn a_sample_weighs_what_it_stands_for() {
    let mut child = Memory::start(4006);
    let memory = GuestMemory::open(child.pid(), "child", &child.blocks()).unwrap();
    let options = PageOptions {
        pages: 400,
        ..everything()
    };
    // The first half of the memory, all the time.
    let half: Vec<u64> = (0..2000).collect();
    let seen = watch(&memory, &options, &[], &GO_ON, |progress| {
        child.write(progress.looks, &half);
    })
    .unwrap();
    assert_eq!(seen.history.represented_pages(), 4005.0);
    let first = dirty_curve(&seen.history).points.last().copied().unwrap();
    let pages = first.dirtied_bytes.0 as f64 / PAGE_SIZE.0 as f64;
    // One stratum of ten pages lies across the border.
    assert!((1990.0..=2010.0).contains(&pages), "{pages}");
}

#[test]
fn zero_pages_are_counted_exactly_and_get_no_memory() {
    let mut child = Memory::start(20_000);
    let zeroed: Vec<u64> = (100..400).collect();
    child.write(0, &zeroed);
    let used: Vec<u64> = (1000..6000).chain([19_999]).collect();
    child.write(5, &used);
    let memory = GuestMemory::open(child.pid(), "child", &child.blocks()).unwrap();
    let resident = child.resident_pages();
    let count = |limit| count_zero_pages(&memory, limit, Ratio(1.0), 1, &GO_ON).unwrap();
    let exact = count(Duration::from_secs(60));
    assert_eq!(exact.total_pages, Pages(19_999));
    assert!(exact.exact && exact.standard_error == Ratio(0.0));
    assert_eq!((exact.zero.0 * 19_999.0).round(), 19_999.0 - 5001.0);
    assert!(
        child.resident_pages() <= resident + 64,
        "untouched pages were read"
    );

    let sampled = count(Duration::ZERO);
    assert!(
        !sampled.exact && sampled.standard_error.0 > 0.0,
        "{sampled:?}"
    );
    let error = (sampled.zero.0 - exact.zero.0).abs();
    assert!(error < 6.0 * sampled.standard_error.0 + 1e-3, "{sampled:?}");
}

#[test]
fn a_guest_that_exits_is_named() {
    let mut child = Memory::start(100);
    let pid = child.pid();
    let memory = GuestMemory::open(pid, "db1", &child.blocks()).unwrap();
    let error = watch(&memory, &everything(), &[], &GO_ON, |progress| {
        if progress.looks == 3 {
            child.kill();
        }
    })
    .unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "db1: the guest exited while it was measured (PID {pid}); start it and measure again"
        )
    );
    let error = count_zero_pages(&memory, Duration::MAX, Ratio(1.0), 1, &GO_ON).unwrap_err();
    assert!(matches!(error, MeasureError::GuestExited { .. }), "{error}");
}

#[test]
fn a_cancelled_watch_ends() {
    let child = Memory::start(100);
    let memory = GuestMemory::open(child.pid(), "db1", &child.blocks()).unwrap();
    let cancel = AtomicBool::new(false);
    let options = PageOptions {
        window: Duration::from_secs(3600),
        ..everything()
    };
    let error = watch(&memory, &options, &[], &cancel, |progress| {
        cancel.store(progress.looks == 4, Ordering::Relaxed);
    })
    .unwrap_err();
    assert!(matches!(error, MeasureError::Cancelled { .. }), "{error}");
}

#[test]
fn the_budget_is_kept_by_a_slower_pace_and_fewer_pages() {
    let mut child = Memory::start(30_000);
    let all: Vec<u64> = (0..30_000).collect();
    child.write(9, &all);
    let memory = GuestMemory::open(child.pid(), "child", &child.blocks()).unwrap();
    let options = PageOptions {
        window: Duration::from_secs(2),
        pages: 20_000,
        budget: Ratio(0.02),
        ..everything()
    };
    let seen = watch(&memory, &options, &[], &GO_ON, |_| ()).unwrap();
    assert!(seen.history.pages().len() < 20_000, "{:?}", seen.notes);
    assert!(
        seen.notes[0].contains("to stay within 2.0 % of a core"),
        "{:?}",
        seen.notes
    );
    let running = seen.history.window_us() as f64 / 1e6;
    // The looks before the window, one of them over all 20,000 pages, come on top.
    assert!(
        seen.cpu_time.as_secs_f64() < running * 0.02 * 2.0 + 0.2,
        "{seen:?}"
    );
}

#[test]
fn a_small_budget_looks_at_few_pages_quickly_and_at_many_slowly() {
    let mut child = Memory::start(30_000);
    let third: Vec<u64> = (0..10_000).collect();
    child.write(9, &third);
    let memory = GuestMemory::open(child.pid(), "child", &child.blocks()).unwrap();
    let options = PageOptions {
        window: Duration::from_secs(2),
        pages: 20_000,
        period: Duration::from_millis(5),
        budget: Ratio(0.05),
        seed: 1,
    };
    let seen = watch(&memory, &options, &[], &GO_ON, |progress| {
        if progress.looks == 3 {
            child.write(10, &third);
        }
    })
    .unwrap();
    let (quick, slow) = (&seen.history, seen.slow_history.as_ref().unwrap());
    assert_eq!(quick.represented_pages(), 29_999.0);
    assert_eq!(slow.represented_pages(), 29_999.0);
    assert!(slow.pages().len() >= 2 * quick.pages().len());
    assert!(quick.intervals() > 2 * slow.intervals(), "{:?}", seen.notes);
    assert_eq!(seen.looks as usize, quick.intervals() + 1);
    assert!(
        seen.notes
            .iter()
            .any(|note| note.contains(" s, to stay within 5.0 % of a core")),
        "{:?}",
        seen.notes
    );
    let whole = dirty_curve(slow).points.last().copied().unwrap();
    let pages = whole.dirtied_bytes.0 as f64 / PAGE_SIZE.0 as f64;
    assert!((pages / 10_000.0 - 1.0).abs() < 0.02, "{pages}");
}

#[test]
fn a_census_lists_exactly_what_was_rewritten() {
    let mut child = Memory::start(2000);
    child.write(1, &[3, 64, 700, 1995]);
    let memory = GuestMemory::open(child.pid(), "child", &child.blocks()).unwrap();
    let census = std::thread::scope(|scope| {
        let census = scope
            .spawn(|| rewritten_pages(&memory, Duration::from_millis(300), Ratio(1.0), &GO_ON));
        // Page 1994 lies between the blocks. Page 5 was absent at the first reading.
        for round in 2.. {
            child.write(round, &[3, 5, 64, 1993, 1994, 1995, 1999]);
            if census.is_finished() {
                break;
            }
        }
        census.join().unwrap().unwrap()
    });
    assert_eq!(census, [3, 5, 64, 1993, 1994, 1998]);
    let quiet = rewritten_pages(&memory, Duration::ZERO, Ratio(1.0), &GO_ON).unwrap();
    assert_eq!(quiet, [] as [u64; 0]);
    let stop = AtomicBool::new(true);
    let error = rewritten_pages(&memory, Duration::ZERO, Ratio(1.0), &stop).unwrap_err();
    assert!(matches!(error, MeasureError::Cancelled { .. }), "{error}");
}

#[test]
fn rewritten_pages_are_watched_one_by_one() {
    let mut child = Memory::start(4006);
    let memory = GuestMemory::open(child.pid(), "child", &child.blocks()).unwrap();
    let busy: Vec<u64> = (100..200).collect();
    let options = PageOptions {
        pages: 400,
        ..everything()
    };
    let seen = watch(&memory, &options, &busy, &GO_ON, |progress| {
        child.write(progress.looks, &busy);
    })
    .unwrap();
    let history = &seen.history;
    assert_eq!(history.represented_pages(), 4005.0);
    let alone = history.pages().iter().filter(|page| page.weight == 1.0);
    assert_eq!(alone.map(|p| p.index.0).collect::<Vec<_>>(), busy);
    // Nothing is left to chance: the curve is exact, and says so.
    let last = dirty_curve(history).points.last().copied().unwrap();
    assert_eq!(last.dirtied_bytes, Bytes(100 * PAGE_SIZE.0));
    assert_eq!(last.standard_error_bytes, Bytes(0));
}

#[test]
fn a_few_pages_are_looked_at_every_ten_milliseconds_beside_the_others() {
    let mut child = Memory::start(4000);
    let memory = GuestMemory::open(child.pid(), "child", &child.blocks()).unwrap();
    let options = PageOptions {
        window: Duration::from_millis(600),
        pages: 2000,
        period: Duration::from_millis(30),
        budget: Ratio(0.5),
        seed: 1,
    };
    let half: Vec<u64> = (0..2000).collect();
    let seen = watch(&memory, &options, &[], &GO_ON, |progress| {
        child.write(progress.looks, &half);
    })
    .unwrap();
    let fine = seen.fine_history.unwrap();
    assert!(seen.slow_history.is_none());
    assert!(fine.intervals() > 3 * seen.history.intervals() / 2);
    assert!(fine.pages().len() < seen.history.pages().len());
    // Both see the same half of the memory written.
    let whole = |history| dirty_curve(history).points.last().unwrap().dirtied_bytes.0 as f64;
    let share = whole(&fine) / whole(&seen.history);
    assert!((share - 1.0).abs() < 0.2, "{share}");
}

const VICTIM: &str = "VMFERRY_TEST_VICTIM";

/// The side of another user; does nothing in the test program itself.
#[test]
fn reader_of_another_user() {
    let Ok(victim) = std::env::var(VICTIM) else {
        return;
    };
    let (pid, address) = victim.split_once(' ').unwrap();
    let block = RamBlock {
        name: "ram".into(),
        used_bytes: PAGE_SIZE,
        offset_bytes: Bytes(0),
        host_address: Some(address.parse().unwrap()),
    };
    let error = GuestMemory::open(pid.parse().unwrap(), "db1", &[block]).unwrap_err();
    assert!(error.is_unreadable());
    let text = error.to_string();
    assert!(text.contains("db1: permission denied"), "{text}");
    assert!(
        text.contains("run vmferry as root or as the user"),
        "{text}"
    );
    assert!(text.contains("CAP_SYS_PTRACE"), "{text}");
}

#[test]
fn another_user_s_guest_is_refused_with_a_way_out() {
    assert!(nix::unistd::geteuid().is_root(), "this test needs root");
    let child = Memory::start(100);
    let address = child.blocks()[0].host_address.unwrap();
    // A copy that nobody may run: build directories are often private.
    let place = tempfile::tempdir().unwrap();
    let program = place.path().join("reader");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let everyone = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(place.path(), everyone).unwrap();
    let output = Command::new(&program)
        .args(["--exact", "memory::reader_of_another_user"])
        .env(VICTIM, format!("{} {address}", child.pid()))
        .uid(65534)
        .gid(65534)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("1 passed"), "{text}");
}
