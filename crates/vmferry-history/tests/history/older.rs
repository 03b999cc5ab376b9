//! Databases that an older vmferry wrote.

use std::borrow::Cow;
use std::path::Path;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{Connection as _, SqlSafeStr as _, SqliteConnection};
use vmferry_core::OutcomeStatus;
use vmferry_history::{History, ImportFilter, MoveFilter, ProfileFilter, Store};

use crate::sample::{observation, outcome, place, record};

/// The older layouts as they were published, by their numbers from 1.
const PUBLISHED: [(&str, &str); 2] = [
    (
        "moves",
        include_str!("../../migrations/sqlite/0001_moves.sql"),
    ),
    (
        "imports and observations",
        include_str!("../../migrations/sqlite/0002_imports_and_observations.sql"),
    ),
];

pub(crate) async fn write_layout_1(path: &Path) {
    write_layout(path, 1).await;
}

/// A history of one completed move as vmferry wrote it when that layout was
/// the newest: the same statements, in the same order.
async fn write_layout(path: &Path, newest: usize) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let url = format!("sqlite://{}?mode=rwc", path.display());
    let mut connection = SqliteConnection::connect(&url).await.unwrap();
    let mut run = async |statement: &'static str| {
        sqlx::query(statement)
            .execute(&mut connection)
            .await
            .unwrap();
    };
    run("PRAGMA journal_mode = WAL").await;
    run("PRAGMA application_id = 0x766d6672").await;
    let layouts = PUBLISHED[..newest].iter().zip(1..);
    let layouts = layouts.map(|(&(name, sql), number)| {
        Migration::new(
            number,
            Cow::Borrowed(name),
            MigrationType::Simple,
            sql.into_sql_str(),
            false,
        )
    });
    Migrator::with_migrations(layouts.collect())
        .run_direct(None, &mut connection, false)
        .await
        .unwrap();
    let written = record(1, "web");
    let end = outcome(OutcomeStatus::Completed, 500);
    sqlx::query(
        "INSERT INTO moves (id, started_at_ms, schema_version, tool_version, guest_uri, guest_name,
            guest_uuid, source_host, destination_host, route, status, place, total_time_ms,
            downtime_ms, wire_bytes, record, outcome)
         VALUES ($1, 60000, 1, '0.1.0', 'qmp:/run/a.qmp', 'web', 'uuid-of-web', 'host-a', 'host-b',
            'host-a > host-b via 10.77.0.2', 'completed', 'running-at-destination', 10000.0, 250.0,
            500000000.0, $2, $3)",
    )
    .bind(written.move_id.to_string())
    .bind(serde_json::to_string(&written).unwrap())
    .bind(serde_json::to_string(&end).unwrap())
    .execute(&mut connection)
    .await
    .unwrap();
    connection.close().await.unwrap();
}

async fn layout(path: &Path) -> i64 {
    let url = format!("sqlite://{}", path.display());
    let mut connection = SqliteConnection::connect(&url).await.unwrap();
    sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations")
        .fetch_one(&mut connection)
        .await
        .unwrap()
}

#[test]
fn the_published_layouts_are_what_they_were() {
    // Databases hold their checksums, and are refused when one differs.
    let hashes = PUBLISHED.map(|(_, sql)| xxhash_rust::xxh3::xxh3_64(sql.as_bytes()));
    insta::assert_snapshot!(format!("{hashes:016x?}"), @"[9995f8fa5b66c1c9, d660267349b533a4]");
}

#[tokio::test]
async fn older_layouts_are_brought_up_to_date_with_their_moves() {
    for (older, reading) in [(1, false), (1, true), (2, false), (2, true)] {
        let (_dir, path) = place();
        write_layout(&path, older).await;
        assert_eq!(layout(&path).await, older as i64);
        let history = if reading {
            History::open_existing(&path).await.unwrap()
        } else {
            History::open(&path).await.unwrap()
        };
        let read = history.get("00000001").await.unwrap();
        let end = outcome(OutcomeStatus::Completed, 500);
        assert_eq!(
            (read.move_id, read.outcome),
            (record(1, "web").move_id, Some(end))
        );
        assert_eq!(history.list(&MoveFilter::default()).await.unwrap().len(), 1);
        assert_eq!(history.observation(read.move_id).await.unwrap(), None);
        assert!(
            history
                .imported(&ImportFilter::default())
                .await
                .unwrap()
                .is_empty()
        );
        let profiles = history.profiles(&ProfileFilter::default()).await;
        assert!(profiles.unwrap().is_empty());
        let kept = history
            .keep_observation(read.move_id, &observation(10, 2))
            .await;
        assert_eq!(kept.is_err(), reading, "a reader writes nothing else");
        history.close().await.unwrap();
        assert_eq!(layout(&path).await, 3);
    }
}

#[tokio::test]
async fn several_may_bring_it_up_to_date_at_once() {
    let (_dir, path) = place();
    write_layout_1(&path).await;
    let mut openers = tokio::task::JoinSet::new();
    for n in 0..6 {
        let path = path.clone();
        openers.spawn(async move {
            let opened = if n % 2 == 0 {
                History::open(&path).await
            } else {
                History::open_existing(&path).await
            };
            opened.unwrap().get("00000001").await.unwrap();
        });
    }
    openers.join_all().await;
    assert_eq!(layout(&path).await, 3);
}
