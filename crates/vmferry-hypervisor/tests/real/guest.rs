//! What a guest tells, and how it is commanded.

use std::time::Duration;

use serde_json::{Map, json};
use vmferry_hypervisor::HypervisorError;
use vmferry_hypervisor::qmp::{DirtyRateMode, DirtyRateRequest};

use crate::qemu::Qemu;

#[tokio::test]
async fn a_guest_tells_what_it_is() {
    let qemu = Qemu::start(&[
        "-machine",
        "q35",
        "-m",
        "64",
        "-smp",
        "2",
        "-S",
        "-name",
        "little",
        "-uuid",
        "6fd0a3a1-6e0c-4a47-8d55-8d9e0c7a3a55",
    ]);
    let guest = qemu.connect().await;
    assert_eq!(guest.pid(), Some(qemu.pid()));
    let info = guest.info().await.unwrap();
    assert_eq!(info.name.as_deref(), Some("little"));
    assert_eq!(
        info.uuid.as_deref(),
        Some("6fd0a3a1-6e0c-4a47-8d55-8d9e0c7a3a55")
    );
    assert_eq!(info.memory_bytes.unwrap().0, 64 << 20);
    assert_eq!(info.vcpus, Some(2));
    assert!(info.machine.unwrap().starts_with("pc-q35-"));
    assert_eq!(info.accelerator.as_deref(), Some("tcg"));
    let ram = info.ram_blocks.iter().find(|b| b.name == "pc.ram").unwrap();
    assert_eq!(ram.used_bytes.0, 64 << 20);
    assert!(ram.host_address.is_some());

    let host = guest.host_info();
    let version = guest.version().await.unwrap();
    assert_eq!(host.hypervisor_version, version.number());
    assert_eq!(version, guest.greeting().version);

    let vcpus = guest.vcpus().await.unwrap();
    for vcpu in &vcpus {
        let task = format!("/proc/{}/task/{}", qemu.pid(), vcpu.thread_id.unwrap());
        assert!(std::path::Path::new(&task).exists(), "{task}");
    }
    assert_eq!(guest.migration_threads().await.unwrap(), []);
}

#[tokio::test]
async fn addresses_from_both_sources_agree() {
    let qemu = Qemu::paused();
    let guest = qemu.connect().await;
    let (block, address) = guest.host_address(0x1000).await.unwrap().unwrap();
    let blocks = guest.ram_blocks().await.unwrap();
    let ram = blocks.iter().find(|b| b.name == block).unwrap();
    assert_eq!(ram.host_address, Some(address - 0x1000));
    assert_eq!(ram.page_size_bytes, Some(4096));
    assert_eq!(guest.host_address(1 << 50).await.unwrap(), None);
}

#[tokio::test]
async fn a_guest_runs_stops_and_quits() {
    let qemu = Qemu::paused();
    let guest = qemu.connect().await;
    let mut events = guest.events();
    assert_eq!(guest.run_state().await.unwrap().running, Some(false));
    guest.cont().await.unwrap();
    assert_eq!(guest.run_state().await.unwrap().running, Some(true));
    guest.stop().await.unwrap();
    let state = guest.run_state().await.unwrap();
    assert_eq!(state.status.as_deref(), Some("paused"));
    guest.quit().await.unwrap();
    guest.closed().await;
    let mut names = Vec::new();
    while let Some(event) = events.next().await {
        assert!(event.timestamp_us.is_some());
        names.push(event.name);
    }
    assert_eq!(names, ["RESUME", "STOP", "SHUTDOWN"]);
    let error = guest.run_state().await.unwrap_err();
    assert!(error.is_closed() && error.is_unreachable(), "{error}");
}

#[tokio::test]
async fn a_crash_fails_every_waiting_request() {
    let mut qemu = Qemu::paused();
    let guest = qemu.connect().await;
    // A stopped process answers nothing, so these requests wait.
    let pid = nix::unistd::Pid::from_raw(qemu.pid().cast_signed());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGSTOP).unwrap();
    let waiting: Vec<_> = (0..3)
        .map(|_| {
            let guest = guest.clone();
            tokio::spawn(async move { guest.migration().await })
        })
        .collect();
    let late = guest
        .request_within("query-status", None, Duration::from_millis(50))
        .await
        .unwrap_err();
    assert!(matches!(late, HypervisorError::Timeout { .. }), "{late}");
    qemu.kill();
    for request in waiting {
        let error = request.await.unwrap().unwrap_err();
        assert!(error.is_closed(), "{error}");
        assert!(error.to_string().contains("guest exited or monitor closed"));
    }
    assert!(guest.is_closed());
}

