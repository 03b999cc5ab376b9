//! QEMU over QMP, lenient by design: unknown events, statuses and fields of versions to come pass
//! through, numbers a version does not give are `None`, the raw JSON is kept, and what a QEMU can
//! do is read from its schema and never guessed from its version number.

mod connection;
mod dirty_rate;
mod endpoint;
mod event;
mod field;
mod greeting;
mod guest;
mod identity;
mod line;
mod line_reader;
mod memory;
mod migration;
mod migration_info;
mod migration_settings;
mod process;
mod run_state;
mod schema;
mod thread;
mod tls;

pub use dirty_rate::{DirtyRate, DirtyRateMode, DirtyRateRequest};
pub use event::{EventStream, QmpEvent};
pub use greeting::{Greeting, QemuVersion};
pub use guest::{ConnectOptions, Guest};
pub use line::{Line, LineError, RefusedReply, Reply, parse_line};
pub use memory::MemoryBlock;
pub use migration::MigrationAddress;
pub use migration_info::{MigrationInfo, RamProgress};
pub use migration_settings::MigrationParameters;
pub use run_state::RunState;
pub use schema::Schema;
pub use thread::{MigrationThread, Vcpu};
pub use tls::{TLS_OBJECT, TlsEndpoint, TlsSetup};
