//! Caps on real threads: of a child that only spins, and of a guest that does.
//! Where this machine has no CPU controller that may be used, nothing can be
//! capped, and the tests say so and end.
#![expect(clippy::print_stderr, reason = "a test that cannot run here says why")]

mod spinning;

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use spinning::{Killed, groups_of, spinning};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixListener;
use tokio::time::sleep;
use uuid::Uuid;
use vmferry_core::{GuestUri, Ratio};
use vmferry_hypervisor::qmp::{ConnectOptions, Guest};
use vmferry_migrate::cpu_cap::{CpuCap, CpuCapOptions, Grouping, VcpuThreads};
use vmferry_migrate::takeover::take_over;
use vmferry_migrate::{End, Journal, StateDir};

/// A test that waits for the kernel waits no longer than this.
const PATIENCE: Duration = Duration::from_secs(60);

fn cgroup(pid: u32, tid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/task/{tid}/cgroup")).expect("a thread")
}

/// The threads, or `None` with a word where this machine has no controller
/// for them, or none that may be written.
fn threads(pid: u32, vcpus: &[(u64, u32)]) -> Option<VcpuThreads> {
    match VcpuThreads::in_process(pid, vcpus) {
        Ok(threads) => Some(threads),
        Err(error) => {
            eprintln!("skipped: {error}");
            None
        }
    }
}

fn is_root() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        eprintln!("skipped: only root may make control groups here");
    }
    root
}

async fn throttled(cap: &CpuCap) {
    let began = Instant::now();
    while cap.throttling().expect("counters").throttled_periods < 3 {
        assert!(began.elapsed() < PATIENCE, "never held back");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_thread_that_spins_is_held_back_and_put_back() {
    if !is_root() {
        return;
    }
    let child = spinning();
    let pid = child.0.id();
    let before = cgroup(pid, pid);
    let Some(found) = threads(pid, &[(0, pid)]) else {
        return;
    };
    let uri: GuestUri = "qmp:/run/none.qmp".parse().expect("an address");
    let home = tempfile::tempdir().expect("a directory");
    let mut journal = Journal::create(&home.path().join("journal.jsonl")).expect("a journal");
    let move_id = Uuid::now_v7();
    let options = CpuCapOptions::default();
    let mut cap = CpuCap::install(&mut journal, &uri, move_id, found, options).expect("a cap");
    assert_ne!(cgroup(pid, pid), before);
    let groups = groups_of(move_id);
    assert_eq!(groups.len(), 1);
    assert_eq!(cap.throttling().expect("counters").throttled_periods, 0);

    assert_eq!(cap.set(Some(Ratio(0.05))).expect("a quota"), Ratio(0.05));
    let limit = fs::read_to_string(groups[0].join("cpu.cfs_quota_us"))
        .or_else(|_| fs::read_to_string(groups[0].join("cpu.max")))
        .expect("a limit");
    assert!(limit.starts_with("5000"), "{limit}");
    throttled(&cap).await;
    assert_eq!(cap.look().expect("a look"), None);

    cap.release(&mut journal).expect("everything undone");
    assert_eq!(journal.pending(), []);
    assert_eq!(groups_of(move_id), [] as [PathBuf; 0]);
    assert_eq!(cgroup(pid, pid), before);

    // Once more. Somebody removes the group: told as lost, and undone without
    // a word.
    let found = threads(pid, &[(0, pid)]).expect("as before");
    let options = CpuCapOptions::default();
    let mut cap = CpuCap::install(&mut journal, &uri, move_id, found, options).expect("a cap");
    let threads_file = |dir: &Path| {
        let v1 = dir.join("tasks");
        if v1.exists() {
            v1
        } else {
            dir.join("cgroup.threads")
        }
    };
    let parent = groups[0].parent().expect("a parent");
    fs::write(threads_file(parent), pid.to_string()).expect("a move");
    let lost = cap.look().expect("a look").expect("a loss").to_string();
    assert!(lost.contains("moved threads"), "{lost}");
    fs::remove_dir(&groups[0]).expect("an empty group");
    let lost = cap.set(Some(Ratio(0.1))).expect_err("a loss").to_string();
    assert!(lost.contains("was removed by somebody else"), "{lost}");
    cap.release(&mut journal).expect("nothing left to undo");
    assert_eq!(journal.pending(), []);
    assert_eq!(cgroup(pid, pid), before);
}

/// A monitor whose socket no QEMU of this machine has made: one of another
/// machine at the end of a tunnel looks the same, and libvirt's.
#[tokio::test]
async fn a_guest_of_another_machine_is_not_capped_from_here() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("qmp");
    let listener = UnixListener::bind(&path).expect("a socket");
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a client");
        let (reader, mut writer) = stream.into_split();
        let greeting = json!({ "QMP": { "version": { "qemu": { "major": 10, "minor": 0, "micro": 2 }, "package": "" }, "capabilities": [] } });
        let mut answers = format!("{greeting}\r\n");
        let mut lines = BufReader::new(reader).lines();
        loop {
            writer
                .write_all(answers.as_bytes())
                .await
                .expect("an answer");
            let Ok(Some(line)) = lines.next_line().await else {
                return;
            };
            let request: Value = serde_json::from_str(&line).expect("a request");
            answers = format!("{}\r\n", json!({ "return": {}, "id": request["id"] }));
        }
    });
    let guest = Guest::connect(&GuestUri::local(&path), ConnectOptions::default())
        .await
        .expect("a monitor");
    let refused = VcpuThreads::of(&guest, End::Source)
        .await
        .expect_err("no QEMU");
    let words = refused.to_string();
    assert!(
        words.contains("cannot be capped from here") && words.contains("/qmp"),
        "{words}"
    );
    drop(guest);
    server.await.expect("a monitor");
}

