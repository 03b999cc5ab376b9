//! The command that starts a guard.

use std::path::Path;
use std::process::Command;

use vmferry_migrate::MoveDir;

/// This program, as the guard of a move: `guard STATE MOVE`, which must end in
/// [`guarding::guard`](crate::guarding::guard).
pub fn guard_command(dir: &MoveDir) -> Command {
    // Deleted or replaced by an upgrade in the meantime: this is still ours.
    let mut command = Command::new("/proc/self/exe");
    // STATE/moves/MOVE
    let state = dir
        .path()
        .parent()
        .and_then(Path::parent)
        .unwrap_or(dir.path());
    command
        .arg("guard")
        .arg(state)
        .arg(dir.move_id().to_string());
    command
}
