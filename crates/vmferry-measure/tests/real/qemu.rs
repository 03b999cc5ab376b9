//! Whole observations of real guests.

use std::time::Duration;

use serde_json::json;
use vmferry_core::{Bytes, Observation, ObservationMethod, PAGE_SIZE, Pages, Ratio};
use vmferry_hypervisor::qmp::Guest;
use vmferry_measure::pages::PageOptions;
use vmferry_measure::{MeasureError, Method, ObserveOptions, observe, observe_with};

use crate::virtual_machine::{FIRST_PAGE, VirtualMachine};

fn options(window: Duration, method: Method) -> ObserveOptions {
    ObserveOptions {
        pages: PageOptions {
            window,
            pages: 1 << 16,
            period: Duration::from_millis(50),
            budget: Ratio(1.0),
            seed: 1,
        },
        method,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_known_guest_is_seen_as_it_is() {
    let machine = VirtualMachine::start(16, 64);
    let guest = machine.connect_when_writing().await;
    let seen = observe(&guest, &options(Duration::from_secs(1), Method::Pages))
        .await
        .unwrap();
    assert_eq!(seen.method, ObservationMethod::PageHash);
    assert_eq!(seen.guest.label(), "writer");
    assert_eq!(seen.guest.ram_blocks[0].name, "pc.ram");
    // Every written page, and no other.
    let whole = seen.dirty_curve.points.last().unwrap();
    assert_eq!(whole.dirtied_bytes, Bytes(64 * PAGE_SIZE.0));
    let history = seen.page_history.as_ref().unwrap();
    let dirty: Vec<u64> = (0..history.pages().len())
        .filter(|page| (0..history.intervals()).any(|i| history.is_dirty(i, *page)))
        .map(|page| history.pages()[page].index.0)
        .collect();
    assert_eq!(dirty, (FIRST_PAGE..FIRST_PAGE + 64).collect::<Vec<u64>>());
    assert!(seen.page_mix.exact);
    assert_eq!(
        seen.guest.migrated_bytes().unwrap().pages(),
        seen.page_mix.total_pages
    );
    assert!(seen.vcpu_use.unwrap().0 > 0.0, "{:?}", seen.vcpu_use);
    assert!(seen.cost.cpu.0 > 0.0 && seen.cost.cpu.0 <= 1.0);

    zero_pages_agree_with_qemu(&guest, &seen).await;
}

/// QEMU's own count: what it sends as zero pages of the guest when it stands still.
async fn zero_pages_agree_with_qemu(guest: &Guest, seen: &Observation) {
    guest.stop().await.unwrap();
    guest
        .request("migrate", Some(json!({ "uri": "exec:cat > /dev/null" })))
        .await
        .unwrap();
    let sent = loop {
        let info = guest.migration().await.unwrap();
        if info.status.is_end() {
            break info.ram;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let zero = seen.page_mix.zero.unwrap().0 * seen.page_mix.total_pages.0 as f64;
    assert_eq!(sent.duplicate_pages, Some(zero.round() as u64));
    assert_eq!(
        sent.duplicate_pages
            .zip(sent.normal_pages)
            .map(|(z, n)| Pages(z + n)),
        Some(seen.page_mix.total_pages)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn shared_memory_is_read_but_its_holes_are_not_filled() {
    let shared = "memory-backend-memfd,id=ram,size=64M,share=on";
    let more = ["-object", shared, "-machine", "q35,memory-backend=ram"];
    let machine = VirtualMachine::start_with(64, 100, &more);
    let guest = machine.connect_when_writing().await;
    let mut options = options(Duration::from_secs(1), Method::Pages);
    options.pages.pages = 256;
    let seen = observe(&guest, &options).await.unwrap();
    assert!(seen.page_mix.exact);
    let status = std::fs::read_to_string(format!("/proc/{}/status", guest.pid().unwrap())).unwrap();
    let shared: u64 = status
        .lines()
        .find_map(|line| line.strip_prefix("RssShmem:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .unwrap();
    assert!(shared < 16 << 10, "{shared} KiB of 64 MiB are in use now");
    zero_pages_agree_with_qemu(&guest, &seen).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn qemu_s_own_measurement_agrees() {
    let machine = VirtualMachine::start(256, 16 << 8);
    let guest = machine.connect_when_writing().await;
    let by_qemu = observe(&guest, &options(Duration::from_millis(1500), Method::Qmp))
        .await
        .unwrap();
    assert_eq!(by_qemu.method, ObservationMethod::CalcDirtyRate);
    assert_eq!((by_qemu.page_mix.zero, by_qemu.page_history), (None, None));
    assert!(by_qemu.page_mix.total_pages > Pages(65_536));
    // 16 MiB are rewritten all the time, so that every window sees them all.
    let longest = by_qemu.dirty_curve.points.last().unwrap();
    let mib = longest.dirtied_bytes.as_mib();
    let error = longest.standard_error_bytes.as_mib();
    assert!((mib - 16.0).abs() < 5.0 * error, "{mib} +- {error}");
    assert!(by_qemu.notes[0].contains("zero pages is unknown"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_guest_is_refused_at_the_start_and_on_the_way() {
    let machine = VirtualMachine::start(16, 64);
    let guest = machine.connect().await;
    let options = options(Duration::from_millis(600), Method::Auto);
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let observing = observe_with(&guest, &options, move |progress| {
        let _ = tell.send(progress);
    });
    let pausing = async {
        told.recv().await.unwrap();
        guest.stop().await.unwrap();
    };
    let (seen, ()) = tokio::join!(observing, pausing);
    assert!(
        matches!(seen, Err(MeasureError::NotRunning { .. })),
        "{seen:?}"
    );
    let text = observe(&guest, &options).await.unwrap_err().to_string();
    assert!(text.starts_with("writer: the guest is paused"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_exits_on_the_way_is_named() {
    let mut machine = VirtualMachine::start(16, 64);
    let guest = machine.connect().await;
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let options = options(Duration::from_secs(60), Method::Pages);
    let observing = observe_with(&guest, &options, move |progress| {
        let _ = tell.send(progress);
    });
    let killing = async {
        told.recv().await.unwrap();
        machine.kill();
    };
    let (seen, ()) = tokio::join!(observing, killing);
    let text = seen.unwrap_err().to_string();
    assert!(
        text.starts_with("writer: the guest exited while it was measured"),
        "{text}"
    );
}
