//! QEMU over QMP, lenient by design: unknown events, statuses and fields of versions to come pass
//! through, numbers a version does not give are `None`, the raw JSON is kept, and what a QEMU can
//! do is read from its schema and never guessed from its version number.

mod connection;
mod endpoint;
mod event;
mod field;
mod greeting;
mod guest;
mod line;
mod line_reader;
mod migration;
mod migration_info;
mod process;

pub use event::{EventStream, QmpEvent};
pub use greeting::{Greeting, QemuVersion};
pub use guest::{ConnectOptions, Guest};
pub use line::{Line, LineError, RefusedReply, Reply, parse_line};
pub use migration::MigrationAddress;
pub use migration_info::{MigrationInfo, RamProgress};
