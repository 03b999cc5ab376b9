//! Every check, passed and failed.

use serde_json::json;
use vmferry_core::plan::MoveLimits;
use vmferry_core::{Bytes, GuestInfo, HostInfo, Plan, RamBlock};
use vmferry_hypervisor::qmp::MigrationInfo;

use super::{EndFacts, check};

fn end(run_state: &str, pid: u32) -> EndFacts {
    EndFacts {
        guest: GuestInfo {
            uri: "qmp:/run/a.qmp".parse().unwrap(),
            name: Some("web".into()),
            uuid: None,
            memory_bytes: Some(Bytes::from_mib(256)),
            ram_blocks: vec![RamBlock {
                name: "pc.ram".into(),
                used_bytes: Bytes::from_mib(256),
                offset_bytes: Bytes(0),
                host_address: None,
            }],
            vcpus: Some(1),
            machine: Some("pc-q35-10.0-machine".into()),
            accelerator: Some("tcg".into()),
        },
        host: HostInfo {
            hypervisor: "qemu".into(),
            hypervisor_version: Some("10.0.2".into()),
            ..HostInfo::default()
        },
        run_state: run_state.into(),
        migration: MigrationInfo::from_value(json!({})),
        pid: Some(pid),
        port_taken: Some(false),
        available_memory: Some(Bytes::from_mib(4096)),
    }
}

fn plan() -> Plan {
    Plan {
        source: "qmp:/run/a.qmp".parse().unwrap(),
        destination: "qmp:/run/b.qmp".parse().unwrap(),
        via: "tcp:10.77.0.2:4444".parse().unwrap(),
        limits: MoveLimits::default(),
        tls_dir: None,
    }
}

fn failed(change: impl FnOnce(&mut Plan, &mut EndFacts, &mut EndFacts)) -> Vec<String> {
    let (mut plan, mut source, mut destination) = (plan(), end("running", 1), end("inmigrate", 2));
    change(&mut plan, &mut source, &mut destination);
    let checks = check(&plan, &source, &destination);
    checks
        .into_iter()
        .filter(|c| !c.passed)
        .map(|c| format!("{}: {}", c.name, c.detail))
        .collect()
}

#[test]
fn a_good_pair_passes_every_check() {
    assert_eq!(failed(|_, _, _| ()), Vec::<String>::new());
}

#[test]
fn each_fault_fails_one_check_and_says_what_to_do() {
    let report = [
        failed(|_, s, _| s.run_state = "paused".into()),
        failed(|_, s, _| s.run_state = "postmigrate".into()),
        failed(|_, s, _| s.migration = MigrationInfo::from_value(json!({"status": "active"}))),
        failed(|_, s, _| s.migration = MigrationInfo::from_value(json!({"status": "warp-drive"}))),
        failed(|_, s, _| {
            s.migration = MigrationInfo::from_value(json!({"blocked-reasons": ["VFIO says no"]}))
        }),
        failed(|p, _, _| p.destination = p.source.clone()),
        failed(|_, _, d| d.pid = Some(1)),
        failed(|_, _, d| d.run_state = "running".into()),
        failed(|_, _, d| d.migration = MigrationInfo::from_value(json!({"status": "active"}))),
        failed(|_, _, d| d.guest.machine = Some("pc-i440fx-10.0-machine".into())),
        failed(|_, _, d| d.guest.memory_bytes = Some(Bytes::from_mib(128))),
        failed(|_, _, d| d.guest.ram_blocks[0].name = "mem0".into()),
        failed(|_, _, d| d.guest.vcpus = Some(2)),
        failed(|_, _, d| d.guest.accelerator = Some("kvm".into())),
        failed(|_, _, d| d.host.hypervisor = "xen".into()),
        failed(|_, _, d| d.available_memory = Some(Bytes::from_mib(100))),
        failed(|_, _, d| d.port_taken = Some(true)),
        failed(|p, _, _| p.tls_dir = Some("/nonexistent".into())),
    ]
    .concat()
    .join("\n");
    insta::assert_snapshot!(report);
}
