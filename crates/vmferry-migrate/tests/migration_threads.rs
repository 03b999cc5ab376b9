//! Caps on threads as a migration's, of a child that only spins. Where this
//! machine has no CPU controller that may be used, the tests say so and end.
#![expect(clippy::print_stderr, reason = "a test that cannot run here says why")]

mod spinning;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use spinning::{groups_of, spinning};
use tokio::time::sleep;
use uuid::Uuid;
use vmferry_core::{GuestUri, Ratio};
use vmferry_migrate::cpu_cap::VcpuThreads;
use vmferry_migrate::migration_threads::{StreamCap, StreamThreads};
use vmferry_migrate::{End, Journal};

/// Whether threads can be capped here.
fn able() -> bool {
    let own = std::process::id();
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: only root may make control groups here");
        return false;
    }
    match VcpuThreads::in_process(own, &[(0, own)]) {
        Ok(_) => true,
        Err(error) => {
            eprintln!("skipped: {error}");
            false
        }
    }
}

/// What the names of a move's groups end with.
fn endings_of(move_id: Uuid) -> Vec<String> {
    let begin = format!("vmferry-{move_id}");
    let ending = |group: PathBuf| {
        let name = group.file_name()?.to_string_lossy().into_owned();
        name.strip_prefix(&begin).map(str::to_owned)
    };
    let mut found: Vec<String> = groups_of(move_id).into_iter().filter_map(ending).collect();
    found.sort();
    found
}

#[tokio::test]
async fn both_ends_of_one_move_are_capped_apart_and_let_go() {
    if !able() {
        return;
    }
    let uri: GuestUri = "qmp:/run/none.qmp".parse().expect("an address");
    let home = tempfile::tempdir().expect("a directory");
    let mut journal = Journal::create(&home.path().join("journal.jsonl")).expect("a journal");
    let move_id = Uuid::now_v7();
    let children = [spinning(), spinning()];
    let ends = [End::Source, End::Destination];
    let mut caps: Vec<StreamCap> = children
        .iter()
        .zip(ends)
        .map(|(child, end)| {
            let pid = child.0.id();
            let threads = StreamThreads::in_process(end, pid, vec![pid]);
            assert_eq!(threads.end(), end);
            let share = Some(Ratio(0.1));
            StreamCap::install(&mut journal, &uri, move_id, &threads, share).expect("a cap")
        })
        .collect();
    assert_eq!(endings_of(move_id), ["-loading", "-sending"]);
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(1) {
        sleep(Duration::from_millis(10)).await;
        for cap in &mut caps {
            cap.read();
        }
    }
    for cap in &mut caps {
        let used = cap.used().expect("a reading").share();
        // On a busy machine it may get less than it may use, never more.
        assert!(used.0 > 0.0 && used.0 < 0.13, "{used} of 10 %");
    }
    let mut caps = caps.into_iter();
    let mut first = caps.next().expect("two");
    first.lift(&mut journal).expect("let go");
    assert_eq!(endings_of(move_id), ["-loading"]);
    // Lifted again: nothing is left to do.
    first.lift(&mut journal).expect("nothing");
    caps.next()
        .expect("two")
        .lift(&mut journal)
        .expect("let go");
    assert_eq!(endings_of(move_id), [""; 0]);
    assert_eq!(journal.pending(), []);
}

#[tokio::test]
async fn what_cannot_be_capped_is_refused_and_leaves_nothing() {
    if !able() {
        return;
    }
    let uri: GuestUri = "qmp:/run/none.qmp".parse().expect("an address");
    let home = tempfile::tempdir().expect("a directory");
    let mut journal = Journal::create(&home.path().join("journal.jsonl")).expect("a journal");
    let move_id = Uuid::now_v7();
    let child = spinning();
    let pid = child.0.id();
    let threads = StreamThreads::in_process(End::Source, pid, vec![pid]);
    let mut refused = |threads: &StreamThreads, share: f64| {
        let share = Some(Ratio(share));
        let error = StreamCap::install(&mut journal, &uri, move_id, threads, share);
        let said = error.expect_err("refused").to_string();
        assert_eq!(journal.pending(), []);
        said
    };
    for share in [0.0, 0.001, 1.5, f64::NAN] {
        let said = refused(&threads, share);
        assert!(said.contains("no share of a CPU"), "{said}");
    }
    drop(child);
    let said = refused(&threads, 0.5);
    assert!(said.contains(&format!("PID {pid}")), "{said}");
    assert_eq!(endings_of(move_id), [""; 0]);
}