/// A boot sector whose only instruction jumps to itself: a guest that spins on
/// its first virtual CPU, within a second of its start.
fn spinning_disk(path: &Path) {
    let mut sector = [0_u8; 512];
    sector[..2].copy_from_slice(&[0xEB, 0xFE]);
    sector[510..].copy_from_slice(&[0x55, 0xAA]);
    fs::write(path, sector).expect("a disk");
}

fn start_qemu(dir: &Path) -> Option<Killed> {
    let disk = dir.join("disk");
    spinning_disk(&disk);
    let program = std::env::var_os("VMFERRY_QEMU")
        .filter(|program| !program.is_empty())
        .unwrap_or_else(|| "qemu-system-x86_64".into());
    let child = Command::new(program)
        .args(["-machine", "pc", "-accel", "tcg", "-m", "128", "-smp", "2"])
        .args(["-nodefaults", "-display", "none"])
        .arg("-drive")
        .arg(format!(
            "file={},if=ide,format=raw,snapshot=on",
            disk.display()
        ))
        .arg("-qmp")
        .arg(format!(
            "unix:{},server=on,wait=off",
            dir.join("qmp").display()
        ))
        .stdin(Stdio::null())
        .spawn();
    match child {
        Ok(child) => Some(Killed(child)),
        Err(error) => {
            eprintln!("skipped: QEMU does not start: {error}");
            None
        }
    }
}

/// Names the directory in which this test, started once more as a process of
/// its own, caps the guest and then waits to be killed.
const CAPPER: &str = "VMFERRY_TEST_CAPPER";

async fn cap_until_killed(dir: &Path) -> ! {
    let uri = GuestUri::local(dir.join("qmp"));
    let options = ConnectOptions {
        appear_timeout: PATIENCE,
        ..ConnectOptions::default()
    };
    let guest = Guest::connect(&uri, options).await.expect("a monitor");
    let threads = VcpuThreads::of(&guest, End::Source).await.expect("threads");
    let numbers: Vec<_> = threads.vcpus().collect();
    let (made, _owner) = StateDir::at(dir.join("state"))
        .create_move(Uuid::now_v7())
        .expect("a move");
    let mut journal = Journal::create(&made.journal_path()).expect("a journal");
    let options = CpuCapOptions {
        grouping: Grouping::Apart,
        ..CpuCapOptions::default()
    };
    let mut cap =
        CpuCap::install(&mut journal, &uri, made.move_id(), threads, options).expect("a cap");
    // Virtual CPU 0 spins, 1 waits for a kernel that never comes.
    cap.set_vcpu(0, Some(Ratio(0.1))).expect("a quota");
    throttled(&cap).await;
    let text = serde_json::to_vec(&numbers).expect("numbers");
    fs::write(dir.join("capped.partial"), text).expect("a word");
    fs::rename(dir.join("capped.partial"), dir.join("capped")).expect("a word");
    loop {
        sleep(PATIENCE).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn qemu_is_uncapped_by_recovery_when_vmferry_was_killed() {
    if let Some(dir) = std::env::var_os(CAPPER) {
        cap_until_killed(Path::new(&dir)).await;
    }
    if !is_root() || threads(std::process::id(), &[(0, std::process::id())]).is_none() {
        return;
    }
    let home = tempfile::tempdir().expect("a directory");
    let dir = home.path();
    let Some(qemu) = start_qemu(dir) else { return };
    let pid = qemu.0.id();
    let before = cgroup(pid, pid);

    let own = std::env::current_exe().expect("this program");
    let name = "qemu_is_uncapped_by_recovery_when_vmferry_was_killed";
    let mut capper = Command::new(own)
        .args(["--exact", name, "--nocapture"])
        .env(CAPPER, dir)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("this program once more");
    let began = Instant::now();
    while !dir.join("capped").exists() {
        if let Some(status) = capper.try_wait().expect("a child") {
            let mut said = String::new();
            let mut stderr = capper.stderr.take().expect("a pipe");
            stderr.read_to_string(&mut said).expect("its last words");
            panic!("{status}: {said}");
        }
        assert!(began.elapsed() < PATIENCE, "not capped");
        sleep(Duration::from_millis(20)).await;
    }
    let numbers: Vec<(u64, u32)> =
        serde_json::from_slice(&fs::read(dir.join("capped")).expect("a word")).expect("numbers");
    capper.kill().expect("a child");
    capper.wait().expect("a child");

    // The kernel keeps the cap although nobody is left who put it on.
    let moves = StateDir::at(dir.join("state")).moves().expect("moves");
    let [left] = moves.as_slice() else {
        panic!("{moves:?}")
    };
    assert_eq!(numbers.len(), 2);
    for (_, tid) in &numbers {
        assert_ne!(cgroup(pid, *tid), before);
    }
    assert_eq!(cgroup(pid, pid), before, "QEMU's main thread stays");
    assert_eq!(groups_of(left.move_id()).len(), 2);

    let taken = take_over(left, PATIENCE, Arc::new(|_| {})).await;
    assert_eq!(taken.failed, [""; 0]);
    assert!(taken.undone >= 4, "{taken:?}");
    for (_, tid) in &numbers {
        assert_eq!(cgroup(pid, *tid), before);
    }
    assert_eq!(groups_of(left.move_id()), [] as [PathBuf; 0]);
    assert_eq!(
        Journal::open(&left.journal_path())
            .expect("a journal")
            .pending(),
        []
    );
}
