//! Other machines, through the user's own `ssh` with its configuration, keys and agent.

mod command;
mod process;
mod remote;
mod tunnel;

pub use command::SshCommand;
pub use remote::run_remote;
pub use tunnel::Tunnel;