#[tokio::test]
async fn dropped_requests_do_no_harm() {
    let qemu = Qemu::paused();
    let guest = qemu.connect().await;
    for _ in 0..20 {
        tokio::select! {
            biased;
            _ = guest.request("query-qmp-schema", None) => {}
            () = tokio::task::yield_now() => {}
        }
    }
    assert_eq!(guest.run_state().await.unwrap().running, Some(false));
}

#[tokio::test]
async fn parameters_and_capabilities_are_set_and_read_back() {
    let qemu = Qemu::paused();
    let guest = qemu.connect().await;
    let before = guest.parameters().await.unwrap();
    let wanted = Map::from_iter([
        ("downtime-limit".to_owned(), json!(123)),
        ("max-bandwidth".to_owned(), json!(5_000_000)),
    ]);
    guest.set_parameters(wanted).await.unwrap();
    let after = guest.parameters().await.unwrap();
    assert_eq!(after.downtime_limit_ms, Some(123));
    assert_eq!(after.max_bandwidth_bytes_per_s, Some(5_000_000));
    // What an undo journal does.
    let restore =
        ["downtime-limit", "max-bandwidth"].map(|name| (name.to_owned(), before.raw[name].clone()));
    guest.set_parameters(Map::from_iter(restore)).await.unwrap();
    assert_eq!(guest.parameters().await.unwrap(), before);

    let unknown = Map::from_iter([("warp-factor".to_owned(), json!(9))]);
    let error = guest.set_parameters(unknown).await.unwrap_err();
    assert!(error.is_unsupported() && !error.is_unreachable(), "{error}");
    let absurd = Map::from_iter([("downtime-limit".to_owned(), json!(1_u64 << 40))]);
    let error = guest.set_parameters(absurd).await.unwrap_err();
    assert!(matches!(error, HypervisorError::Refused { .. }), "{error}");

    guest
        .set_capabilities(&[("events", true), ("auto-converge", true)])
        .await
        .unwrap();
    let capabilities = guest.capabilities().await.unwrap();
    assert!(capabilities["events"] && capabilities["auto-converge"]);
    assert!(!capabilities["xbzrle"]);
    let error = guest.set_capabilities(&[("warp", true)]).await.unwrap_err();
    assert!(error.to_string().contains("warp"), "{error}");
}

#[tokio::test]
async fn unknown_commands_are_told_from_failures() {
    let qemu = Qemu::paused();
    let guest = qemu.connect().await;
    let error = guest.request("bogus", None).await.unwrap_err();
    assert!(error.is_unsupported(), "{error}");
    let error = guest.object_property("/nowhere", "x").await.unwrap_err();
    assert!(!error.is_unsupported() && !error.is_unreachable());
}

#[tokio::test]
async fn the_dirty_rate_is_measured() {
    let qemu = Qemu::start(&["-machine", "q35", "-m", "64"]);
    let guest = qemu.connect().await;
    let wanted = DirtyRateRequest {
        window: Duration::from_millis(100),
        mode: DirtyRateMode::PageSampling,
        sample_pages_per_gib: Some(1024),
    };
    guest.calc_dirty_rate(wanted).await.unwrap();
    let measured = loop {
        let rate = guest.dirty_rate().await.unwrap();
        if rate.is_measured() {
            break rate;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(measured.mib_per_s.is_some());
    assert_eq!(measured.raw["sample-pages"], 1024);
}

#[tokio::test]
async fn a_machine_without_anything_still_answers() {
    let qemu = Qemu::start(&["-machine", "none", "-S"]);
    let info = qemu.connect().await.info().await.unwrap();
    assert_eq!(info.machine.as_deref(), Some("none-machine"));
    assert_eq!((info.name, info.uuid), (None, None));
}
