//! Profiles a host pair: real migrations of guests of known use, under caps on
//! the CPU of the migration's own threads (`dom0cpu`).

mod capped_move;
mod half_done;
mod load;
mod run;
mod settings;
mod validity;

pub use run::ProfileStep;
pub use settings::ProfileSettings;
pub use validity::Validity;

use run::points;

/// trial
pub async fn trial(
    settings: &ProfileSettings,
    state: &std::path::Path,
    guard: fn(&vmferry_migrate::MoveDir) -> std::process::Command,
    cancel: &tokio::sync::watch::Receiver<bool>,
    mut tell: impl FnMut(ProfileStep),
) -> Result<Vec<vmferry_model::cpu_profile::CapPoint>, crate::Error> {
    Ok(points(settings, state, guard, cancel, &mut tell).await?.0)
}
