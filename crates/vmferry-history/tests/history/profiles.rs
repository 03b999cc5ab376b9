use jiff::Timestamp;
use serde_json::json;
use sqlx::{Connection as _, SqliteConnection};
use vmferry_history::{History, HistoryError, Profile, ProfileFilter, Store};

use crate::sample::place;

fn profile(n: i64, kind: &str, source: Option<&str>, destination: Option<&str>) -> Profile {
    Profile::new(
        kind,
        source,
        destination,
        Timestamp::from_second(n).unwrap(),
        &json!({ "n": n, "half": 0.5 }),
    )
    .unwrap()
}

#[tokio::test]
async fn profiles_come_back_the_newest_first_and_by_their_hosts() {
    let (_dir, path) = place();
    let history = History::open(&path).await.unwrap();
    let kept = [
        profile(1, "cpu", Some("a"), Some("b")),
        profile(2, "energy", Some("a"), None),
        profile(3, "energy", Some("a"), Some("b")),
        // At the same time: what was kept last is the newest.
        profile(3, "energy", Some("b"), Some("a")),
    ];
    for profile in &kept {
        history.keep_profile(profile).await.unwrap();
    }
    history.close().await.unwrap();

    let history = History::open_existing(&path).await.unwrap();
    let of = async |filter: ProfileFilter| history.profiles(&filter).await.unwrap();
    let newest_first: Vec<_> = kept.iter().rev().cloned().collect();
    assert_eq!(of(ProfileFilter::default()).await, newest_first);
    let energy = ProfileFilter {
        kind: Some("energy".into()),
        ..ProfileFilter::default()
    };
    assert_eq!(of(energy.clone()).await, newest_first[..3]);
    let pair = ProfileFilter {
        source_host: Some("a".into()),
        destination_host: Some("b".into()),
        ..energy.clone()
    };
    assert_eq!(of(pair.clone()).await, [kept[2].clone()]);
    let late = ProfileFilter {
        since: Some(Timestamp::from_second(3).unwrap()),
        limit: Some(1),
        ..energy
    };
    assert_eq!(of(late).await, [kept[3].clone()]);
    let other = ProfileFilter {
        source_host: Some("c".into()),
        ..pair
    };
    assert!(of(other).await.is_empty());
}

#[tokio::test]
async fn documents_that_cannot_be_read_say_so() {
    let (_dir, path) = place();
    let history = History::open(&path).await.unwrap();
    history
        .keep_profile(&profile(1, "cpu", None, None))
        .await
        .unwrap();
    let read = history.profiles(&ProfileFilter::default()).await.unwrap();
    let error = read[0].read::<Vec<u8>>().unwrap_err();
    assert!(
        matches!(error, HistoryError::BadDocument { .. }) && error.to_string().contains("`cpu`"),
        "{error}"
    );

    let mut other = SqliteConnection::connect(&format!("sqlite://{}", path.display()))
        .await
        .unwrap();
    for (damage, expected) in [
        ("UPDATE profiles SET document = '{'", "cannot be understood"),
        (
            "UPDATE profiles SET schema_version = 99, tool_version = '7.0.0'",
            "schema_version 99 (written by vmferry 7.0.0)",
        ),
    ] {
        sqlx::query(damage).execute(&mut other).await.unwrap();
        let error = history.profiles(&ProfileFilter::default()).await;
        let text = error.unwrap_err().to_string();
        assert!(text.contains(expected), "{text}");
    }
}
