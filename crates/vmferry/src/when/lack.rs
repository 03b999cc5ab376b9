//! Why there is no answer, and how to get the data for one.

use vmferry_core::Millis;
use vmferry_model::ModelError;
use vmferry_model::schedule::{DayClock, Profile};

use super::WhenRequest;
use super::moves::Recorded;
use super::traces::Replays;
use crate::Error;

/// How to get the data that is missing.
fn record_more(request: &WhenRequest) -> String {
    let uri = if request.guest.contains(':') {
        request.guest.as_str()
    } else {
        "GUEST"
    };
    format!(
        "record it at several times of day (`vmferry record {uri} --output-file FILE`) and give \
         the files, or their directory, with --trace"
    )
}

fn no_time(request: &WhenRequest, found: String, remedy: String) -> Error {
    ModelError::NoTimeOfDay {
        guest: request.guest.clone(),
        found,
        remedy,
    }
    .into()
}

/// Nothing is recorded of the guest.
pub(super) fn unknown(request: &WhenRequest, recorded: &Recorded, given: Vec<String>) -> Error {
    let mut known: Vec<String> = recorded.others.iter().cloned().chain(given).collect();
    known.sort();
    known.dedup();
    if known.is_empty() {
        let path = &recorded.path;
        let found = format!("there is no move of it in {path}, and no trace");
        return no_time(request, found, record_more(request));
    }
    known.truncate(20);
    Error::Usage(format!(
        "guest {} is unknown: neither a move in {} nor a trace is of it; known are {}. Name it as \
         `vmferry history list` does, or give its traces with --trace",
        request.guest,
        recorded.path,
        known.join(", ")
    ))
}

/// What is recorded tells nothing of a move.
pub(super) fn too_little(
    request: &WhenRequest,
    recorded: &Recorded,
    replays: &Replays,
    real: usize,
) -> Error {
    let moves = match (recorded.records.len(), real) {
        (0, _) => "no move is recorded".to_owned(),
        (1, _) => "one move is recorded".to_owned(),
        (all, usable) => format!("of {all} recorded moves {usable} can be used"),
    };
    if let Some((window, first_pass)) = replays.too_short {
        let (window, first_pass) = (Millis::from(window), Millis::from(first_pass));
        return no_time(
            request,
            format!(
                "{moves}, and the longest trace lasts {window} where the first pass of a move takes {first_pass}"
            ),
            format!(
                "record for at least {first_pass}, better for minutes (`vmferry record --duration`)"
            ),
        );
    }
    let found = format!("{moves}, and no page history was recorded before now");
    no_time(request, found, record_more(request))
}

/// Fewer than two start times are known.
pub(super) fn nothing_to_choose(
    request: &WhenRequest,
    clock: &DayClock,
    profile: &Profile,
    known: usize,
) -> Error {
    let names: Vec<&str> = profile
        .parts()
        .iter()
        .flatten()
        .map(|cost| cost.from.as_str())
        .take(8)
        .collect();
    let found = format!(
        "{known} start times within {} are known (recorded: {} of {} parts of the day, {}{})",
        Millis::from(request.within),
        profile.known(),
        clock.parts(),
        names.join(", "),
        if profile.known() > names.len() {
            ", ..."
        } else {
            ""
        },
    );
    let longer = "or look further ahead with --within";
    no_time(
        request,
        found,
        format!("{}, {longer}", record_more(request)),
    )
}
