use sqlx::Connection as _;
use vmferry_core::SCHEMA_VERSION;
use vmferry_history::{History, HistoryError, Store};

use crate::sample::{message, observation, place, record};

#[tokio::test]
async fn an_observation_is_kept_with_its_move() {
    let (_dir, path) = place();
    let history = History::open(&path).await.unwrap();
    let (moved, other) = (record(1, "web"), record(2, "web"));
    history.open_move(&moved).await.unwrap();
    history.open_move(&other).await.unwrap();
    let seen = observation(200, 50);
    for kept in [&seen, &observation(10, 1)] {
        history.keep_observation(moved.move_id, kept).await.unwrap();
    }
    history.close().await.unwrap();

    let history = History::open_existing(&path).await.unwrap();
    let read = |id| history.observation(id);
    // The first one stays.
    assert_eq!(read(moved.move_id).await.unwrap(), Some(seen));
    assert_eq!(read(other.move_id).await.unwrap(), None);
    // The record is what it was.
    assert_eq!(history.get("00000001").await.unwrap(), moved);
}

#[tokio::test]
async fn nothing_is_kept_of_a_move_that_is_not_recorded() {
    let (_dir, path) = place();
    let history = History::open(&path).await.unwrap();
    let id = record(1, "web").move_id;
    let error = history
        .keep_observation(id, &observation(10, 1))
        .await
        .unwrap_err();
    assert!(matches!(error, HistoryError::NoSuchMove { .. }), "{error}");
    assert_eq!(history.observation(id).await.unwrap(), None);
}

#[tokio::test]
async fn an_observation_that_cannot_be_read_names_its_move() {
    let (_dir, path) = place();
    let history = History::open(&path).await.unwrap();
    let id = record(1, "web").move_id;
    history.open_move(&record(1, "web")).await.unwrap();
    history
        .keep_observation(id, &observation(200, 50))
        .await
        .unwrap();
    let url = format!("sqlite://{}", path.display());
    let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
    let mut set = async |statement: &'static str| {
        sqlx::query(statement)
            .execute(&mut connection)
            .await
            .unwrap();
    };
    for damage in [
        "UPDATE observations SET observation = substr(observation, 1, length(observation) / 2)",
        "UPDATE observations SET observation = x'00'",
    ] {
        set(damage).await;
        let error = history.observation(id).await.unwrap_err();
        assert!(
            matches!(error, HistoryError::BadObservation { .. }),
            "{}",
            message(&error)
        );
        assert!(error.to_string().contains(&id.to_string()), "{error}");
        assert!(!error.is_unavailable() && !error.is_bad_input());
    }
    set("UPDATE observations SET schema_version = 99").await;
    let text = history.observation(id).await.unwrap_err().to_string();
    for part in [
        &id.to_string(),
        "too new",
        "99",
        &SCHEMA_VERSION.to_string(),
        "vmferry 0.1.0",
    ] {
        assert!(text.contains(part), "{text}");
    }
    // The record itself is fine.
    assert!(history.get("00000001").await.is_ok());
}
