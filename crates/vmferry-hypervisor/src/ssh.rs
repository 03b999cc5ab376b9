//! Other machines, through the user's own `ssh` with its configuration, keys and agent.

mod command;
mod look;
mod process;
mod remote;
mod tunnel;

pub use command::SshCommand;
pub(crate) use look::look_at;
pub use remote::run_remote;
pub(crate) use tunnel::Tunnel;
