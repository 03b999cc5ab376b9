//! Post-copy: the guest runs at the destination before its memory is there.

use vmferry_core::MigrationStatus;
use vmferry_hypervisor::HypervisorError;
use vmferry_hypervisor::qmp::Guest;

/// Turns a running pre-copy into post-copy. Nothing is done, and nothing is
/// wrong, where the guest is being handed over already or the move is over.
///
/// # Errors
/// When the source cannot be asked, or refuses: the move was not prepared for
/// post-copy.
pub(crate) async fn start(source: &Guest) -> Result<(), HypervisorError> {
    if source.migration().await?.status != MigrationStatus::Active {
        return Ok(());
    }
    source.migrate_start_postcopy().await
}
