//! Follows a migration that others started, through the source's monitor.

use std::time::Instant;

use vmferry_control::{EndKind, Input, Output, Supervisor};
use vmferry_core::{MigrationStatus, MoveEvent};
use vmferry_hypervisor::qmp::{Guest, MigrationInfo};

use crate::error::{End, MigrateError};
use crate::poller::{POLL, Poller};
use crate::running::sample;

/// How a watched migration ended.
#[derive(Debug)]
pub struct Watched {
    /// How; `None` when the monitor was lost.
    pub kind: Option<EndKind>,
    /// The last statistics.
    pub info: Option<MigrationInfo>,
}

/// Follows the migration of a guest to its end. Times count from the
/// beginning of the watch.
///
/// # Errors
/// [`MigrateError::NothingToWatch`] when none is under way.
pub async fn watch(
    guest: &Guest,
    mut each: impl FnMut(&MoveEvent),
) -> Result<Watched, MigrateError> {
    let first = guest
        .migration()
        .await
        .map_err(MigrateError::at(End::Source))?;
    if !first.status.is_under_way() || first.status == MigrationStatus::None {
        return Err(MigrateError::NothingToWatch {
            guest: Box::new(guest.uri().clone()),
        });
    }
    let began = Instant::now();
    let mut supervisor = Supervisor::new();
    let mut last = None;
    let (_poller, mut polls) = Poller::start(guest.clone(), POLL);
    while let Some(Some(info)) = polls.recv().await {
        let outputs = supervisor.input(began.elapsed(), Input::Status(sample(&info)));
        last = Some(info);
        for output in outputs {
            match output {
                Output::Tell(event) => each(&event),
                Output::Warn(vmferry_control::Warning::UnexpectedTransition {
                    from: MigrationStatus::None,
                    ..
                }) => {}
                Output::Warn(vmferry_control::Warning::CancelledElsewhere) => {}
                Output::Warn(warning) => each(&warning.into()),
                Output::Cancel | Output::AskBothEnds => {}
                Output::Finish(kind) => {
                    return Ok(Watched {
                        kind: Some(kind),
                        info: last,
                    });
                }
            }
        }
    }
    Ok(Watched {
        kind: None,
        info: last,
    })
}
