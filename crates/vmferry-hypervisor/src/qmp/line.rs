//! One line of the QMP stream, sorted into what it is.

use serde_json::Value;

use super::event::QmpEvent;
use super::field;
use super::greeting::Greeting;

/// A line received from a QMP monitor.
#[derive(Debug, Clone)]
pub enum Line {
    /// The first line of a connection.
    Greeting(Greeting),
    /// The answer to a command.
    Reply(Reply),
    /// Something happened.
    Event(QmpEvent),
    /// A JSON object of a kind this version does not know.
    Other(Value),
}

/// The answer to a command.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// The id given with the command; `None` where QEMU could not read the command.
    pub id: Option<u64>,
    /// What the command returned, or why it was refused.
    pub result: Result<Value, RefusedReply>,
}

/// QEMU's refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedReply {
    /// For example `GenericError` or `CommandNotFound`; empty where not given.
    pub class: String,
    /// QEMU's own words; empty where not given.
    pub desc: String,
}

/// Why bytes are no line of QMP.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// Not JSON.
    #[error("not JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// JSON, but not an object.
    #[error("JSON, but not an object")]
    NotAnObject,
}

/// Sorts one line, without its line end, into what it is. Never panics, whatever the bytes.
///
/// # Errors
/// Where the bytes are not a JSON object. Bytes that are not UTF-8 are replaced, since guests can
/// put any bytes into device names.
pub fn parse_line(bytes: &[u8]) -> Result<Line, LineError> {
    let value: Value = serde_json::from_str(&String::from_utf8_lossy(bytes))?;
    if !value.is_object() {
        return Err(LineError::NotAnObject);
    }
    if let Some(greeting) = Greeting::from_value(&value) {
        return Ok(Line::Greeting(greeting));
    }
    if value.get("event").is_some_and(Value::is_string) {
        return Ok(Line::Event(QmpEvent::now(value)));
    }
    let id = field::number(&value, &["id"]);
    if let Some(error) = value.get("error") {
        let result = Err(RefusedReply {
            class: field::text(error, &["class"]).unwrap_or_default(),
            desc: field::text(error, &["desc"]).unwrap_or_default(),
        });
        return Ok(Line::Reply(Reply { id, result }));
    }
    let Value::Object(mut members) = value else {
        return Err(LineError::NotAnObject);
    };
    match members.remove("return") {
        Some(result) => Ok(Line::Reply(Reply {
            id,
            result: Ok(result),
        })),
        None => Ok(Line::Other(Value::Object(members))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn refusals_keep_class_and_words() {
        let Ok(Line::Reply(reply)) = parse_line(
            br#"{"id": 7, "error": {"class": "CommandNotFound", "desc": "no bogus here"}}"#,
        ) else {
            panic!("an error is a reply");
        };
        assert_eq!(reply.id, Some(7));
        assert_eq!(
            reply.result.unwrap_err(),
            RefusedReply {
                class: "CommandNotFound".into(),
                desc: "no bogus here".into()
            }
        );
    }

    #[test]
    fn unknown_events_pass_with_everything_they_carry() {
        let Ok(Line::Event(event)) = parse_line(
            br#"{"event": "WARP", "data": {"factor": 9}, "timestamp": {"seconds": 2, "microseconds": 5}}"#,
        ) else {
            panic!("an event");
        };
        assert_eq!(event.name, "WARP");
        assert_eq!(event.timestamp_us, Some(2_000_005));
        assert_eq!(event.raw["data"]["factor"], 9);
    }

    #[test]
    fn what_is_no_qmp_is_said() {
        assert!(matches!(
            parse_line(b"HTTP/1.1 400 Bad Request"),
            Err(LineError::Json(_))
        ));
        assert!(matches!(parse_line(b"[]"), Err(LineError::NotAnObject)));
        assert!(matches!(parse_line(b"{}"), Ok(Line::Other(_))));
        assert!(parse_line(&[b'['; 100_000]).is_err(), "deep nesting");
        assert!(matches!(
            parse_line(b"{\"return\": \"\xff\"}"),
            Ok(Line::Reply(_))
        ));
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse_line(&bytes);
        }
    }
}
