//! Every check, passed and failed.

use serde_json::json;
use vmferry_core::plan::MoveLimits;
use vmferry_core::{Bytes, GuestInfo, HostInfo, Plan, RamBlock};
use vmferry_hypervisor::qmp::MigrationInfo;

use super::{Devices, EndFacts, LocalAddresses, check};

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
        via_addresses: vec!["127.0.0.1".parse().unwrap()],
        local_addresses: LocalAddresses::of(std::process::id()),
        devices: Some(Devices::default()),
        available_memory: Some(Bytes::from_mib(4096)),
        knows_postcopy: None,
        userfaultfd: None,
    }
}

fn plan() -> Plan {
    Plan {
        source: "qmp:/run/a.qmp".parse().unwrap(),
        destination: "qmp:/run/b.qmp".parse().unwrap(),
        via: "tcp:10.77.0.2:4444".parse().unwrap(),
        limits: MoveLimits::default(),
        tls_dir: None,
        promise: None,
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
        failed(|_, s, _| {
            let types = &mut s.devices.as_mut().unwrap().types;
            types.insert("virtio-rng-pci".into(), 1);
        }),
        failed(|p, _, _| p.tls_dir = Some("/nonexistent".into())),
    ]
    .concat()
    .join("\n");
    insta::assert_snapshot!(report);
}

#[test]
fn the_stream_must_go_to_an_address_of_the_destination() {
    let via = |host: &str, resolved: &[&str]| {
        let found = failed(|p, _, d| {
            p.via.host = host.into();
            d.via_addresses = resolved.iter().map(|a| a.parse().unwrap()).collect();
        });
        found.join("\n")
    };
    assert_eq!(via("localhost", &["::5", "127.0.0.1"]), "");
    for (host, resolved, words) in [
        (
            "192.0.2.77",
            &["192.0.2.77"][..],
            "no address of the destination, which has",
        ),
        ("0.0.0.0", &["0.0.0.0"], "none that the source can send to"),
        ("::", &["::"], "none that the source can send to"),
        ("nowhere.invalid", &[], "cannot be resolved"),
    ] {
        let found = via(host, resolved);
        assert!(
            found.starts_with(&format!("stream address: {host} ")),
            "{found}"
        );
        assert!(found.contains(words), "{found}");
    }
    let far = failed(|p, _, d| {
        p.via.host = "192.0.2.77".into();
        d.via_addresses = vec!["192.0.2.77".parse().unwrap()];
        d.local_addresses = None;
    });
    assert_eq!(
        far,
        Vec::<String>::new(),
        "another machine's cannot be seen"
    );
}

#[test]
fn memory_blocks_are_compared_one_by_one() {
    let block = |name: &str, bytes| RamBlock {
        name: name.into(),
        used_bytes: Bytes(bytes),
        offset_bytes: Bytes(0),
        host_address: None,
    };
    let report = |here: RamBlock, there: RamBlock| {
        failed(|_, s, d| {
            // A table that differs is no fault, and hides none that comes after it.
            for (end, own, table) in [(s, here, 1), (d, there, 2)] {
                let table = block("/rom@etc/acpi/tables", table << 16);
                end.guest.ram_blocks.extend([table, own]);
            }
        })
        .join("\n")
    };
    assert_eq!(report(block("vga.vram", 1), block("vga.vram", 1)), "");
    let found = report(block("02.0/virtio-net-pci.rom", 1), block("vga.vram", 1));
    assert!(
        found.contains("`02.0/virtio-net-pci.rom` is missing"),
        "{found}"
    );
    let found = report(block("pc.rom", 1), block("pc.rom", 2));
    assert!(
        found.contains("`pc.rom` is 1 B at the source, 2 B at"),
        "{found}"
    );
}

#[test]
fn post_copy_is_looked_at_only_where_it_is_allowed() {
    let report = |source: Option<bool>, destination: Option<bool>, userfaultfd: Option<bool>| {
        failed(|_, s, d| {
            s.knows_postcopy = source;
            d.knows_postcopy = destination;
            d.userfaultfd = userfaultfd;
        })
        .join("\n")
    };
    assert_eq!(report(None, None, Some(false)), "");
    assert_eq!(report(Some(true), Some(true), None), "");
    assert_eq!(report(Some(true), Some(true), Some(true)), "");
    for (found, words) in [
        (report(Some(false), Some(true), None), "at the source"),
        (report(Some(true), Some(false), None), "at the destination"),
        (report(Some(true), Some(true), Some(false)), "userfaultfd"),
    ] {
        assert!(found.starts_with("post-copy: "), "{found}");
        assert!(found.contains(words), "{found}");
        assert!(found.ends_with("without --allow-postcopy"), "{found}");
    }
}
