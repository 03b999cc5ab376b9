//! Everything this crate reads out of a line, whatever the line holds.

use vmferry_hypervisor::qmp::{
    DirtyRate, Line, MemoryBlock, MigrationInfo, MigrationParameters, RunState, Schema, parse_line,
};

/// Parses a line and decodes it as every answer it could be.
pub(crate) fn decode(bytes: &[u8]) {
    match parse_line(bytes) {
        Ok(Line::Greeting(greeting)) => drop(greeting.version.to_string()),
        Ok(Line::Event(event)) => {
            let _ = (event.migration_status(), event.migration_pass());
        }
        Ok(Line::Reply(reply)) => {
            if let Ok(value) = reply.result {
                if let Some(text) = value.as_str() {
                    let _ = MemoryBlock::parse_all(text);
                }
                let schema = Schema::from_value(&value);
                let _ = schema.takes("migrate", "channels.addr.host");
                let _ = schema.has_capability("events");
                let _ = RunState::from_value(value.clone());
                let _ = DirtyRate::from_value(value.clone());
                let _ = MigrationParameters::from_value(value.clone());
                let _ = MigrationInfo::from_value(value).status.is_end();
            }
        }
        Ok(Line::Other(_)) | Err(_) => {}
    }
}
