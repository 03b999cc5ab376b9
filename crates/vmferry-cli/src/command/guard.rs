//! `vmferry guard`: the process that stays when vmferry dies.

use std::path::Path;

use vmferry::core::ExitCode;
use vmferry::{Error, guarding};

pub(crate) fn run(state: &Path, move_id: &str) -> Result<ExitCode, Error> {
    let move_id = move_id
        .parse()
        .map_err(|_| Error::Usage(format!("`{move_id}` is no identifier of a move")))?;
    guarding::guard(state, move_id)?;
    Ok(ExitCode::Done)
}
