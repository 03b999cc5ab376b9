//! Which guest is meant: traces and moves of one guest, and of no other.

use std::collections::BTreeSet;

use vmferry_core::GuestInfo;
use vmferry_history::trace::TraceError;

use super::counted;
use super::moves::Recorded;
use super::traces::Found;
use crate::Error;

/// Whether a text names a guest: its UUID, name or URI.
fn names(asked: &str, guest: &GuestInfo) -> bool {
    guest
        .uuid
        .as_deref()
        .is_some_and(|uuid| uuid.eq_ignore_ascii_case(asked))
        || guest.name.as_deref() == Some(asked)
        || guest.uri.to_string() == asked
}

fn uuid(guest: &GuestInfo) -> Option<String> {
    guest.uuid.as_deref().map(str::to_ascii_lowercase)
}

/// What a guest is called in the history of moves: as it was asked for, and by
/// the UUIDs that its traces have, since a moved guest has another URI.
pub(super) fn keys(asked: &str, traces: &[Found]) -> Vec<String> {
    let of_traces = traces.iter().map(|found| &found.header.guest);
    let mut keys = vec![asked.to_owned()];
    keys.extend(
        of_traces
            .filter(|guest| names(asked, guest))
            .filter_map(|guest| guest.uuid.clone()),
    );
    keys.sort();
    keys.dedup();
    keys
}

/// Keeps the traces of the guest and refuses those of others; from a directory
/// others are left out with a note.
///
/// # Errors
/// When the text names several guests, or a trace is of another one.
pub(super) fn only(
    asked: &str,
    recorded: &Recorded,
    traces: Vec<Found>,
    notes: &mut Vec<String>,
) -> Result<Vec<Found>, Error> {
    let moved = recorded.records.iter().map(|record| &record.guest);
    let seen = traces.iter().map(|found| &found.header.guest);
    let uuids: BTreeSet<String> = moved
        .chain(seen.filter(|guest| names(asked, guest)))
        .filter_map(uuid)
        .collect();
    if uuids.len() > 1 {
        let list: Vec<&str> = uuids.iter().map(String::as_str).collect();
        return Err(Error::Usage(format!(
            "`{asked}` names several guests in the recorded history: {}; give the UUID of one",
            list.join(", ")
        )));
    }
    let mut kept = Vec::new();
    let mut others = BTreeSet::new();
    let mut left_out = 0;
    for found in traces {
        let guest = &found.header.guest;
        let same = uuid(guest).is_some_and(|uuid| uuids.contains(&uuid));
        if same || names(asked, guest) {
            kept.push(found);
        } else if found.from_directory {
            others.insert(guest.label());
            left_out += 1;
        } else {
            let uuid = guest.uuid.as_deref().unwrap_or("without UUID");
            return Err(TraceError::OtherGuest {
                trace: found.file(),
                difference: format!("it is of {} ({uuid}), not of {asked}", guest.label()),
            }
            .into());
        }
    }
    if left_out > 0 {
        let others: Vec<String> = others.into_iter().collect();
        notes.push(format!(
            "Left out: {} of other guests ({}).",
            counted(left_out, "trace"),
            others.join(", ")
        ));
    }
    Ok(kept)
}
