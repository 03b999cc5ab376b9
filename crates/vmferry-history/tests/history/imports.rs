use jiff::Timestamp;
use vmferry_core::{ByteRate, Bytes, ImportedMigration, Millis, Technique};
use vmferry_history::{Added, History, HistoryError, ImportFilter, MoveFilter, Store};

use crate::sample::{place, record};

fn migration(n: usize) -> ImportedMigration {
    ImportedMigration {
        run: Some(n.to_string()),
        guest: (!n.is_multiple_of(3)).then(|| format!("g{}", n % 3)),
        workload: Some(format!("w{}", n % 4)),
        started_at: n
            .is_multiple_of(2)
            .then(|| "2026-01-31T12:00:00.123456789Z".parse().unwrap()),
        technique: Technique::ALL[n % Technique::ALL.len()],
        memory_bytes: Bytes::from_mib(1024 + n as u64),
        dirty_rate: ByteRate(1e6 / 3.0),
        bandwidth: ByteRate(1e8),
        downtime_limit_ms: n.is_multiple_of(5).then_some(Millis(300.0)),
        converged: [None, Some(true), Some(false)][n % 3],
        total_time_ms: Millis(15_000.1),
        downtime_ms: (n % 2 == 1).then_some(Millis(14.5)),
        transferred_bytes: (n % 2 == 1).then_some(Bytes(u64::MAX)),
    }
}

fn migrations(count: usize) -> Vec<ImportedMigration> {
    (0..count).map(migration).collect()
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

#[tokio::test]
async fn every_field_comes_back_in_the_order_of_the_file() {
    let (_dir, path) = place();
    let history = History::open(&path).await.unwrap();
    // More than one statement takes.
    let written = migrations(2500);
    let done = history.add_imported(&written, "a.csv", at(5)).await;
    let all = Added {
        added: 2500,
        already_there: 0,
    };
    assert_eq!(done.unwrap(), all);
    history.close().await.unwrap();

    let history = History::open_existing(&path).await.unwrap();
    let read = history.imported(&ImportFilter::default()).await.unwrap();
    assert!(
        read.iter()
            .all(|m| m.source == "a.csv" && m.imported_at == at(5))
    );
    let read: Vec<_> = read.into_iter().map(|m| m.migration).collect();
    assert_eq!(read, written);
    // Moves of one's own are something else.
    assert!(
        history
            .list(&MoveFilter::default())
            .await
            .unwrap()
            .is_empty()
    );
    let error = history.forget_source("a.csv").await.unwrap_err();
    assert!(matches!(error, HistoryError::ReadOnly { .. }), "{error}");
}

#[tokio::test]
async fn what_is_known_is_added_once_whatever_its_source() {
    let (_dir, path) = place();
    let history = History::open(&path).await.unwrap();
    let rows = migrations(30);
    for (rows, source, added) in [
        (&rows[..20], "a.csv", 20),
        (&rows[..20], "a.csv", 0),
        (&rows[10..], "b.csv", 10),
    ] {
        let done = history.add_imported(rows, source, at(9)).await.unwrap();
        assert_eq!(done.added, added);
        assert_eq!(done.added + done.already_there, rows.len() as u64);
    }
    assert_eq!(
        history
            .add_imported(&[], "c.csv", at(9))
            .await
            .unwrap()
            .added,
        0
    );
    let sources = history.import_sources().await.unwrap();
    let counts: Vec<_> = sources
        .iter()
        .map(|s| (s.source.as_str(), s.migrations))
        .collect();
    assert_eq!(counts, [("a.csv", 20), ("b.csv", 10)]);
}

#[tokio::test]
async fn filters_choose_and_a_source_is_forgotten() {
    let (_dir, path) = place();
    let history = History::open(&path).await.unwrap();
    history.open_move(&record(1, "g1")).await.unwrap();
    let rows = migrations(30);
    history
        .add_imported(&rows[..20], "a.csv", at(1))
        .await
        .unwrap();
    history
        .add_imported(&rows[20..], "b.csv", at(2))
        .await
        .unwrap();
    let count = async |filter: ImportFilter| history.imported(&filter).await.unwrap().len();
    let all = ImportFilter::default;
    assert_eq!(count(all()).await, 30);
    let source = Some("b.csv".to_owned());
    assert_eq!(count(ImportFilter { source, ..all() }).await, 10);
    let guest = Some("g1".to_owned());
    assert_eq!(count(ImportFilter { guest, ..all() }).await, 10);
    let technique = Some(Technique::Xbzrle);
    assert_eq!(count(ImportFilter { technique, ..all() }).await, 5);

    assert_eq!(history.forget_source("a.csv").await.unwrap(), 20);
    assert_eq!(count(all()).await, 10);
    let error = history.forget_source("a.csv").await.unwrap_err();
    assert!(error.is_bad_input() && !error.is_unavailable());
    let text = error.to_string();
    assert!(
        text.contains("`a.csv`") && text.contains("its sources are: b.csv"),
        "{text}"
    );
    assert_eq!(history.forget_source("b.csv").await.unwrap(), 10);
    let text = history
        .forget_source("b.csv")
        .await
        .unwrap_err()
        .to_string();
    assert!(text.contains("nothing was imported at all"), "{text}");
    // It could be imported again, and the move is still there.
    let again = history.add_imported(&rows, "a.csv", at(3)).await.unwrap();
    assert_eq!(again.added, 30);
    assert_eq!(history.list(&MoveFilter::default()).await.unwrap().len(), 1);
}
