use std::path::PathBuf;
use std::process::{Command, Stdio};

use vmferry_core::OutcomeStatus;
use vmferry_history::{Closed, History, MoveFilter, Store};

use crate::sample::{outcome, place, record};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn several_may_create_and_write_one_history() {
    let (_dir, path) = place();
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..4 {
        let path = path.clone();
        writers.spawn(async move {
            let history = History::open(&path).await.unwrap();
            for n in 0..25 {
                history
                    .open_move(&record(writer * 100 + n, "web"))
                    .await
                    .unwrap();
            }
        });
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    let history = History::open_existing(&path).await.unwrap();
    assert_eq!(
        history.list(&MoveFilter::default()).await.unwrap().len(),
        100
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_several_outcomes_one_is_recorded() {
    let (_dir, path) = place();
    let history = History::open(&path).await.unwrap();
    for n in 0..20 {
        let id = record(n, "web").move_id;
        history.open_move(&record(n, "web")).await.unwrap();
        let mut closers = tokio::task::JoinSet::new();
        for wire_mb in 0..4 {
            let path = path.clone();
            closers.spawn(async move {
                let history = History::open(&path).await.unwrap();
                let end = outcome(OutcomeStatus::Completed, wire_mb);
                let closed = history.close_move(id, &end, None).await.unwrap();
                (closed == Closed::Recorded).then_some(end)
            });
        }
        let recorded: Vec<_> = closers.join_all().await.into_iter().flatten().collect();
        assert_eq!(recorded.len(), 1);
        let read = history.get(&id.to_string()).await.unwrap();
        assert_eq!(read.outcome.as_ref(), recorded.first());
    }
}

/// What vmferry and its guard do at the end of a move. This test starts its
/// own program again as the two processes.
#[tokio::test]
async fn of_two_processes_one_records_the_outcome() {
    const PATH: &str = "VMFERRY_TEST_HISTORY";
    let id = record(1, "web").move_id;
    if let Some(path) = std::env::var_os(PATH) {
        let history = History::open(&PathBuf::from(path)).await.unwrap();
        let end = outcome(OutcomeStatus::Completed, std::process::id().into());
        let closed = history.close_move(id, &end, None).await.unwrap();
        // The test harness takes 101 for itself.
        std::process::exit(if closed == Closed::Recorded { 42 } else { 43 });
    }
    let (_dir, path) = place();
    let history = History::open(&path).await.unwrap();
    history.open_move(&record(1, "web")).await.unwrap();
    let start = || {
        Command::new(std::env::current_exe().unwrap())
            .args(["races::of_two_processes_one_records_the_outcome", "--exact"])
            .env(PATH, &path)
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    };
    let mut processes = [start(), start()];
    let codes = processes
        .each_mut()
        .map(|p| (p.wait().unwrap().code().unwrap(), p.id()));
    let winners: Vec<_> = codes.iter().filter(|(code, _)| *code == 42).collect();
    assert_eq!(winners.len(), 1, "{codes:?}");
    assert!(codes.iter().all(|(code, _)| matches!(code, 42 | 43)));
    let end = history.get("00000001").await.unwrap().outcome.unwrap();
    assert_eq!(
        end.wire_bytes.unwrap().0,
        u64::from(winners[0].1) * 1_000_000
    );
}
