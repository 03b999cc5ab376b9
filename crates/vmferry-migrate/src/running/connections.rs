//! Connections that break in mid-move, as the operator is told.

use vmferry_control::Side;
use vmferry_core::{GuestUri, MoveEvent, Plan};

use crate::reconnect::Back;

/// What is lost of the connections to both ends.
#[derive(Debug, Default)]
pub(super) struct Lost {
    pub(super) source: bool,
    pub(super) destination: bool,
    /// Whether RESUME may have come while the destination was not connected.
    pub(super) resume_missed: bool,
    /// Why the source will not come back.
    pub(super) reason: Option<String>,
}

pub(super) fn connection_lost(side: Side, plan: &Plan) -> MoveEvent {
    let (uri, goes_on) = match side {
        Side::Source => (
            &plan.source,
            "the migration goes on by itself unless its QEMU has exited",
        ),
        Side::Destination => (
            &plan.destination,
            "the source says what becomes of the migration",
        ),
    };
    MoveEvent::Warning {
        message: format!("the connection to {uri} was lost; {goes_on}; connecting again"),
    }
}

pub(super) fn connected_again(uri: &GuestUri) -> MoveEvent {
    MoveEvent::Warning {
        message: format!("connected to {uri} again"),
    }
}

pub(super) fn why_lost(uri: &GuestUri, back: &Back) -> String {
    match back {
        Back::GaveUp(error) => {
            format!("the connection to {uri} was lost in mid-move and not made again: {error}")
        }
        _ => format!("the QEMU of {uri} exited in mid-move"),
    }
}
