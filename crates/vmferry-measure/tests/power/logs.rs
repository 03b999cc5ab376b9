use std::fs;

use jiff::{SignedDuration, Timestamp};
use vmferry_measure::power::{CsvLog, PowerError, read_log};

use crate::watts;

fn log(text: &str) -> (tempfile::TempDir, std::path::PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("power.csv");
    fs::write(&path, text).unwrap();
    (dir, path)
}

#[test]
fn logs_with_names_of_columns_and_times_of_both_kinds() {
    let (_dir, path) = log(
        "time,power_w,volts\n2026-01-31T12:00:00Z, 181.5,230\n2026-01-31T13:00:01.250+01:00,183,231\n",
    );
    let (_other, seconds) = log("1769860800,181.5\n1769860801.25,183\n");
    let read = read_log(&path).unwrap();
    assert_eq!(read, read_log(&seconds).unwrap());
    assert_eq!(
        read[1].at.duration_since(read[0].at),
        SignedDuration::from_millis(1250)
    );
    assert_eq!((read[0].power.0, read[1].power.0), (181.5, 183.0));
}

#[test]
fn what_is_no_log_says_the_line() {
    for (text, words) in [
        ("", "no row of a time and watts"),
        ("time,power\n", "no row of a time and watts"),
        (
            "time,power\n2026-01-31T12:00:00Z,much\n",
            "line 2: `much` is no number",
        ),
        (
            "1769860800,1\nyesterday,2\n",
            "line 2: `yesterday` is no time",
        ),
        ("1769860800,1\n1769860801\n", "line 2: a row is a time"),
        (
            "1769860801,1\n1769860800,2\n",
            "line 2: 2026-01-31T12:00:00Z is not later",
        ),
    ] {
        let (_dir, path) = log(text);
        let error = read_log(&path).unwrap_err();
        assert!(
            error.is_bad_input() && error.to_string().contains(words),
            "{error}"
        );
    }
    let missing = read_log("/nowhere/power.csv".as_ref()).unwrap_err();
    assert!(matches!(missing, PowerError::File { .. }), "{missing}");
}

#[tokio::test]
async fn the_latest_whole_row_is_the_reading() {
    let now = Timestamp::now();
    let (_dir, path) = log(&format!(
        "time,w\n{},100\n{now},120\n{now},9",
        now - SignedDuration::from_secs(1)
    ));
    let mut meter = CsvLog::open(&path).unwrap();
    assert_eq!(watts(&mut meter).await.unwrap(), 120.0);
    // Written to its end; now also longer than what is read of it.
    let mut text = "2026-01-31T12:00:00Z,1\n".repeat(1000);
    text.push_str(&format!("{now},130.5\n\n"));
    fs::write(&path, text).unwrap();
    assert_eq!(watts(&mut meter).await.unwrap(), 130.5);
    // A clock an hour ahead would make an old row ever new.
    let ahead = Timestamp::now() + SignedDuration::from_hours(1);
    fs::write(&path, format!("{ahead},131\n")).unwrap();
    let error = watts(&mut meter).await.unwrap_err().to_string();
    assert!(error.contains("ahead of this host's clock"), "{error}");
    fs::write(&path, "nothing of that kind\n").unwrap();
    let error = watts(&mut meter).await.unwrap_err().to_string();
    assert!(
        error.contains("its last row, `nothing of that kind`"),
        "{error}"
    );
}
